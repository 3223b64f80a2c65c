package matrix

import (
	ot "github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

// The faults, as the matrix names its columns.
const (
	errorAnswer  = "error"       // 500, or an error code of Kafka's
	afterSuccess = "500, done"   // the same, and it was done all the same
	busy         = "503"         //
	conflicts    = "409"         //
	twice        = "412, done"   // delivered twice: the second answer is a refusal
	lost         = "lost"        // the connection breaks before the engine sees it
	replyLost    = "answer lost" // … after it was done
	late         = "late"        // … and it arrives when all is over
	slow         = "slow"        // the answer takes a while
	silent       = "no answer"   // none within the client's patience
	cutBody      = "cut"         // the answer breaks off
	shortBody    = "short"       // half an answer with a length to match
	flippedBody  = "bit flipped" // in what is sent, or read
	full         = "disk full"   //
	forbidden    = "403"         //
	clockSkew    = "clock"       // the store says that ours is wrong; or ours jumps
	killed       = "SIGKILL"     //
	stopped      = "SIGSTOP"     //
	powerLoss    = "power loss"  //
	deleted      = "deleted"     // by somebody else
)

var columns = []string{
	errorAnswer, afterSuccess, busy, conflicts, twice, lost, replyLost, late, slow, silent, cutBody, shortBody, flippedBody,
	full, forbidden, clockSkew, killed, stopped, powerLoss, deleted,
}

// ofHTTP says what a proxy does for a column.
var ofHTTP = map[string]ot.Fault{
	errorAnswer: ot.Error500, afterSuccess: ot.Applied500, busy: ot.SlowDown, conflicts: ot.Conflict, twice: ot.Twice,
	lost: ot.Lost, replyLost: ot.ReplyLost, late: ot.Late, slow: ot.Delayed, silent: ot.NoAnswer, cutBody: ot.Truncated,
	shortBody: ot.ShortAnswer, full: ot.Full, forbidden: ot.Forbidden, clockSkew: ot.SkewedClock,
}

// ofWire are the columns that happen on a connection to Kafka.
var ofWire = map[string]bool{lost: true, replyLost: true, slow: true, cutBody: true, flippedBody: true}

// httpFault is what a proxy does at a point for a column.
func (p *point) httpFault(column string) ot.Fault {
	if column == flippedBody && p.writes {
		return ot.FlippedBody
	}
	if column == flippedBody {
		return ot.FlippedAnswer
	}
	return ofHTTP[column]
}

// senseless tells why a fault makes no sense at a point; "" where it does.
func (p *point) senseless(column string) string {
	switch column {
	case powerLoss:
		return "a loss of power is a point of its own, below the store"
	case deleted:
		return "only the spool is files that nothing keeps from being deleted"
	case killed, stopped:
		if !processPoints[p.name] {
			return "a process dies, or stands still, at the durable steps, at a fetch and at a listing"
		}
		return ""
	}
	switch p.engine {
	case onKafka:
		return p.senselessOfKafka(column)
	case onIndex:
		return p.senselessOfIndex(column)
	default:
		return p.senselessOfStore(column)
	}
}

func (p *point) senselessOfKafka(column string) string {
	switch {
	case column == errorAnswer:
		return ""
	case column == flippedBody && p.key != fetchKey:
		return "Kafka's protocol has checksums of record batches only"
	case ofWire[column]:
		return ""
	default:
		return "HTTP's, or the store's"
	}
}

func (p *point) senselessOfStore(column string) string {
	switch column {
	case afterSuccess, late, full:
		if !p.writes {
			return "a read changes nothing"
		}
	case conflicts, twice:
		if !p.conditional {
			return "only conditional writes are refused so"
		}
	case cutBody, shortBody:
		if p.writes {
			return "the answer to a PUT has no body"
		}
	case flippedBody:
		if !p.writes && !p.summed {
			return "listings have no checksum"
		}
	}
	return ""
}

func (p *point) senselessOfIndex(column string) string {
	switch column {
	case conflicts, twice, forbidden, clockSkew, busy:
		return "the store's"
	case silent:
		return "the index's client waits two minutes: the same as slow, and no case has that long"
	case flippedBody:
		return "blocks go over loopback without checksums"
	case afterSuccess, late, full:
		if !p.writes {
			return "a read changes nothing"
		}
	case cutBody, shortBody:
		if p.writes {
			return "the answer to an insert has no body"
		}
	}
	return ""
}
