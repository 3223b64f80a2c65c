// Package api is the web API's types and routes, generated from
// schema/openapi.yaml: the document is the source, and "make gen" follows it.
//
// # What it promises
//
// A handler implements StrictServerInterface and sees requests that are decoded
// and answers that are typed, never echo's own types. GetSpec returns the
// document, for checking requests against it before they are decoded.
//
// # What it does not
//
// It checks no limits, patterns or lengths: decoding alone does not. It knows
// nothing of who is asking.
//
// # Files
//
//	api.gen.go  generated; oapi-codegen.yaml says how
package api
