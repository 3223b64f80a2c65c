package embeddedtest

import "go.uber.org/goleak"

// VerifyNoLeaks is goleak.VerifyTestMain for packages whose tests use [S3]:
// the gateway's HTTP library keeps a clock for the life of the process and a
// sweeper that ends up to ten seconds after its server.
func VerifyNoLeaks(m goleak.TestingM, opts ...goleak.Option) {
	goleak.VerifyTestMain(m, append([]goleak.Option{
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}, opts...)...)
}
