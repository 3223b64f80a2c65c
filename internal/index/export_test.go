package index

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
