package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// Await asks until it is so.
func Await(ctx context.Context, most, every time.Duration, ask func() (bool, error)) error {
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
	Timeout:   time.Hour, // a seal of many partitions, or a copy of millions of rows, takes its time on a busy machine
	Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
}

// mostBody bounds an answer.
const mostBody = 256 << 20

// Call sends a request and returns the body of a good answer.
func Call(ctx context.Context, method, address string, body []byte, header map[string]string) ([]byte, http.Header, error) {
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
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostBody+1))
	if err == nil && len(answer) > mostBody {
		err = fmt.Errorf("more than %d bytes", mostBody)
	}
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", address, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s %s: %s: %.300s", method, address, response.Status, answer)
	}
	return answer, response.Header, nil
}

// API asks the web API at base for JSON.
func API(ctx context.Context, base, method, path string, into any) error {
	body, _, err := Call(ctx, method, base+"/api/v1"+path, nil, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// Metric sums the samples of a metric in a process's own collection.
func Metric(ctx context.Context, base, name string) (float64, error) {
	sum, found, err := samples(ctx, base, name, "")
	if err == nil && !found {
		err = fmt.Errorf("%s has no metric %s", base, name)
	}
	return sum, err
}

// MetricOf sums the samples of a metric that have a label, such as op="put"; 0
// without any.
func MetricOf(ctx context.Context, base, name, label string) (float64, error) {
	sum, _, err := samples(ctx, base, name, label)
	return sum, err
}

func samples(ctx context.Context, base, name, label string) (sum float64, found bool, err error) {
	body, _, err := Call(ctx, http.MethodGet, base+"/metrics", nil, nil)
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, name+" ") && !strings.HasPrefix(line, name+"{") || !strings.Contains(line, label) {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, false, fmt.Errorf("read metric %s: %w", name, err)
		}
		sum, found = sum+n, true
	}
	return sum, found, nil
}

// Query asks ClickHouse and returns the answer as it came.
func Query(ctx context.Context, c *embedded.UpClickHouse, query string) ([]byte, error) {
	address := c.URL + "/?" + url.Values{"database": {c.Database}}.Encode()
	body, _, err := Call(ctx, http.MethodPost, address, []byte(query), map[string]string{
		"X-ClickHouse-User": c.User, "X-ClickHouse-Key": c.Password,
	})
	return body, err
}

// SQL asks ClickHouse and returns the rows' columns.
func SQL(ctx context.Context, c *embedded.UpClickHouse, query string) ([][]string, error) {
	body, err := Query(ctx, c, query+" FORMAT TabSeparated")
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(body)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// Count asks ClickHouse for one number.
func Count(ctx context.Context, c *embedded.UpClickHouse, query string) (int64, error) {
	rows, err := SQL(ctx, c, query)
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return 0, fmt.Errorf("no single number came from %s", query)
	}
	return strconv.ParseInt(rows[0][0], 10, 64)
}

// KafkaClient connects to the broker of an up file.
func KafkaClient(k embedded.UpKafka, more ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.SASL(scram.Auth{User: k.User, Pass: k.Password}.AsSha256Mechanism()),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	return client, nil
}

// FreeAddress is a loopback port that nobody has at this moment.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// Consume reads topics from their beginning with a plain client that does
// nothing else, and returns its pace in records a second. The fetch sizes are
// the archiver's.
func Consume(ctx context.Context, k embedded.UpKafka, topics []string, records int64) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	began := time.Now()
	client, err := KafkaClient(k, kgo.ConsumeTopics(topics...), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(1<<20), kgo.MaxConcurrentFetches(2))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for got := int64(0); got < records; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return 0, fmt.Errorf("consume %d of %d records: %w", got, records, err)
		}
		got += int64(fetches.NumRecords())
	}
	return float64(records) / time.Since(began).Seconds(), nil
}
