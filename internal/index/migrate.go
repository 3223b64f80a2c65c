package index

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

//go:embed ddl/*.sql
var statements embed.FS

// migration is one file of ddl/: one statement, named by its number. A number
// that was released is never changed; a change is a new file.
type migration struct {
	version uint32
	name    string
	text    string
}

func migrations() ([]migration, error) {
	files, err := fs.Glob(statements, "ddl/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	list := make([]migration, 0, len(files))
	for _, file := range files { // Glob sorts
		text, err := statements.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", file, err)
		}
		name := strings.TrimSuffix(path.Base(file), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: its name does not begin with a number", file)
		}
		list = append(list, migration{version: uint32(version), name: name, text: string(text)})
	}
	return list, nil
}

// expiring are the tables whose rows end with the retention. Segments stay:
// they lead to the archive, which is older than the index.
var expiring = []string{"records", "records_by_trace", "id_index", "rollups", "topology", "violations"}

// Migrate makes the database and its tables, or brings them to this version.
// It is idempotent, and safe when several processes start at once. Tables that
// an earlier Migrate made keep their partition period, whatever the options
// say now (a warning is logged); another retention is applied if it was given.
func (x *Index) Migrate(ctx context.Context) error {
	if err := x.createDatabase(ctx); err != nil {
		return err
	}
	for _, bootstrap := range []string{
		"CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, applied_at DateTime('UTC')) ENGINE = ReplacingMergeTree ORDER BY version",
		"CREATE TABLE IF NOT EXISTS settings (name String, value String, set_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = ReplacingMergeTree(set_at) ORDER BY name",
	} {
		if err := x.writes.Exec(ctx, bootstrap); err != nil {
			return fault("migrate index", err)
		}
	}
	if err := x.settlePeriod(ctx); err != nil {
		return err
	}
	keep, err := x.keep(ctx)
	if err != nil {
		return err
	}
	list, err := migrations()
	if err != nil {
		return err
	}
	applied, err := x.applied(ctx)
	if err != nil {
		return err
	}
	if newest := list[len(list)-1].version; applied > newest {
		return schema.WithHint(
			schema.Errorf(schema.Conflict, "migrate index: database %s is at version %d, this program knows %d", x.options.Database, applied, newest),
			"run the newer version of annals, or name another database and reindex")
	}
	for _, m := range list {
		if m.version <= applied {
			continue
		}
		if err := x.apply(ctx, m, keep); err != nil {
			return err
		}
	}
	if err := x.settleRetention(ctx, keep); err != nil {
		return err
	}
	return x.settleMergeIdle(ctx)
}

func (x *Index) createDatabase(ctx context.Context) error {
	conn, err := x.connect("", 1, writeTimeout, nil)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was left unsent
	// The name was checked against databaseName when the index was opened.
	err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS `"+x.options.Database+"`")
	return fault("create index database "+x.options.Database, err)
}

func (x *Index) applied(ctx context.Context) (uint32, error) {
	var version uint32
	err := x.writes.QueryRow(ctx, "SELECT max(version) FROM migrations").Scan(&version)
	return version, fault("read index version", err)
}

func (x *Index) apply(ctx context.Context, m migration, retention time.Duration) error {
	ttl := expiry(retention)
	if ttl != "" {
		ttl = "TTL " + ttl + " DELETE"
	}
	settings, err := x.tableSettings(ctx)
	if err != nil {
		return err
	}
	period := x.period.Load()
	text := strings.NewReplacer("{{partition}}", period.expression(), "{{partition_by_trace}}", period.byTrace(), "{{ttl}}", ttl, "{{settings}}", settings).Replace(m.text)
	if err := x.writes.Exec(ctx, text); err != nil {
		return fault("migrate index to "+m.name, err)
	}
	err = x.writes.Exec(ctx, "INSERT INTO migrations SELECT {version:UInt32}, {name:String}, now()",
		clickhouse.Named("version", m.version), clickhouse.Named("name", m.name))
	if err != nil {
		return fault("record index migration "+m.name, err)
	}
	x.logger.Info("index migrated", "database", x.options.Database, "migration", m.name)
	return nil
}

// tableSettings are what every table gets if the server knows it. Statistics
// that newer servers gather by themselves are read for every part by every
// query: over 26 parts they tripled what a look-up by key costs (25 ms of CPU
// instead of 9).
func (x *Index) tableSettings(ctx context.Context) (string, error) {
	var known uint64
	err := x.writes.QueryRow(ctx, "SELECT count() FROM system.merge_tree_settings WHERE name = 'auto_statistics_types'").Scan(&known)
	if err != nil || known == 0 {
		return "", fault("ask for table settings", err)
	}
	return ", auto_statistics_types = ''", nil
}

// settleMergeIdle applies a changed MergeIdle. A partition that would not fit
// ClickHouse's own bound for one merge is left as it is.
func (x *Index) settleMergeIdle(ctx context.Context) error {
	want := x.options.MergeIdle.String()
	kept, err := x.setting(ctx, "merge_idle")
	if err != nil || kept == want || kept == "" && x.options.MergeIdle == 0 || kept != "" && !x.options.Given.MergeIdle {
		return err
	}
	for _, table := range append([]string{"segments"}, expiring...) {
		err := x.writes.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s MODIFY SETTING min_age_to_force_merge_seconds = %d,
			min_age_to_force_merge_on_partition_only = 1, enable_max_bytes_limit_for_min_age_to_force_merge = 1`,
			table, int64(x.options.MergeIdle/time.Second)))
		if err != nil {
			return fault("change when partitions of "+table+" are merged", err)
		}
	}
	return x.set(ctx, "merge_idle", want)
}

// settlePeriod keeps the period that the tables were made with.
func (x *Index) settlePeriod(ctx context.Context) error {
	kept, err := x.setting(ctx, "partition")
	if err != nil {
		return err
	}
	if kept == "" {
		return x.set(ctx, "partition", string(*x.period.Load()))
	}
	period, err := parsePeriod(kept)
	if err != nil {
		return err
	}
	configured := *x.period.Load()
	if period != configured {
		x.period.Store(&period)
	}
	if period != configured && x.options.Given.Partition {
		x.logger.Warn("the index keeps the partition period it was made with; to change it, name another database and reindex",
			"database", x.options.Database, "kept", period, "configured", configured)
	}
	return nil
}

// keep gives how long rows stay: what was given, else what the tables were made
// with.
func (x *Index) keep(ctx context.Context) (time.Duration, error) {
	kept, err := x.setting(ctx, "retention")
	if err != nil || kept == "" || x.options.Given.Retention {
		return x.options.Retention, err
	}
	retention, err := time.ParseDuration(kept)
	if err != nil {
		return 0, schema.Errorf(schema.Corrupt, "read index setting retention: %w", err)
	}
	if retention != x.options.Retention {
		x.logger.Info("the index keeps the retention it was made with; index.retention changes it", "database", x.options.Database, "kept", kept)
	}
	return retention, nil
}

// settleRetention applies a retention that is not the one of the tables.
func (x *Index) settleRetention(ctx context.Context, retention time.Duration) error {
	want := retention.String()
	kept, err := x.setting(ctx, "retention")
	if err != nil || kept == want {
		return err
	}
	if kept != "" {
		for _, table := range expiring {
			if err := x.alterRetention(ctx, table, retention); err != nil {
				return err
			}
		}
		x.logger.Info("index retention changed", "database", x.options.Database, "from", kept, "to", want)
	}
	return x.set(ctx, "retention", want)
}

func (x *Index) alterRetention(ctx context.Context, table string, retention time.Duration) error {
	change := "MODIFY TTL " + expiry(retention) + " DELETE"
	if retention == 0 {
		change = "REMOVE TTL"
	}
	// Parts are dropped whole as their newest row expires: nothing is rewritten
	// now for rows that are still inside.
	err := x.writes.Exec(ctx, "ALTER TABLE "+table+" "+change+" SETTINGS materialize_ttl_after_modify = 0")
	return fault("change retention of "+table, err)
}

func (x *Index) setting(ctx context.Context, name string) (string, error) {
	var value string
	err := x.writes.QueryRow(ctx, "SELECT argMax(value, set_at) FROM settings WHERE name = {name:String}",
		clickhouse.Named("name", name)).Scan(&value)
	return value, fault("read index setting "+name, err)
}

func (x *Index) set(ctx context.Context, name, value string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := x.writes.Exec(ctx, "INSERT INTO settings (name, value) SELECT {name:String}, {value:String}",
		clickhouse.Named("name", name), clickhouse.Named("value", value))
	return fault("write index setting "+name, err)
}
