package containers_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/test/containers"
)

// TestRedpandaSpeaksKafka sends an ApiVersions request (KIP-35, version 0) and
// reads the answer's correlation id and error code.
func TestRedpandaSpeaksKafka(t *testing.T) {
	broker := containers.Redpanda(t)
	conn, err := net.DialTimeout("tcp", broker.Address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// Length, key 18, version 0, correlation id, client id null.
	request := []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff}
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	var head [10]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatal(err)
	}
	if id, code := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint16(head[8:]); id != 7 || code != 0 {
		t.Errorf("correlation id %d, error code %d", id, code)
	}
}

// TestClickHouseAnswersItsUserOnly runs a query with and without the password.
func TestClickHouseAnswersItsUserOnly(t *testing.T) {
	server := containers.ClickHouse(t)
	for password, want := range map[string]int{server.Password: http.StatusOK, "wrong": http.StatusForbidden} {
		query := url.Values{"user": {server.User}, "password": {password}, "query": {"SELECT version()"}}
		status, body := get(t, server.URL+"/?"+query.Encode())
		if status != want && (want == http.StatusOK || status == http.StatusOK) {
			t.Errorf("status %d, want %d: %s", status, want, body)
		}
		if want == http.StatusOK && !strings.HasPrefix(body, "26.7.") {
			t.Errorf("version %q is not the image's", body)
		}
	}
}

// TestObjectStoreRefusesStrangers asks for the buckets without signing.
func TestObjectStoreRefusesStrangers(t *testing.T) {
	store := containers.ObjectStore(t)
	status, body := get(t, store.Endpoint+"/")
	if status != http.StatusForbidden || !strings.Contains(body, "AccessDenied") {
		t.Errorf("status %d: %s", status, body)
	}
}

// get fetches a small page.
func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}
