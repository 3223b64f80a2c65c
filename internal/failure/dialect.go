package failure

import "strings"

// Dialect is whose headers tell of a failure; "" where none do.
type Dialect string

// The dialects.
const (
	Spring      Dialect = "spring"
	SpringRetry Dialect = "spring-retry" // the dead letter topic behind retry topics
	Binder      Dialect = "spring-cloud-stream"
	Connect     Dialect = "kafka-connect"
	Streams     Dialect = "kafka-streams"
	Own         Dialect = "annals" // a notice of Annals' own dead letter, not the record itself
)

// part is what one header says.
type part uint8

const (
	_ part = iota
	topicPart
	partitionPart
	offsetPart
	class
	cause // the exception inside the one that class names
	message
	stage
	by     // who gave up
	detail // belongs to the dialect, and says nothing that is shown
	keyClass
	keyMessage
)

type meaning struct {
	dialect Dialect
	part    part
}

// headers are the names, in lower case: frameworks write them so, and proxies
// change their case.
var headers = map[string]meaning{
	"kafka_dlt-original-topic":              {Spring, topicPart},
	"kafka_dlt-original-partition":          {Spring, partitionPart},
	"kafka_dlt-original-offset":             {Spring, offsetPart},
	"kafka_dlt-original-timestamp":          {Spring, detail},
	"kafka_dlt-original-timestamp-type":     {Spring, detail},
	"kafka_dlt-original-consumer-group":     {Spring, by},
	"kafka_dlt-exception-fqcn":              {Spring, class},
	"kafka_dlt-exception-cause-fqcn":        {Spring, cause},
	"kafka_dlt-exception-message":           {Spring, message},
	"kafka_dlt-exception-stacktrace":        {Spring, detail},
	"kafka_dlt-key-exception-fqcn":          {Spring, keyClass},
	"kafka_dlt-key-exception-message":       {Spring, keyMessage},
	"kafka_dlt-key-exception-stacktrace":    {Spring, detail},
	"kafka_original-topic":                  {SpringRetry, topicPart},
	"kafka_original-partition":              {SpringRetry, partitionPart},
	"kafka_original-offset":                 {SpringRetry, offsetPart},
	"kafka_original-timestamp":              {SpringRetry, detail},
	"kafka_original-timestamp-type":         {SpringRetry, detail},
	"kafka_original-consumer-group":         {SpringRetry, by},
	"kafka_exception-fqcn":                  {SpringRetry, class},
	"kafka_exception-cause-fqcn":            {SpringRetry, cause},
	"kafka_exception-message":               {SpringRetry, message},
	"kafka_exception-stacktrace":            {SpringRetry, detail},
	"retry_topic-attempts":                  {SpringRetry, detail},
	"retry_topic-backoff-timestamp":         {SpringRetry, detail},
	"retry_topic-original-timestamp":        {SpringRetry, detail},
	"springdeserializerexceptionkey":        {Spring, detail},
	"springdeserializerexceptionvalue":      {Spring, detail},
	"x-original-topic":                      {Binder, topicPart},
	"x-original-partition":                  {Binder, partitionPart},
	"x-original-offset":                     {Binder, offsetPart},
	"x-original-timestamp":                  {Binder, detail},
	"x-original-timestamp-type":             {Binder, detail},
	"x-exception-fqcn":                      {Binder, class},
	"x-exception-message":                   {Binder, message},
	"x-exception-stacktrace":                {Binder, detail},
	"__connect.errors.topic":                {Connect, topicPart},
	"__connect.errors.partition":            {Connect, partitionPart},
	"__connect.errors.offset":               {Connect, offsetPart},
	"__connect.errors.connector.name":       {Connect, by},
	"__connect.errors.stage":                {Connect, stage},
	"__connect.errors.exception.class.name": {Connect, class},
	"__connect.errors.exception.message":    {Connect, message},
	"__streams.errors.topic":                {Streams, topicPart},
	"__streams.errors.partition":            {Streams, partitionPart},
	"__streams.errors.offset":               {Streams, offsetPart},
	"__streams.errors.exception":            {Streams, class},
	"__streams.errors.message":              {Streams, message},
	// bakdata's and others' before KIP-1034.
	"__streams.errors.exception.class.name": {Streams, class},
	"__streams.errors.exception.message":    {Streams, message},
	"__streams.errors.description":          {Streams, stage},
	"annals-dead-letter":                    {Own, detail},
	"annals-component":                      {Own, stage},
	"annals-topic":                          {Own, topicPart},
	"annals-partition":                      {Own, partitionPart},
	"annals-offset":                         {Own, offsetPart},
	"annals-error":                          {Own, message},
}

// families are whole sets of names that one framework writes: what it adds in a
// later version is its own, too.
var families = []struct {
	prefix  string
	dialect Dialect
}{
	{"kafka_dlt-", Spring},
	{"__connect.errors.", Connect},
	{"__streams.errors.", Streams},
}

// meaningOf tells what a header says of a failure; false: nothing.
func meaningOf(name string) (meaning, bool) {
	name = strings.ToLower(name)
	if m, ok := headers[name]; ok {
		return m, true
	}
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			return meaning{f.dialect, detail}, true
		}
	}
	return meaning{}, false
}
