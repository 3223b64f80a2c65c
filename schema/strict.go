package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// DecodeStrictly reads one JSON value: a field that into does not have, and
// bytes behind the value, are errors. What they mean the caller says: its own
// version's bytes damaged, or a newer one's (see Newer).
func DecodeStrictly(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("bytes after its end")
	}
	return nil
}
