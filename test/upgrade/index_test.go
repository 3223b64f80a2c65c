package upgrade_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/instance"
)

// keptTable is a table of an index as it was: the statement that makes it, in
// which DATABASE stands for the database, and its rows in ClickHouse's Native
// format.
type keptTable struct {
	Name   string `json:"name"`
	Create string `json:"create"`
	Native []byte `json:"native"`
}

// maxTables bounds what is read of kept index tables, bytes.
const maxTables = 16 << 20

// packTables writes the tables of an instance's index.
func packTables(t *testing.T, i *instance.Instance, path string) {
	at := i.Up.ClickHouse
	addr := strings.TrimPrefix(at.URL, "http://")
	ask := func(sql string) string { return embeddedtest.Exec(t, addr, at.User, at.Password, sql) }
	var tables []keptTable
	for name := range strings.FieldsSeq(ask("SELECT name FROM system.tables WHERE database = '" + at.Database + "' ORDER BY name")) {
		create := ask("SELECT create_table_query FROM system.tables WHERE database = '" + at.Database + "' AND name = '" + name + "' FORMAT TSVRaw")
		tables = append(tables, keptTable{
			Name: name, Create: strings.Replace(create, "CREATE TABLE "+at.Database+".", "CREATE TABLE DATABASE.", 1),
			Native: []byte(ask("SELECT * FROM " + at.Database + "." + name + " FINAL FORMAT Native")),
		})
	}
	file, err := os.Create(path)
	must(t, err)
	zipped := gzip.NewWriter(file)
	must(t, json.NewEncoder(zipped).Encode(tables))
	must(t, zipped.Close())
	must(t, file.Close())
}

// foundAsItWas gives this version the index tables as an earlier one left them:
// brought to this version they answer, and, if their rows are by rules of this
// version, nothing of them has to be read again.
func foundAsItWas(t *testing.T, path string, streams map[schema.Stream]int64, store *objstore.Store, book *ledger.Ledger, want kept) {
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	must(t, err)
	var tables []keptTable
	must(t, json.NewDecoder(io.LimitReader(zipped, maxTables)).Decode(&tables))
	var options index.Options
	options.Addr, options.User, options.Password = embeddedtest.ClickHouse(t)
	options.Database = embeddedtest.Database(t)
	for _, table := range tables {
		create := strings.Replace(table.Create, "CREATE TABLE DATABASE.", "CREATE TABLE "+options.Database+".", 1)
		embeddedtest.Exec(t, options.Addr, options.User, options.Password, create)
		if len(table.Native) > 0 {
			insertNative(t, options, table)
		}
	}
	x, err := index.Open(options)
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	for s, commits := range streams {
		named, err := x.Named(t.Context(), s, 0)
		must(t, err)
		if len(named) == 0 {
			t.Errorf("%s: the kept tables name none of its segments", s)
		}
		earlier := false
		for _, r := range named {
			earlier = earlier || r.Version.Rules() < schema.ExtractVersion
		}
		if missing, err := x.FirstMissing(t.Context(), s, schema.ExtractVersion); err != nil || !earlier && missing != commits {
			t.Errorf("%s: of %d commits the index misses %d, %v", s, commits, missing, err)
		}
	}
	answers(t, x, store, book, want)
}

func insertNative(t *testing.T, options index.Options, table keptTable) {
	t.Helper()
	at := fmt.Sprintf("http://%s/?query=%s", options.Addr, url.QueryEscape("INSERT INTO "+options.Database+"."+table.Name+" FORMAT Native"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(string(table.Native)))
	must(t, err)
	request.SetBasicAuth(options.User, options.Password)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	said, err := io.ReadAll(response.Body)
	must(t, err)
	must(t, response.Body.Close())
	if response.StatusCode != http.StatusOK {
		t.Fatalf("insert into %s: %s: %s", table.Name, response.Status, said)
	}
}
