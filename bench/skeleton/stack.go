package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// stack is a running annals up.
type stack struct {
	*program
	up    embedded.UpFile
	ready time.Time // when everything answered
}

// up starts annals up on a data folder, with what a user would add. lines
// takes what it says.
func (b *bench) up(ctx context.Context, dir string, lines func(string), more ...string) (*stack, error) {
	args := append([]string{
		"up", "--data-dir", dir, "--kafka-listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0",
		"--clickhouse-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0",
	}, more...)
	cmd := exec.Command(filepath.Join(b.bin, "annals"), args...)
	// As --demo has it: partitions of years for 27 years of history, all kept.
	cmd.Env = append(os.Environ(), "ANNALS_INDEX_PARTITION=years", "ANNALS_INDEX_RETENTION=0s")
	p, err := start(cmd, lines)
	if err != nil {
		return nil, err
	}
	s := &stack{program: p}
	err = await(ctx, time.Minute, 20*time.Millisecond, func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		var err error
		s.up, err = embedded.ReadUpFile(dir)
		if errors.Is(err, embedded.ErrNotUp) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil && s.up.ClickHouse == nil {
		err = errors.New("annals up has no embedded ClickHouse: make engines fetches it")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start annals up: %w", err), p.stop())
	}
	s.ready = time.Now()
	return s, nil
}

// await asks until it is so.
func await(ctx context.Context, most, every time.Duration, ask func() (bool, error)) error {
	for deadline := time.Now().Add(most); ; {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v", most)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// httpClient does not decompress, so that bytes are counted as they travel.
var httpClient = &http.Client{
	Timeout:   2 * time.Minute,
	Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
}

// mostBody bounds an answer.
const mostBody = 256 << 20

// call sends a request and returns the body of a good answer.
func call(ctx context.Context, method, address string, body []byte, header map[string]string) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", address, err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostBody))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", address, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s %s: %s: %.300s", method, address, response.Status, answer)
	}
	return answer, response.Header, nil
}

// api asks the web API at base for JSON.
func api(ctx context.Context, base, method, path string, into any) error {
	body, _, err := call(ctx, method, base+"/api/v1"+path, nil, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// metric sums the samples of a metric in a process's own collection.
func metric(ctx context.Context, base, name string) (float64, error) {
	body, _, err := call(ctx, http.MethodGet, base+"/metrics", nil, nil)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, name+" ") && !strings.HasPrefix(line, name+"{") {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, fmt.Errorf("read metric %s: %w", name, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("%s has no metric %s", base, name)
	}
	return sum, nil
}

// sql asks ClickHouse and returns the rows' columns.
func sql(ctx context.Context, c *embedded.UpClickHouse, query string) ([][]string, error) {
	address := c.URL + "/?" + url.Values{"database": {c.Database}}.Encode()
	body, _, err := call(ctx, http.MethodPost, address, []byte(query+" FORMAT TabSeparated"), map[string]string{
		"X-ClickHouse-User": c.User, "X-ClickHouse-Key": c.Password,
	})
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(body)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// count asks ClickHouse for one number.
func count(ctx context.Context, c *embedded.UpClickHouse, query string) (int64, error) {
	rows, err := sql(ctx, c, query)
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return 0, fmt.Errorf("no single number came from %s", query)
	}
	return strconv.ParseInt(rows[0][0], 10, 64)
}

// kafkaClient connects to the broker of an up file.
func kafkaClient(k embedded.UpKafka, more ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.SASL(scram.Auth{User: k.User, Pass: k.Password}.AsSha256Mechanism()),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	return client, nil
}

// held is how many offsets Kafka holds, by topic: the demo's topics have no
// compaction, so each is a row of the archive.
func held(ctx context.Context, k embedded.UpKafka) (topics []string, records int64, err error) {
	client, err := kafkaClient(k)
	if err != nil {
		return nil, 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("ask for end offsets: %w", err)
	}
	seen := map[string]bool{}
	ends.Each(func(o kadm.ListedOffset) {
		if strings.HasPrefix(o.Topic, "__") {
			return
		}
		records += o.Offset
		seen[o.Topic] = true
	})
	for topic := range seen {
		topics = append(topics, topic)
	}
	return topics, records, nil
}
