package extract

// SchemaID names a schema of a registry: by number, or, where GUID is not zero,
// by that.
type SchemaID struct {
	Number int32
	GUID   [16]byte
}

// Decoder reads payloads by the schema that they name. registry.Decoder is one.
type Decoder interface {
	// Decode gives the payload as JSON text, or nil where it is JSON text as it
	// is. indexes says which of a Protobuf schema's messages it is, where a
	// header said so; otherwise body begins with that. What hinders it is named
	// by one of the codes of errors.go. It keeps nothing of its arguments, may be
	// called from many goroutines, and waits for a registry only so long, and so
	// seldom, that archiving does not fall behind.
	Decode(id SchemaID, indexes, body []byte) (text []byte, code string)
}

// decode reads a payload whose schema is known. It is decoded even where the
// headers say everything: so that its schema is archived, and that it is known
// if it cannot be.
func (r *reading) decode(decoder Decoder, value []byte, o *override) {
	body := value
	if !r.unframed {
		body = value[frameBytes:]
	}
	if value == nil {
		return // a tombstone
	}
	if len(body) > MaxPayloadBytes {
		addError(r.into, PayloadTooLarge)
		return
	}
	text, code := decoder.Decode(SchemaID{Number: r.into.SchemaID, GUID: r.guid}, r.indexes, body)
	if code == "" && text != nil {
		r.decoded = text
	} else if code == "" {
		r.decoded = body
	}
	wanted := !r.complete() || o != nil && len(o.pointers) > 0
	switch {
	case code != "":
		addError(r.into, code)
		if wanted {
			r.readPayload(value, o)
		}
	case text != nil && wanted:
		r.saysJSON = true
		r.readText(text, o)
	case text == nil && wanted:
		r.saysJSON = true
		r.readText(body, o)
	case text == nil:
		s := scanner{data: body}
		if !s.skip() || !s.end() {
			addError(r.into, NotJSON)
		}
	}
}
