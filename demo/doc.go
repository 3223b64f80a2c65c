// Package demo is a real event pipeline on real data: four Kafka services that
// turn the European Central Bank's reference rates into enriched rates,
// volatilities, exposures and alerts. They are plain Kafka clients, as any
// company's services are: nothing here knows who else reads the topics.
//
//	ecb-gateway    the file                  → fx.rates.received, fx.rates.received.dlq
//	rate-enricher  fx.rates.received         → fx.rates.enriched
//	risk-engine    fx.rates.enriched         → fx.risk.volatility, fx.risk.exposure
//	risk-alerts    volatility and exposure   → fx.risk.alerts
//
// # What it promises
//
// Each service takes its input into its output exactly once: the records, the
// consumed offsets and the place from which its state can be read again are
// one Kafka transaction. State lives in no file: a service that was killed
// anywhere reads the few days that its state needs from its own input and goes
// on. Which records exist, and which window each volatility was computed over,
// does not depend on when anything was killed; only the random ids do.
//
// Every hop uses another dialect of headers (see event.go), as hops of
// different teams do.
//
// # What it does not promise
//
// A service is one process: a second one of the same name takes over and
// fences the first. Rates are computed with, not judged.
//
// # Concurrency
//
// [Run] runs one service until its context ends; services share nothing and
// may run in one process or in several. [Supervise] runs all of them as child
// processes.
//
//	run.go         a service, until its context ends
//	config.go      settings, connection, the days to publish
//	topics.go      topic names and their creation
//	event.go       the contracts and their headers
//	currency.go    names, regions, portfolios
//	gateway.go     ecb-gateway: publishing days, resuming, running again
//	contracts.go   the contracts, for who wants to hold events to them
//	rejected.go    ecb-gateway: cells without a quote
//	enricher.go    rate-enricher
//	engine.go      risk-engine: windows, waiting days, what state must be kept
//	risk.go        risk-engine: volatilities and exposures
//	alerts.go      risk-alerts
//	transact.go    consume, process, produce, commit: one transaction
//	deadletter.go  what cannot be processed
//	read.go        reading a range of committed records
//	log.go         its log, for people and for programs
//	progress.go    how far a service is
//	supervise.go   the four as child processes
//	console.go     telling a person how it goes
package demo
