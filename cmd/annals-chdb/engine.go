package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// limits bounds what the engine may take of the machine. They are sized for
// two cores shared with an archiver, a Kafka and an object store.
type limits struct {
	// serverMemory is the most the whole engine may allocate, in bytes; a
	// statement that would go beyond it fails (code 241), the others go on.
	serverMemory uint64
	// readMemory and readSeconds bound one statement on a read session, unless
	// the request asks for less (or, for time, for more up to maxSeconds).
	readMemory  uint64
	readSeconds uint64
	// wholeResult bounds the result of a statement that cannot be passed on in
	// pieces (JSON, Parquet …), in bytes of the engine's own columns.
	wholeResult uint64
	// insertBlock is how many bytes of rows an INSERT gathers before it writes
	// them to the table.
	insertBlock uint64
	// threads is how many threads one statement may use.
	threads int
}

// defaultLimits: 1.2 GiB for the engine and half of that for one read.
func defaultLimits(threads int) limits {
	return limits{
		serverMemory: 1200 << 20,
		readMemory:   600 << 20,
		readSeconds:  60,
		wholeResult:  64 << 20,
		insertBlock:  64 << 20,
		threads:      max(1, min(threads, 8)),
	}
}

// engine is the running ClickHouse: a library, a data folder, and the
// arguments every session starts with.
type engine struct {
	lib    *library
	limits limits
	path   string
	config string
}

// engineConfig is the server-level configuration. What is not plain:
//
//   - A few background threads: merges must leave room for the queries on two
//     cores, but one alone would let a long merge of months hold up the short
//     ones of fresh inserts, and parts would pile up.
//   - Caches are bounded, as the defaults are shares of the machine's memory.
//   - max_suspicious_broken_parts: after a power cut the last parts may be torn
//     (nothing is fsynced here). By default a table with many of those refuses
//     to load; we want it to set them aside and start, because the index is
//     counted against the ledger afterwards and what is missing is written
//     again.
//   - Old parts go after a minute, not eight: in an index fed once a second
//     they would be most of the files.
const engineConfig = `<clickhouse>
    <max_server_memory_usage>%d</max_server_memory_usage>
    <max_thread_pool_size>200</max_thread_pool_size>
    <max_thread_pool_free_size>20</max_thread_pool_free_size>
    <background_pool_size>2</background_pool_size>
    <background_merges_mutations_concurrency_ratio>1</background_merges_mutations_concurrency_ratio>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <mark_cache_size>134217728</mark_cache_size>
    <primary_index_cache_size>134217728</primary_index_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_mark_cache_size>33554432</index_mark_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <query_condition_cache_size>16777216</query_condition_cache_size>
    <mmap_cache_size>256</mmap_cache_size>
    <merge_tree>
        <max_suspicious_broken_parts>1000000</max_suspicious_broken_parts>
        <max_suspicious_broken_parts_bytes>1000000000000000</max_suspicious_broken_parts_bytes>
        <old_parts_lifetime>60</old_parts_lifetime>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
</clickhouse>
`

// prepareEngine prepares the data folder for the engine. Nothing runs before the
// first session is opened. Our own configuration file is named, so that the
// engine does not pick up one of the user's (./config.xml, ~/.clickhouse-local).
func prepareEngine(lib *library, dataDir string, l limits) (*engine, error) {
	e := &engine{lib: lib, limits: l, path: filepath.Join(dataDir, "db"), config: filepath.Join(dataDir, "engine.xml")}
	if err := os.WriteFile(e.config, fmt.Appendf(nil, engineConfig, l.serverMemory), 0o600); err != nil {
		return nil, fmt.Errorf("write engine configuration: %w", err)
	}
	return e, nil
}

// setting is one query-level setting, already checked.
type setting struct{ name, value string }

// open opens a session with these settings on top of the lane's own. Every
// session has blocks of inserted rows bounded in bytes (by default a million
// rows, whatever their size), and goes without looking up symbols for the stack
// of every exception, which nobody sees here and which costs milliseconds.
func (e *engine) open(base, extra []setting) (*connection, error) {
	block := strconv.FormatUint(e.limits.insertBlock, 10)
	args := []string{
		"annals-chdb", "--config-file=" + e.config, "--path=" + e.path,
		"--calculate_text_stack_trace=0",
		"--max_threads=" + strconv.Itoa(e.limits.threads),
		"--max_insert_block_size_bytes=" + block, "--min_insert_block_size_bytes=" + block,
	}
	for _, list := range [][]setting{base, extra} {
		for _, s := range list {
			args = append(args, "--"+s.name+"="+s.value)
		}
	}
	return e.lib.open(args)
}

// readSettings are those of the read sessions: bounded in time and memory, so
// that an abandoned query cannot hold a session for ever.
func (e *engine) readSettings() []setting {
	return []setting{
		{"max_execution_time", strconv.FormatUint(e.limits.readSeconds, 10)},
		{"max_memory_usage", strconv.FormatUint(e.limits.readMemory, 10)},
		{"timeout_before_checking_execution_speed", "0"},
	}
}
