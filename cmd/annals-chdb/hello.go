package main

import (
	"fmt"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// clickhouse-go over HTTP opens with this statement and reads its answer as a
// Native block of protocol revision 54460, whatever the server is. Every later
// block it reads at the revision that this answer reports.
//
// chDB writes Native at revision 0 and cannot be told otherwise. So the first
// answer is made here, at 54460, and says that the revision is 0; from then on
// the engine's own bytes pass through untouched.
const (
	helloStatement = "SELECT displayName(), version(), revision(), timezone()"
	helloRevision  = 54460
)

// isHello tells whether a request is that first statement.
func isHello(sql, format string) bool {
	return format == "Native" && strings.TrimRight(strings.TrimSpace(sql), "; ") == helloStatement
}

// helloAnswer is the block that answers it.
func helloAnswer(version, timezone string) ([]byte, error) {
	block := proto.NewBlock()
	for _, c := range []struct{ name, kind string }{
		{"displayName()", "String"},
		{"version()", "String"},
		{"revision()", "UInt32"},
		{"timezone()", "String"},
	} {
		if err := block.AddColumn(c.name, column.Type(c.kind)); err != nil {
			return nil, fmt.Errorf("build hello: %w", err)
		}
	}
	if err := block.Append("annals-chdb", version, uint32(0), timezone); err != nil {
		return nil, fmt.Errorf("build hello: %w", err)
	}
	var buffer chproto.Buffer
	if err := block.Encode(&buffer, helloRevision); err != nil {
		return nil, fmt.Errorf("encode hello: %w", err)
	}
	return buffer.Buf, nil
}
