// Package registry finds the schemas that records name, keeps them in the
// archive, and decodes payloads by them.
//
// # What it promises
//
// A schema is looked for in memory, then in the archive (schemas/, see
// docs/formats/schemas.md), then in a registry with Confluent's API. What a
// registry gives is put into the archive with all that it refers to, so that a
// record can be read when the registry is gone.
//
// A registry that is slow, wrong or away holds nobody up for long: one request
// at a time, each with a limit of time and of bytes; after a failure nobody
// asks for a while, twice as long each time up to a minute; and schemas that
// nobody has heard of are asked for at a limited rate, since any five bytes may
// look like a schema's id. What could not be decoded for that reason says so
// (extract.SchemaUnavailable), and is decoded when it is read again.
//
// # What it does not
//
// An id is believed to mean one schema for ever. A registry that begins anew
// needs another name. Subjects, versions and compatibility are not looked at,
// and values are not held against their JSON Schema.
//
// # Concurrency
//
// A Decoder is safe for concurrent use.
//
// Where to look:
//
//	decoder.go  Decoder, what is known of a schema, when it is asked for again
//	fetch.go    the registry's API, references
//	archive.go  the objects below schemas/
package registry
