package readers_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// aws is the environment from which S3 clients take endpoint, region and keys.
func (a *archive) aws() []string {
	return []string{
		"AWS_ENDPOINT_URL=http://" + a.s3.Endpoint, "AWS_DEFAULT_REGION=" + a.s3.Region, "AWS_REGION=" + a.s3.Region,
		"AWS_ACCESS_KEY_ID=" + a.s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + a.s3.SecretKey, "AWS_EC2_METADATA_DISABLED=true",
	}
}

// addresses are what annals files prints.
func (a *archive) addresses() []string {
	var list []string
	for _, key := range a.current {
		list = append(list, "s3://"+a.s3.Bucket+"/"+key)
	}
	return list
}

// of are the rows of some partitions.
func (a *archive) of(wanted func(partition int32) bool) []row {
	var rows []row
	for _, r := range a.rows {
		if wanted(r.Partition) {
			rows = append(rows, r)
		}
	}
	return rows
}

// filesOf splits paths or addresses by whether their timestamps are far.
func filesOf(files []string) (near, distant []string) {
	for _, f := range files {
		if strings.Contains(f, fmt.Sprintf("/%05d/", far)) {
			distant = append(distant, f)
		} else {
			near = append(near, f)
		}
	}
	return near, distant
}

func TestArrowReadsEveryField(t *testing.T) {
	a := newArchive(t)
	current, all := a.files()
	if len(all) <= len(current) {
		t.Fatalf("%d segments lie under data/, %d are current: nothing was replaced", len(all), len(current))
	}
	t.Run("files", func(t *testing.T) { compareRows(t, newScripts(t, current).run("read_pyarrow.py", "files"), a.rows) })
	t.Run("s3", func(t *testing.T) {
		compareRows(t, newScripts(t, a.addresses(), a.aws()...).run("read_pyarrow.py", "s3"), a.rows)
	})
}

func TestDuckDBReadsEveryField(t *testing.T) {
	a := newArchive(t)
	current, _ := a.files()
	near, distant := filesOf(current)
	want := a.of(func(p int32) bool { return p != far })
	for i := range want {
		if at := want[i].EventTime; at != nil && *at == math.MaxInt64 {
			want[i].EventTime = nil // its infinity, which is no number
		}
	}
	compareRows(t, newScripts(t, near).run("read_duckdb.py", "exact"), want)

	// Beyond 64 bits of microseconds it refuses, and says so; the guide says
	// what to do. Every other column can be read.
	s := newScripts(t, distant)
	if _, err := s.try("read_duckdb.py", "exact"); err == nil || !strings.Contains(err.Error(), "Timestamp") {
		t.Errorf("timestamps beyond its own type: %v; docs/guides/sql.md says that it refuses them", err)
	}
	rows := a.of(func(p int32) bool { return p == far })
	for i := range rows {
		rows[i].Timestamp = 0
	}
	compareRows(t, s.run("read_duckdb.py", "untimed"), rows)
}

func TestClickHouseReadsEveryField(t *testing.T) {
	a := newArchive(t)
	addr, user, password := embeddedtest.ClickHouse(t)
	compareRows(t, embeddedtest.Exec(t, addr, user, password, `
		SELECT topic, topic_id, partition, branch, offset, leader_epoch, toUnixTimestamp64Milli(timestamp) AS timestamp,
			timestamp_type, producer_id, producer_epoch, status, base64Encode(key) AS key, base64Encode(value) AS value,
			arrayMap(h -> [base64Encode(h.1), base64Encode(h.2)], headers) AS headers,
			event_id, event_type, event_version, source_service, trace_id, span_id, parent_ids,
			toUnixTimestamp64Micro(event_time) AS event_time, stage, schema_id, contract_errors,
			base64Encode(proof_key) AS proof_key, base64Encode(proof_value) AS proof_value,
			base64Encode(proof_headers) AS proof_headers, base64Encode(proof_seed) AS proof_seed
		FROM `+a.clickHouseTable()+`
		FORMAT JSONEachRow
		SETTINGS output_format_json_quote_64bit_integers = 0`), a.rows)
}

// clickHouseTable is the archive as ClickHouse's s3() names it.
func (a *archive) clickHouseTable() string {
	return fmt.Sprintf("s3('http://%s/%s/{%s}', '%s', '%s', 'Parquet')",
		a.s3.Endpoint, a.s3.Bucket, strings.Join(a.current, ","), a.s3.AccessKey, a.s3.SecretKey)
}

func TestSchemaIsOneThatSparkReads(t *testing.T) {
	a := newArchive(t)
	current, _ := a.files()
	if out := newScripts(t, current).run("spark_schema.py"); strings.Count(out, "\n") != len(current) {
		t.Errorf("looked at %q, %d files are there", out, len(current))
	}
}

// TestSchemaCheckCanFail gives it what Spark does not read.
func TestSchemaCheckCanFail(t *testing.T) {
	for _, column := range []string{
		"pa.array([1], pa.uint64())", "pa.array([1], pa.uint16())", "pa.array([1], pa.timestamp('ns'))", "pa.array([1], pa.timestamp('ms'))",
		"pa.array([[[1]]])", "pa.array([b'12'], pa.binary(2))",
	} {
		s := newScripts(t, []string{"bad.parquet"})
		s.run("-c", "import pyarrow as pa, pyarrow.parquet as pq\npq.write_table(pa.table({'x': "+column+"}), 'bad.parquet')")
		if out, err := s.try("spark_schema.py"); err == nil {
			t.Errorf("%s passes: %s", column, out)
		}
	}
}
