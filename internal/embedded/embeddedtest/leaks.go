package embeddedtest

import (
	"time"

	"go.uber.org/goleak"
)

// leaksEnd is how long what tests have closed may take to end on a busy machine:
// goleak itself waits for about a second.
const leaksEnd = 30 * time.Second

// VerifyNoLeaks is goleak.VerifyTestMain for packages whose tests use [S3]:
// the gateway's HTTP library keeps a clock for the life of the process and a
// sweeper that ends up to ten seconds after its server.
func VerifyNoLeaks(m goleak.TestingM, opts ...goleak.Option) {
	opts = append([]goleak.Option{
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}, opts...)
	goleak.VerifyTestMain(ending{m, opts}, opts...)
}

// ending are tests that are over when their goroutines have ended, or will not.
type ending struct {
	goleak.TestingM
	opts []goleak.Option
}

// Run implements goleak.TestingM.
func (e ending) Run() int {
	code := e.TestingM.Run()
	for deadline := time.Now().Add(leaksEnd); code == 0 && goleak.Find(e.opts...) != nil && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
	return code
}
