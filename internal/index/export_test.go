package index

import "context"

// TableColumns gives "name type" of every column that inserts name.
func TableColumns() map[string][]string {
	all := map[string][]string{}
	for _, t := range []table{recordsTable, tracesTable, idsTable, segmentsTable, rollupsTable, positionsTable, topologyTable, violationsTable} {
		for _, c := range t.columns {
			all[t.name] = append(all[t.name], c.Name+" "+c.Type)
		}
	}
	return all
}

// Turns is the queue of reads.
type Turns struct{ *turns }

// NewTurns makes one.
func NewTurns(all, bulk, most int) Turns { return Turns{newTurns(all, bulk, most)} }

// Take waits for a turn.
func (t Turns) Take(ctx context.Context, kind Turn) error { return t.take(ctx, kind) }

// Give gives it back.
func (t Turns) Give(kind Turn) { t.give(kind) }

// Fail tells those who wait.
func (t Turns) Fail(err error) { t.fail(err) }
