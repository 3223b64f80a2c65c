package embeddedtest_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

func TestClickHouseDatabases(t *testing.T) {
	addr, user, password := embeddedtest.ClickHouse(t)
	first, second := embeddedtest.Database(t), embeddedtest.Database(t)
	if first == second {
		t.Fatalf("two tests share the database %s", first)
	}
	embeddedtest.Exec(t, addr, user, password, "CREATE TABLE "+first+".t (a UInt8) ENGINE = MergeTree ORDER BY a")
	got := embeddedtest.Exec(t, addr, user, password, "SELECT database FROM system.tables WHERE name = 't' AND database LIKE 'test_%'")
	if strings.TrimSpace(got) != first {
		t.Fatalf("table t is in %q, want %s only", got, first)
	}
}
