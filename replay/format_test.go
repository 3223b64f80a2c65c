package replay

import (
	"bytes"
	"encoding/json"
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
		answer.Redrive{},
		topicPlan{},
		streamPlan{},
		segmentPlan{},
		state{},
		lease{},
		approval{},
		stopState{},
		answer.ReplaySwitch{},
		answer.ReplayApproval{},
		answer.ApprovalDecision{},
		target{},
		positionPlace{},
		cursor{},
		answer.Receipt{},
		answer.ReceiptPartition{},
		answer.OffsetPiece{},
		answer.ReplayPace{},
		answer.ReplayOversized{},
		answer.ReplayUntold{},
		answer.ReplayUntoldRecord{},
		offsetPiece{},
		fileList{},
		fileEntry{},
		fileLine{},
		fileHeader{},
		offsetRange{},
	} {
		for i := range reflect.TypeOf(kept).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(kept).Field(i).Tag.Get("json"), ",")
			if name != "" && !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("job.md lacks `%s` of %T", name, kept)
			}
		}
	}
	for _, text := range []string{planFormat, planFormatByID, planFormatNarrowed, planFormatFiltered, planFormatAway, planFormatRedrive, stateFormatFirst, stateFormatPaced, stateFormat, stateFormatAway, stopFormat, offsetsFormat, filesFormat, sentinelSuffix, answer.JobReconciling, answer.JobAwaiting, answer.JobRejected} {
		if !strings.Contains(string(page), text) {
			t.Errorf("job.md lacks %s", text)
		}
	}
}

// TestPlansOfEarlierVersionsKeepTheirBytes: what an earlier version planned has
// the same bytes, ID and format now. The files were written by those versions.
func TestPlansOfEarlierVersionsKeepTheirBytes(t *testing.T) {
	for file, format := range map[string]string{"plan-v1.json": planFormat, "plan-v2.json": planFormatByID} {
		kept, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var named struct{ ID string }
		if err := json.Unmarshal(kept, &named); err != nil {
			t.Fatal(err)
		}
		object, d, err := parsePlan(kept, named.ID)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		raw, id, err := d.encode()
		if err != nil || id != named.ID || !bytes.Equal(raw, object.Plan) {
			t.Errorf("%s is %s now, %v:\n%s", file, id, err, raw)
		}
		if again, err := json.Marshal(object); err != nil || !bytes.Equal(again, kept) {
			t.Errorf("%s is kept so now, %v:\n%s", file, err, again)
		}
		if object.Format != format || d.format() != format {
			t.Errorf("%s: format %s, and %s now", file, object.Format, d.format())
		}
		request := d.request()
		if selected := selectionOf(&request); !reflect.DeepEqual(selected, d.Selection) {
			t.Errorf("%s: selects %+v, asked for again %+v", file, d.Selection, selected)
		}
	}
}
