package replay

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestFormatIsWrittenDown holds the fields of what is kept against job.md.
func TestFormatIsWrittenDown(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/job.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []any{
		planObject{},
		document{},
		selection{},
		topicPlan{},
		streamPlan{},
		segmentPlan{},
		state{},
		lease{},
		target{},
		positionPlace{},
		cursor{},
		answer.Receipt{},
		answer.ReceiptPartition{},
	} {
		for i := range reflect.TypeOf(kept).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(kept).Field(i).Tag.Get("json"), ",")
			if name != "" && !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("job.md lacks `%s` of %T", name, kept)
			}
		}
	}
	for _, text := range []string{planFormat, stateFormat, sentinelSuffix, answer.JobReconciling} {
		if !strings.Contains(string(page), text) {
			t.Errorf("job.md lacks %s", text)
		}
	}
}
