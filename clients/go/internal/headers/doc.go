// Command headers writes what the module would write, for tests that stand
// outside of it: one JSON object a line in, with the inputs, the record and the
// event, and one out, with the record's headers or the error. It exists because
// those tests cannot import the module without depending on it.
package main
