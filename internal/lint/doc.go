// Package lint holds the rules of the source tree that a compiler does not
// check: who may import whom, which folder may use which client library, how
// long files and functions may be, what a package must have. Its tests run the
// rules over the tree; nothing else imports it.
//
// # What it promises
//
// Each rule is a function from a description of the tree to findings, so that a
// test can feed it a made-up tree and see it fail. A finding names the file or
// package and what to do instead.
//
// # What it does not
//
// It does not judge style beyond these rules: go vet, staticcheck and gofumpt
// do (make lint).
//
// # Files
//
//	tree.go      reading the tree (go list, the folders)
//	imports.go   direction of imports; one client, one folder
//	layout.go    doc.go, names, lengths, init, cgo, keys of log lines
//	maps.go      a doc.go names the files beside it
//	settings.go  options that nothing reads
//	links.go     links between documents
//	binary.go    what a compiled program may depend on
package lint
