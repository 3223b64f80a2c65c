package main

import (
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// request is what the URL of a request asks for.
type request struct {
	query    string
	queryID  string
	database string
	format   string
	params   []parameter
	settings []setting
	// compress and decompress ask for ClickHouse's own block framing (LZ4 or
	// ZSTD) of the answer and of the body.
	compress, decompress bool
	method               string // of compress
	// waitEnd asks that nothing be sent before the statement has ended, so
	// that an error always has its own status.
	waitEnd bool
}

// numeric are the settings that a request may give, with the largest value we
// let through. Each is a number, so nothing can be smuggled in; a setting not
// here or in ignored is refused by name, because a request that relies on one
// must not run without it.
var numeric = map[string]uint64{
	"alter_sync":   2,
	"async_insert": 1,
	"do_not_merge_across_partitions_select_final": 1,
	"final":                                     1,
	"input_format_null_as_default":              1,
	"input_format_skip_unknown_fields":          1,
	"insert_deduplicate":                        1,
	"join_use_nulls":                            1,
	"lightweight_deletes_sync":                  2,
	"max_block_size":                            1 << 20,
	"max_bytes_to_read":                         math.MaxInt64,
	"max_execution_time":                        24 * 3600,
	"max_final_threads":                         64,
	"max_insert_block_size":                     1 << 24,
	"max_insert_threads":                        64,
	"max_memory_usage":                          math.MaxInt64,
	"max_partitions_per_insert_block":           10_000,
	"max_result_bytes":                          math.MaxInt64,
	"max_result_rows":                           math.MaxInt64,
	"max_rows_to_read":                          math.MaxInt64,
	"max_threads":                               64,
	"mutations_sync":                            2,
	"optimize_read_in_order":                    1,
	"output_format_json_quote_64bit_floats":     1,
	"output_format_json_quote_64bit_integers":   1,
	"output_format_json_quote_denormals":        1,
	"output_format_native_write_json_as_string": 1,
	"priority":                                  100,
	"readonly":                                  2,
	"throw_on_max_partitions_per_insert_block":  1,
	"use_query_condition_cache":                 1,
	"use_skip_indexes_if_final":                 1,
	"use_skip_indexes_if_final_exact_mode":      1,
	"wait_for_async_insert":                     1,
	"optimize_on_insert":                        1,
}

// worded are the settings whose value is a word of a fixed list.
var worded = map[string][]string{
	"date_time_input_format":  {"basic", "best_effort", "best_effort_us"},
	"date_time_output_format": {"simple", "iso", "unix_timestamp"},
	"read_overflow_mode":      {"throw", "break"},
	"result_overflow_mode":    {"throw", "break"},
	"timeout_overflow_mode":   {"throw", "break"},
	"session_timezone":        {"", "UTC"},
}

// ignored change nothing in what a request gets from this process.
var ignored = []string{
	"buffer_size", // we choose our own buffers
	"cancel_http_readonly_queries_on_client_close", // always so here
	"client_protocol_version",                      // the first answer says: revision 0
	"enable_http_compression",                      // a server may always answer plainly
	"http_headers_progress_interval_ms",            // no progress headers
	"http_write_exception_in_output_format",        // errors are always framed
	"http_zlib_compression_level",
	"log_queries", "quota_key",
	"network_zstd_compression_level",
	"send_progress_in_http_headers",
	"user", "password", // read by the guard
}

var (
	parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	queryIDText   = regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)
)

// maxParameters bounds how many parameters one statement may bind.
const maxParameters = 1000

// parseRequest reads the query part of a URL. Every key must be known.
func parseRequest(values url.Values, l limits) (*request, error) {
	r := &request{format: "TabSeparated"}
	for key, list := range values {
		if len(list) != 1 {
			return nil, exceptionf(codeBadArguments, "the URL gives %q %d times", key, len(list))
		}
		if err := r.take(key, list[0], l); err != nil {
			return nil, err
		}
	}
	if len(r.params) > maxParameters {
		return nil, exceptionf(codeBadArguments, "%d query parameters are more than %d", len(r.params), maxParameters)
	}
	return r, nil
}

func (r *request) take(key, value string, l limits) error {
	switch key {
	case "query":
		r.query = value
	case "query_id":
		if value != "" && !queryIDText.MatchString(value) {
			return exceptionf(codeBadArguments, "query_id must be 1 to 128 printable characters")
		}
		r.queryID = value
	case "database":
		r.database = value
	case "default_format":
		if !formatName.MatchString(value) {
			return exceptionf(codeUnknownFormat, "Unknown format %q", value)
		}
		r.format = value
	case "network_compression_method":
		r.method = strings.ToUpper(value)
		if r.method != "LZ4" && r.method != "ZSTD" {
			return exceptionf(codeBadArguments, "network_compression_method must be LZ4 or ZSTD, not %q", value)
		}
	case "compress":
		return boolean(key, value, &r.compress)
	case "decompress":
		return boolean(key, value, &r.decompress)
	case "wait_end_of_query":
		return boolean(key, value, &r.waitEnd)
	case "session_id", "session_timeout", "session_check":
		return exceptionf(codeNotImplemented, "%s: this embedded engine keeps no sessions; give settings with each request", key)
	default:
		return r.takeSetting(key, value, l)
	}
	return nil
}

func (r *request) takeSetting(key, value string, l limits) error {
	if name, ok := strings.CutPrefix(key, "param_"); ok {
		if !parameterName.MatchString(name) {
			return exceptionf(codeBadArguments, "%q is not a parameter's name", name)
		}
		r.params = append(r.params, parameter{name, value})
		return nil
	}
	if slices.Contains(ignored, key) {
		return nil
	}
	if words, ok := worded[key]; ok {
		if !slices.Contains(words, value) {
			return exceptionf(codeBadArguments, "%s must be one of %s, not %q", key, strings.Join(words, ", "), value)
		}
		if value != "" {
			r.settings = append(r.settings, setting{key, value})
		}
		return nil
	}
	most, ok := numeric[key]
	if !ok {
		return refusalf(http.StatusBadRequest, codeUnknownSetting, "Setting %s is not among those that this embedded engine takes from a URL; write it into the statement's SETTINGS clause", key)
	}
	n, err := number(value)
	if err != nil || n > most {
		return exceptionf(codeBadArguments, "%s must be a whole number from 0 to %d, not %q", key, most, value)
	}
	if key == "max_memory_usage" && (n == 0 || n > l.serverMemory) {
		n = l.serverMemory
	}
	r.settings = append(r.settings, setting{key, strconv.FormatUint(n, 10)})
	return nil
}

// number reads a setting's value; client libraries write booleans as words.
func number(value string) (uint64, error) {
	switch value {
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	return strconv.ParseUint(value, 10, 63)
}

func boolean(key, value string, into *bool) error {
	n, err := number(value)
	if err != nil || n > 1 {
		return exceptionf(codeBadArguments, "%s must be 0 or 1, not %q", key, value)
	}
	*into = n == 1
	return nil
}
