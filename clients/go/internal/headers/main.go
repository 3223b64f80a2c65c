package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	annals "github.com/fx-risk-ai/annals/clients/go"
)

// question is a line in; header values are base64.
type question struct {
	Inputs  []*kgo.Record
	Record  *kgo.Record
	Event   annals.Event
	Service string // of a hook that sees the record afterwards; empty: none
}

// reply is a line out.
type reply struct {
	Headers []kgo.RecordHeader
	Error   string
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	decoder, encoder := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	decoder.DisallowUnknownFields()
	for {
		var q question
		if err := decoder.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		var r reply
		if err := answer(q); err != nil {
			r.Error = err.Error()
		}
		r.Headers = q.Record.Headers
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("write a reply: %w", err)
		}
	}
}

func answer(q question) error {
	if err := annals.From(q.Inputs...).To(q.Record, q.Event); err != nil {
		return err
	}
	if q.Service == "" {
		return nil
	}
	hook, err := annals.NewHook(q.Service)
	if err != nil {
		return err
	}
	hook.OnProduceRecordBuffered(q.Record)
	return nil
}
