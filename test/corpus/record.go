package corpus

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Record makes what a producer would send of a case's lines:
//
//	key EXPRESSION           null where there is none
//	value EXPRESSION
//	header TERM EXPRESSION   name and value, in order
//	headers N TERM TERM      N of them; a %d is the number from 0
//	time MILLISECONDS        since the Unix epoch; 1,700,000,000,000 where there is none
func (c *Case) Record() (*schema.Record, error) {
	r := &schema.Record{Timestamp: 1_700_000_000_000, ProducerID: -1, ProducerEpoch: -1, Status: schema.Committed}
	for _, l := range c.Lines {
		var err error
		switch l.Word {
		case "key":
			r.Key, err = Bytes(l.Rest)
		case "value":
			r.Value, err = Bytes(l.Rest)
		case "header":
			err = header(r, l.Rest)
		case "headers":
			err = headers(r, l.Rest)
		case "time":
			r.Timestamp, err = strconv.ParseInt(l.Rest, 10, 64)
		default:
			err = fmt.Errorf("unknown word %q", l.Word)
		}
		if err != nil {
			return nil, fmt.Errorf("case %s: %w", c.Name, err)
		}
	}
	return r, nil
}

func header(r *schema.Record, text string) error {
	first, second, err := Two(text)
	if err != nil {
		return err
	}
	name, err := Bytes(first)
	if err != nil {
		return err
	}
	value, err := Bytes(second)
	if err == nil {
		r.Headers = append(r.Headers, schema.Header{Name: string(name), Value: value})
	}
	return err
}

func headers(r *schema.Record, text string) error {
	count, rest, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var one schema.Record
	if err := header(&one, rest); err != nil {
		return err
	}
	for i := range n {
		number := strconv.Itoa(i)
		r.Headers = append(r.Headers, schema.Header{
			Name:  strings.ReplaceAll(one.Headers[0].Name, "%d", number),
			Value: []byte(strings.ReplaceAll(string(one.Headers[0].Value), "%d", number)),
		})
	}
	return nil
}

// shown is how many ids of one role a case lists; of more, the number.
const shown = 6

// Describe says what extraction made of a record, as cases do behind =>.
func Describe(x *schema.Extraction) []Line {
	var lines []Line
	say := func(word, text string) {
		if text == "" {
			return
		}
		if len(text) > 100 {
			text = fmt.Sprintf("%.40q … %d bytes", text, len(text))
		} else {
			text = strconv.QuoteToASCII(text)
		}
		lines = append(lines, Line{word, text})
	}
	say("event", x.EventID)
	say("type", x.EventType)
	say("version", x.EventVersion)
	say("service", x.SourceService)
	say("trace", x.TraceID)
	say("span", x.SpanID)
	if x.HasEventTime {
		lines = append(lines, Line{"time", strconv.FormatInt(x.EventTime, 10)})
	}
	if x.Stage != schema.StageUnknown {
		lines = append(lines, Line{"stage", x.Stage.String()})
	}
	if x.HasSchemaID {
		lines = append(lines, Line{"schema", strconv.Itoa(int(x.SchemaID))})
	}
	for i, c := range x.Causes {
		if i == shown {
			lines = append(lines, Line{"causes", strconv.Itoa(len(x.Causes))})
			break
		}
		say("cause", c.String())
	}
	for i, id := range x.Identifiers {
		if i == shown {
			lines = append(lines, Line{"ids", strconv.Itoa(len(x.Identifiers))})
			break
		}
		say("id "+strings.ReplaceAll(id.Kind.String(), " ", "-"), id.ID)
	}
	for _, e := range x.Errors {
		lines = append(lines, Line{"flag", e})
	}
	if len(lines) == 0 {
		lines = append(lines, Line{Word: "nothing"})
	}
	return lines
}
