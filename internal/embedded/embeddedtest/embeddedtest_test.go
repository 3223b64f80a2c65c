package embeddedtest_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

func TestKafkaRoundTrip(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *kgo.Client{
		"disk":   func(t testing.TB) *kgo.Client { return embeddedtest.KafkaClient(t, embeddedtest.Kafka(t)) },
		"memory": func(t testing.TB) *kgo.Client { return embeddedtest.KafkaClient(t, embeddedtest.MemoryKafka(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			client := start(t)
			if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
				t.Fatal(err)
			}
			record := &kgo.Record{Topic: "orders", Value: []byte("v")}
			if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
			client.AddConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {0: kgo.NewOffset().AtStart()}})
			fetches := client.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			if got := fetches.Records(); len(got) != 1 || string(got[0].Value) != "v" {
				t.Fatalf("consumed %v", got)
			}
		})
	}
}

func TestS3RoundTrip(t *testing.T) {
	first, second := embeddedtest.S3(t), embeddedtest.S3(t)
	if first.Endpoint != second.Endpoint || first.Prefix == second.Prefix {
		t.Fatalf("want one gateway and two prefixes, got %+v and %+v", first, second)
	}
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + first.Endpoint),
		Region:       first.Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(first.AccessKey, first.SecretKey, ""),
	})
	key := first.Prefix + "/a/b.parquet"
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &first.Bucket, Key: &key, Body: bytes.NewReader([]byte("PAR1")),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fetch(t.Context(), t, client, first.Bucket, key)
	if string(got) != "PAR1" {
		t.Fatalf("got %q", got)
	}
	onDisk, err := os.ReadFile(filepath.Join(first.Dir, key))
	if err != nil || !bytes.Equal(onDisk, got) {
		t.Fatalf("on disk %q, %v", onDisk, err)
	}
}

func fetch(ctx context.Context, t *testing.T, client *s3.Client, bucket, key string) []byte {
	t.Helper()
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return body
}
