package main

import (
	"errors"
	"net/url"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRequest(t *testing.T) {
	l := defaultLimits(2)
	r, err := parseRequest(url.Values{
		"query": {"SELECT 1"}, "query_id": {"q-1"}, "database": {"d"}, "default_format": {"Native"},
		"param_a": {"';"}, "max_threads": {"2"}, "final": {"true"}, "compress": {"1"}, "network_compression_method": {"zstd"},
		"client_protocol_version": {"54460"}, "max_memory_usage": {"0"}, "wait_end_of_query": {"1"},
	}, l)
	if err != nil {
		t.Fatal(err)
	}
	if r.query != "SELECT 1" || r.queryID != "q-1" || r.database != "d" || r.format != "Native" || !r.compress || r.decompress || r.method != "ZSTD" || !r.waitEnd {
		t.Errorf("got %+v", r)
	}
	if len(r.params) != 1 || r.params[0] != (parameter{"a", "';"}) {
		t.Errorf("parameters: %v", r.params)
	}
	// No request may have more memory than the engine.
	if got, want := stateOf("", r.settings).settings, "final=1\x00max_memory_usage=1258291200\x00max_threads=2"; got != want {
		t.Errorf("settings: %q, want %q", got, want)
	}
	for _, bad := range []url.Values{
		{"max_threads": {"-1"}},
		{"max_threads": {"1e3"}},
		{"max_threads": {" 1"}},
		{"max_threads": {"65"}},
		{"max_threads": {""}},
		{"max_execution_time": {"1'; DROP TABLE t"}},
		{"max_threads": {"1", "2"}},
		{"param_a b": {"1"}},
		{"param_": {"1"}},
		{"default_format": {"Native; DROP"}},
		{"default_format": {""}},
		{"compress": {"2"}},
		{"network_compression_method": {"brotli"}},
		{"query_id": {"a\nb"}},
		{"session_id": {"s"}},
		{"date_time_input_format": {"'"}},
		{"log_comment": {"x"}},
		{"role": {"r"}},
	} {
		var e *engineError
		if _, err := parseRequest(bad, l); !errors.As(err, &e) || e.status < 400 || e.status >= 600 {
			t.Errorf("%v: got %v, want a refusal", bad, err)
		}
	}
}

// TestSettingsAreNumbers holds that nothing but digits and fixed words ever
// reaches a session's arguments, whatever a URL says.
func TestSettingsAreNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(rapid.SampledFrom([]string{"max_threads", "final", "max_memory_usage", "date_time_input_format", "session_timezone"}), rapid.String()).Draw(t, "key")
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9]{0,20}|true|basic|UTC`)).Draw(t, "value")
		r, err := parseRequest(url.Values{key: {value}}, defaultLimits(2))
		if err != nil {
			return
		}
		for _, s := range r.settings {
			for _, c := range s.value {
				if (c < '0' || c > '9') && worded[s.name] == nil {
					t.Fatalf("%s=%q became %s=%q", key, value, s.name, s.value)
				}
			}
		}
	})
}

func TestLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8123": true, "127.9.9.9:1": true, "localhost": true, "localhost:1": true, "[::1]:1": true, "::1": true, "[::1]": true,
		"": false, "example.com": false, "localhost.example.com": false, "127.0.0.1.example.com:1": false, "0.0.0.0": false, "10.0.0.1:1": false, "[::2]:1": false, "[": false, "[]": false,
	} {
		if got := loopbackHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
