package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// checker collects what is wrong and what is odd.
type checker struct {
	cfg      *Config
	root     *node
	origins  map[string]string
	found    *problems
	warnings []Warning
}

// validate checks every option by itself, then what must hold between options.
func validate(cfg *Config, root *node, origins map[string]string, found *problems) []Warning {
	c := &checker{cfg: cfg, root: root, origins: origins, found: found}
	for _, option := range root.options() {
		c.each(option, reflect.ValueOf(cfg).Elem(), option.path)
	}
	c.kafka()
	c.sasl("kafka.", c.cfg.Kafka.SASL, c.cfg.Kafka.TLS.Enabled, c.cfg.Kafka.Brokers)
	c.s3()
	c.clickHouse()
	c.archive()
	c.topics()
	c.extract()
	c.schemas()
	c.replay()
	c.replayClusters()
	c.web()
	c.embedded()
	c.telemetry()
	return c.warnings
}

func (c *checker) fail(path, format string, args ...any) {
	c.found.add(c.origins[path], path, format, args...)
}

func (c *checker) warn(path, format string, args ...any) {
	c.warnings = append(c.warnings, Warning{Path: path, Message: fmt.Sprintf(format, args...)})
}

// each checks one option of a section against its enum, min and max tags; of a
// list of sections all of theirs.
func (c *checker) each(option *node, section reflect.Value, path string) {
	value := option.in(section)
	if option.row != nil {
		for i := range value.Len() {
			for _, below := range option.row.options() {
				c.each(below, value.Index(i), fmt.Sprintf("%s[%d].%s", path, i, below.path))
			}
		}
		return
	}
	if words := option.tag.Get("enum"); words != "" {
		allowed := strings.Split(words, ",")
		if got := value.String(); !slices.Contains(allowed, got) {
			c.fail(path, "%s is not one of %s", quote(got), strings.Join(allowed, ", "))
		}
	}
	if option.list() {
		for _, item := range value.Interface().([]string) {
			c.text(path, item)
		}
	} else if value.Kind() == reflect.String {
		c.text(path, value.String())
	}
	if limit := option.tag.Get("min"); limit != "" && value.Int() < number(option.typ, limit) {
		c.fail(path, "%v is below %s, the least that is allowed", value, limit)
	}
	if limit := option.tag.Get("max"); limit != "" && value.Int() > number(option.typ, limit) {
		c.fail(path, "%v is above %s, the most that is allowed", value, limit)
	}
}

// text bounds every string, so that none is a surprise further on.
func (c *checker) text(path, s string) {
	const limit = 4096
	if len(s) > limit {
		c.fail(path, "is longer than %d bytes", limit)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		c.fail(path, "contains control characters")
	}
}

// number reads a limit from a struct tag.
func number(typ reflect.Type, text string) int64 {
	v, err := parse(typ, text)
	if err != nil {
		panic("config: limit in a struct tag: " + err.Error()) // every test would meet it
	}
	return v.Int()
}

func (c *checker) kafka() {
	k := c.cfg.Kafka
	for _, broker := range k.Brokers {
		c.address("kafka.brokers", broker, false)
	}
	c.patterns("kafka.topics.include", k.Topics.Include)
	c.patterns("kafka.topics.exclude", k.Topics.Exclude)
	if len(k.Topics.Include) == 0 {
		c.fail("kafka.topics.include", "is empty: no topic would be archived; leave it out to archive all")
	}
	c.tlsFiles("kafka.tls", k.TLS.TLSFiles, k.TLS.Enabled, "kafka.tls.enabled is false")
}

func (c *checker) patterns(path string, patterns []string) {
	for _, p := range patterns {
		if _, err := regexp.Compile(p); err != nil {
			c.fail(path, "%s is not a regular expression: %v", quote(p), err)
		}
	}
}

// sasl checks that a mechanism of a cluster has what it needs, and that nothing is
// given which it would ignore.
func (c *checker) sasl(cluster string, s SASL, encrypted bool, brokers []string) {
	base := cluster + "sasl."
	password := s.Mechanism == "PLAIN" || strings.HasPrefix(s.Mechanism, "SCRAM-")
	bearer := s.Mechanism == "OAUTHBEARER"
	given := map[string]bool{
		"username": s.Username != "", "password": s.Password.IsSet(),
		"token_file": s.TokenFile != "", "token_url": s.TokenURL != "", "client_id": s.ClientID != "",
		"client_secret": s.ClientSecret.IsSet(), "scope": s.Scope != "",
	}
	if password {
		c.need(base, given, "for "+s.Mechanism, "username", "password")
	} else {
		c.refuse(base, given, "only PLAIN and SCRAM use it", "username", "password")
	}
	switch {
	case !bearer:
		c.refuse(base, given, "only OAUTHBEARER uses it", "token_file", "token_url", "client_id", "client_secret", "scope")
	case given["token_file"] && given["token_url"]:
		c.fail(base+"token_file", "and token_url are both set; keep one of them")
	case given["token_file"]:
		c.refuse(base, given, "it belongs to token_url", "client_id", "client_secret", "scope")
	case given["token_url"]:
		c.need(base, given, "for token_url", "client_id", "client_secret")
		c.url(base+"token_url", s.TokenURL)
	default:
		c.fail(base+"mechanism", "OAUTHBEARER needs %[1]stoken_file or %[1]stoken_url", base)
	}
	if local := !slices.ContainsFunc(brokers, func(b string) bool { return !Loopback(b) }); !encrypted && (s.Mechanism == "PLAIN" || bearer) && !local {
		c.warn(base+"mechanism", "%s without %stls.enabled sends the secret readable over the network", s.Mechanism, cluster)
	}
}

// need reports options that must be set; secrets are named with the two ways to
// set them.
func (c *checker) need(base string, given map[string]bool, why string, keys ...string) {
	for _, key := range keys {
		option, section := c.at(base + key)
		switch {
		case given[key]:
		case option.secret():
			file := base + option.tag.Get("file")
			if at, in := c.at(file); at.in(in).String() != "" { // and reading it has failed, which is said
				continue
			}
			if section.Type() != reflect.TypeFor[Config]() {
				c.fail(base+key, "is needed %s: name a file in %s", why, file)
				continue
			}
			c.fail(base+key, "is needed %s: set %s, or name a file in %s", why, option.env(), file)
		default:
			c.fail(base+key, "is needed %s", why)
		}
	}
}

// refuse reports options that are set and would be ignored.
func (c *checker) refuse(base string, given map[string]bool, why string, keys ...string) {
	for _, key := range keys {
		if given[key] {
			c.fail(base+key, "is set but would be ignored: %s", why)
		}
	}
}

// at finds an option by its path, also one of a list of sections, such as
// replay.clusters[0].sasl.password, and the section that holds it: the Config, or
// the one of the list.
func (c *checker) at(path string) (*node, reflect.Value) {
	option, section := c.root, reflect.ValueOf(c.cfg).Elem()
	for key := range strings.SplitSeq(path, ".") {
		name, row, _ := strings.Cut(strings.TrimSuffix(key, "]"), "[")
		if option = option.child(name); row != "" {
			i, _ := strconv.Atoi(row)
			section, option = option.in(section).Index(i), option.row
		}
	}
	return option, section
}

func (c *checker) s3() {
	s := c.cfg.S3
	if s.Endpoint != "" {
		c.url("s3.endpoint", s.Endpoint)
		c.tlsFiles("s3.tls", s.TLS, strings.HasPrefix(s.Endpoint, "https:"), "s3.endpoint is not an https address")
		c.bucket(s.Bucket)
	}
	if s.Prefix != strings.Trim(s.Prefix, "/") || strings.Contains(s.Prefix, "//") {
		c.fail("s3.prefix", "%s must not begin or end with a slash, nor hold two in a row", quote(s.Prefix))
	}
	given := map[string]bool{"access_key": s.AccessKey != "", "secret_key": s.SecretKey.IsSet()}
	switch {
	case s.Endpoint == "" || s.Credentials != "static":
		c.refuse("s3.", given, "it needs s3.endpoint and s3.credentials: static", "access_key", "secret_key")
	default:
		c.need("s3.", given, "for static credentials", "access_key", "secret_key")
	}
}

// bucketName is what S3 allows: 3 to 63 characters, lower case, digits, dots
// and hyphens, beginning and ending with a letter or digit.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (c *checker) bucket(name string) {
	if !bucketName.MatchString(name) || strings.Contains(name, "..") {
		c.fail("s3.bucket", "%s is not a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens", quote(name))
	}
}

// identifier is what needs no quoting in SQL.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

func (c *checker) clickHouse() {
	h := c.cfg.ClickHouse
	if !identifier.MatchString(h.Database) {
		c.fail("clickhouse.database", "%s is not a name of letters, digits and underscores", quote(h.Database))
	}
	if h.URL == "" {
		c.refuse("clickhouse.", map[string]bool{"password": h.Password.IsSet()}, "clickhouse.url is not set", "password")
		return
	}
	c.url("clickhouse.url", h.URL)
	secure := strings.HasPrefix(h.URL, "https:")
	c.tlsFiles("clickhouse.tls", h.TLS, secure, "clickhouse.url is not an https address")
	if u, err := url.Parse(h.URL); err == nil && !secure && h.Password.IsSet() && !Loopback(u.Host) {
		c.warn("clickhouse.url", "http sends the password readable over the network; use https")
	}
}

func (c *checker) archive() {
	a := c.cfg.Archive
	if t := a.DeadLetters.Topic; t != "" && !schema.IsTopicName(t) {
		c.fail("archive.dead_letters.topic", "%s is not a topic name: %s", quote(t), schema.TopicNameRule)
	}
	if a.Cut.MinBytes > a.Cut.Bytes {
		c.fail("archive.cut.min_bytes", "%v is more than archive.cut.bytes (%v)", a.Cut.MinBytes, a.Cut.Bytes)
	}
	if a.Cut.Age > a.Cut.MaxAge {
		c.fail("archive.cut.age", "%v is more than archive.cut.max_age (%v)", a.Cut.Age, a.Cut.MaxAge)
	}
	if a.Memory.Bytes < a.Cut.Bytes {
		c.fail("archive.memory.bytes", "%v is less than archive.cut.bytes (%v): no segment could grow to its size", a.Memory.Bytes, a.Cut.Bytes)
	}
	if s := a.Spool.Bytes; s > 0 && s < a.Cut.Bytes {
		c.fail("archive.spool.bytes", "%v is less than archive.cut.bytes (%v): it would hold no segment; 0 means no spool", s, a.Cut.Bytes)
	}
	if a.Spool.Dir != "" && a.Spool.Bytes == 0 {
		c.fail("archive.spool.bytes", "is 0, so that nothing is kept in archive.spool.dir (%s)", quote(a.Spool.Dir))
	}
	if a.Group == "" {
		c.fail("archive.group", "must not be empty")
	}
	if r := c.cfg.Index.Retention; r != 0 && r < Duration(day) {
		c.fail("index.retention", "%v is less than a day; 0 keeps records for ever", r)
	}
}

func (c *checker) replay() {
	r := c.cfg.Replay
	if !schema.IsTopicName(r.PositionTopic) {
		c.fail("replay.position_topic", "%s is not a topic name: %s", quote(r.PositionTopic), schema.TopicNameRule)
	}
	if r.PositionReplication == 0 {
		c.fail("replay.position_replication", "0 is not a replication factor; -1 is the broker's default")
	}
	if !schema.IsTopicName(r.SandboxPrefix) {
		c.fail("replay.sandbox_prefix", "%s is not the beginning of a topic name: %s", quote(r.SandboxPrefix), schema.TopicNameRule)
	}
	if r.Approval != "none" && !Loopback(c.cfg.Web.Listen) {
		c.warn("replay.approval", "nothing checks who the header Annals-User says that somebody is: one person may approve their own replays under another name, unless a proxy sets it")
	}
}

func (c *checker) web() {
	w := c.cfg.Web
	c.address("web.listen", w.Listen, true)
	for _, host := range w.AllowedHosts {
		if host == "" || strings.ContainsAny(host, ":/*") && net.ParseIP(host) == nil {
			c.fail("web.allowed_hosts", "%s is not a host name: write it without scheme and port", quote(host))
		}
	}
	if Loopback(w.Listen) {
		return
	}
	if len(w.AllowedHosts) == 0 {
		c.fail("web.allowed_hosts", "must name the hosts under which the API is reached, because web.listen (%s) is not a loopback address", w.Listen)
	}
	c.warn("web.listen", "%s is not a loopback address, and there is no login: who reaches it reads the whole archive and may start replays; put a proxy that authenticates before it", w.Listen)
}

func (c *checker) embedded() {
	e := c.cfg.Embedded
	if e.DataDir == "" {
		c.fail("embedded.data_dir", "must not be empty")
	}
	for _, listen := range [][2]string{
		{"embedded.kafka_listen", e.KafkaListen},
		{"embedded.s3_listen", e.S3Listen},
		{"embedded.clickhouse_listen", e.ClickHouseListen},
	} {
		path, address := listen[0], listen[1]
		if c.address(path, address, true) && !Loopback(address) {
			c.fail(path, "%s is not a loopback address: embedded engines are for this machine only", quote(address))
		}
	}
}

func (c *checker) telemetry() {
	o := c.cfg.Telemetry.OTLP
	if o.Endpoint == "" {
		c.refuse("telemetry.otlp.", map[string]bool{"headers": o.Headers.IsSet()}, "telemetry.otlp.endpoint is not set", "headers")
	} else {
		c.url("telemetry.otlp.endpoint", o.Endpoint)
	}
	if _, err := o.HeaderValues(); err != nil {
		c.fail("telemetry.otlp.headers", "are not name=value pairs with commas between them")
	}
	c.tlsFiles("telemetry.otlp.tls", o.TLS, strings.HasPrefix(o.Endpoint, "https:"), "telemetry.otlp.endpoint is not an https address")
}

// address checks host:port; port 0 only where something listens.
func (c *checker) address(path, address string, listen bool) bool {
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 && !listen || host == "" && !listen || strings.ContainsAny(host, "/ ") {
		c.fail(path, "%s is not host:port", quote(address))
		return false
	}
	return true
}

// url checks an address of a service: scheme, host, nothing that would be
// ignored, and no password in it.
func (c *checker) url(path, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		// The text is not repeated: it may hold a password.
		c.fail(path, "is not an http:// or https:// address with a host")
	case u.User != nil:
		c.fail(path, "must not hold a user or password; there are options for them")
	case u.RawQuery != "" || u.Fragment != "":
		c.fail(path, "must not hold a query or fragment")
	case !strings.HasSuffix(path, "sasl.token_url") && path != "schemas.url" && path != "telemetry.otlp.endpoint" && u.Path != "" && u.Path != "/":
		c.fail(path, "must not hold a path")
	}
}

// tlsFiles checks that the pair is whole and that the files will be used.
func (c *checker) tlsFiles(base string, t TLSFiles, used bool, why string) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		c.fail(base+".cert_file", "and key_file belong together; set both or none")
	}
	if !used && t != (TLSFiles{}) {
		c.fail(base, "is set but would be ignored: %s", why)
	}
}

// Loopback reports whether address (host:port) can be reached from this machine
// only. An empty host means every interface.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
