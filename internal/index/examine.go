package index

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/fx-risk-ai/annals/internal/doctor"
)

// testedVersion is the ClickHouse that the tests run on, as year and release.
var testedVersion = [2]int{26, 7}

// neededFunction is the youngest of the functions that the tables use.
const neededFunction = "base64URLEncode"

// Examine looks at the engine and at the database: version, tables, rights,
// clock. It makes one small table of its own, doctor_<random>, and drops it.
func (x *Index) Examine(ctx context.Context) []doctor.Check {
	conn, err := x.connect("", 1, writeTimeout, nil) // the database need not be there yet
	if err != nil {
		return []doctor.Check{doctor.Ill(doctor.IndexReach, doctor.Failed, todoReach, "%v", err)}
	}
	defer conn.Close() //nolint:errcheck // nothing is left unsent
	begin := time.Now()
	version, clock, err := identify(ctx, conn)
	var functions uint64
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT count() FROM system.functions WHERE name = '"+neededFunction+"'").Scan(&functions)
	}
	if err != nil {
		return []doctor.Check{doctor.Ill(doctor.IndexReach, doctor.Failed, todoReach, "%v", fault("ask ClickHouse for its version", err))}
	}
	reach := doctor.Well(doctor.IndexReach, "ClickHouse answers at %s, in %s", x.options.Addr, time.Since(begin).Round(time.Millisecond))
	tables, there := x.examineTables(ctx, conn)
	checks := []doctor.Check{reach, judgeVersion(version, functions > 0), tables, clock.Check(doctor.ClockIndex, "its now64()")}
	if !there {
		return append(checks, doctor.Ill(doctor.IndexWrite, doctor.Indeterminate,
			"start an archiver, which makes the database, or make it yourself, and run annals doctor again", "the database %s is not there yet", x.options.Database))
	}
	return append(checks, x.examineRights(ctx, conn))
}

const todoReach = "check clickhouse.url, which is the HTTP interface (8123 or 8443, not 9000), clickhouse.user and its password; archiving goes on without an index, search does not"

// identify asks for version and time; the clock a few times.
func identify(ctx context.Context, conn driver.Conn) (version string, clock *doctor.Offset, err error) {
	clock = &doctor.Offset{}
	for range 3 {
		var shown int64
		asked := time.Now()
		if err := conn.QueryRow(ctx, "SELECT version(), toUnixTimestamp64Micro(now64(6))").Scan(&version, &shown); err != nil {
			return "", clock, err
		}
		clock.Answer(time.UnixMicro(shown), time.Microsecond, asked, time.Now())
	}
	return version, clock, nil
}

func judgeVersion(version string, complete bool) doctor.Check {
	todo := fmt.Sprintf("update ClickHouse to %d.%d, which Annals is tested with", testedVersion[0], testedVersion[1])
	if !complete {
		return doctor.Ill(doctor.IndexVersion, doctor.Failed, todo, "%s; it does not know %s, which the tables use", version, neededFunction)
	}
	var at [2]int
	if n, err := fmt.Sscanf(version, "%d.%d", &at[0], &at[1]); err != nil || n != 2 {
		return doctor.Ill(doctor.IndexVersion, doctor.Indeterminate, "see that clickhouse.url is ClickHouse itself", "the version %q is none", version)
	}
	if at[0] < testedVersion[0] || at[0] == testedVersion[0] && at[1] < testedVersion[1] {
		return doctor.Ill(doctor.IndexVersion, doctor.Warning, todo, "%s, which is older than what Annals is tested with", version)
	}
	return doctor.Well(doctor.IndexVersion, "%s", version)
}

// examineTables compares the database's version with this program's. there
// tells whether the database exists.
func (x *Index) examineTables(ctx context.Context, conn driver.Conn) (c doctor.Check, there bool) {
	list, err := migrations()
	if err != nil {
		return doctor.Ill(doctor.IndexSchema, doctor.Failed, "report this as a fault of annals", "%v", err), false
	}
	const todoMake = "nothing, if no archiver ran yet: its start makes them; an index that was lost comes back with annals reindex"
	newest := list[len(list)-1].version
	var applied uint32
	err = conn.QueryRow(ctx, "SELECT max(version) FROM `"+x.options.Database+"`.migrations").Scan(&applied)
	var exception *clickhouse.Exception
	switch {
	case errors.As(err, &exception) && exception.Code == codeUnknownDatabase:
		return doctor.Ill(doctor.IndexSchema, doctor.Warning, todoMake, "the database %s is not there yet", x.options.Database), false
	case errors.As(err, &exception) && exception.Code == codeUnknownTable:
		return doctor.Ill(doctor.IndexSchema, doctor.Warning, todoMake, "the database %s has no tables yet", x.options.Database), true
	case err != nil:
		return doctor.Ill(doctor.IndexSchema, doctor.Failed, "grant SELECT on the database to clickhouse.user", "%v", fault("read index version", err)), true
	case applied > newest:
		return doctor.Ill(doctor.IndexSchema, doctor.Failed, "run the newer version of annals, or name another database with clickhouse.database and reindex",
			"the database %s is at version %d, this program knows %d", x.options.Database, applied, newest), true
	case applied < newest:
		return doctor.Ill(doctor.IndexSchema, doctor.Warning, "start this version's archiver, which brings the tables to its own version; older programs refuse them then",
			"the database %s is at version %d, this program is at %d", x.options.Database, applied, newest), true
	}
	return doctor.Well(doctor.IndexSchema, "the database %s is at version %d, as this program is", x.options.Database, applied), true
}

// examineRights does with a table of its own what is done with the index's.
func (x *Index) examineRights(ctx context.Context, conn driver.Conn) doctor.Check {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, it panics instead
	table := "`" + x.options.Database + "`.doctor_" + hex.EncodeToString(b[:])
	made := false
	var failed doctor.Check
	for _, step := range []struct{ right, statement string }{
		{"CREATE TABLE", "CREATE TABLE " + table + " (a UInt64, b DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY a"},
		{"INSERT", "INSERT INTO " + table + " (a) SELECT 42"},
		{"ALTER TABLE", "ALTER TABLE " + table + " MODIFY TTL b + INTERVAL 1 YEAR DELETE SETTINGS materialize_ttl_after_modify = 0"},
	} {
		if err := conn.Exec(ctx, step.statement); err != nil {
			failed = x.refused(step.right, err)
			break
		}
		made = true
	}
	var kept uint64
	if failed.Name == "" {
		if err := conn.QueryRow(ctx, "SELECT a FROM "+table).Scan(&kept); err != nil {
			failed = x.refused("SELECT", err)
		} else if kept != 42 {
			failed = doctor.Ill(doctor.IndexWrite, doctor.Failed, "see whether clickhouse.url leads to several servers that do not replicate: use one, or a replicated database", "what was inserted was not read back")
		}
	}
	if made {
		dropping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := conn.Exec(dropping, "DROP TABLE "+table+" SYNC"); err != nil && failed.Name == "" {
			failed = x.refused("DROP TABLE", err)
			failed.Seen += "; the table " + table + " remains"
		}
	}
	if failed.Name != "" {
		return failed
	}
	return doctor.Well(doctor.IndexWrite, "%s may make, fill, read, change and drop a table in %s", x.options.User, x.options.Database)
}

func (x *Index) refused(right string, err error) doctor.Check {
	verdict, todo := doctor.Failed, "grant CREATE, INSERT, SELECT, ALTER and DROP on "+x.options.Database+".* to "+x.options.User
	var exception *clickhouse.Exception
	if !errors.As(err, &exception) {
		verdict, todo = doctor.Indeterminate, "run annals doctor again when ClickHouse answers"
	}
	return doctor.Ill(doctor.IndexWrite, verdict, todo, "%s: %v", right, fault("try the rights", err))
}
