package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/schema"
)

// format names the form of the objects below schemas/.
const format = "annals.schema/1"

// document is one schema as it is archived. Its bytes follow from the schema
// alone, so that two who put it put the same.
type document struct {
	Format     string              `json:"format"`
	Registry   string              `json:"registry"`
	ID         string              `json:"id"` // a number, or a GUID
	Type       string              `json:"type"`
	Schema     string              `json:"schema"`
	References []documentReference `json:"references"` // each behind those that it needs
}

type documentReference struct {
	Name   string `json:"name"`
	Schema string `json:"schema"`
}

func (d *Decoder) key(id extract.SchemaID) string {
	return schema.SchemaKey(d.options.Name, id.String())
}

// archived reads a schema from the archive.
func (d *Decoder) archived(ctx context.Context, id extract.SchemaID) (payload.Source, error) {
	key := d.key(id)
	body, _, err := d.options.Store.Get(ctx, key, maxSchemaSize)
	if err != nil {
		return payload.Source{}, err
	}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return payload.Source{}, schema.Newer(body, schema.Errorf(schema.Corrupt, "read %s: %w", key, err), format)
	}
	if err := schema.CheckFormat(doc.Format, format); err != nil {
		return payload.Source{}, fmt.Errorf("read %s: %w", key, err)
	}
	if doc.ID != id.String() {
		return payload.Source{}, schema.Errorf(schema.Corrupt, "read %s: %w", key, errForeign)
	}
	source := payload.Source{Type: doc.Type, Text: doc.Schema}
	for _, ref := range doc.References {
		source.References = append(source.References, payload.Reference{Name: ref.Name, Text: ref.Schema})
	}
	return source, nil
}

// archive puts a schema into the archive, under a key.
func (d *Decoder) archive(ctx context.Context, key string, id extract.SchemaID, source payload.Source) error {
	doc := document{Format: format, Registry: d.options.Name, ID: id.String(), Type: source.Type, Schema: source.Text, References: []documentReference{}}
	for _, ref := range source.References {
		doc.References = append(doc.References, documentReference{ref.Name, ref.Text})
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode schema %s: %w", id.String(), err)
	}
	_, err = d.options.Store.PutIfAbsent(ctx, key, body)
	if errors.Is(err, objstore.ErrExists) {
		return nil // another archiver was first
	}
	return err
}
