package demo_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fx-risk-ai/annals/demo"
)

const cannot = "unable to open connection to broker"

// A person hears of brokers that stay away, a program of each attempt.
func TestLoggerIsCalmOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var person, program bytes.Buffer
		on, off := demo.NewLogger(&person, slog.LevelWarn, true), demo.NewLogger(&program, slog.LevelWarn, false)
		for range 60 {
			on.With("component", "kafka").Warn(cannot, "addr", "127.0.0.1:1")
			off.Warn(cannot, "addr", "127.0.0.1:1")
			time.Sleep(time.Second)
		}
		if n := strings.Count(person.String(), "Kafka does not answer"); n != 2 || strings.Count(person.String(), "\n") != 2 || !strings.Contains(person.String(), "127.0.0.1:1") {
			t.Errorf("in a minute a person is told %d times:\n%s", n, &person)
		}
		if n := strings.Count(program.String(), `"msg":"`+cannot); n != 60 {
			t.Errorf("a program is told %d times of 60", n)
		}
		person.Reset()
		time.Sleep(time.Hour)
		on.Warn(cannot) // everything was stopped
		on.Warn("starting over")
		if got := person.String(); strings.Contains(got, "Kafka") || !strings.Contains(got, "starting over") {
			t.Errorf("%q", got)
		}
	})
}
