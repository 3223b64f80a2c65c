package custody

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Tag files of every bag (RFC 8493).
const (
	bagitFile       = "bagit.txt"
	infoFile        = "bag-info.txt"
	manifestFile    = "manifest-sha256.txt"
	tagManifestFile = "tagmanifest-sha256.txt"

	bagitText = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
)

// infoDigest labels the last line of bag-info.txt: the SHA-256 of the lines
// above it. With it a changed bag-info.txt can be told from a changed
// tagmanifest-sha256.txt.
const infoDigest = "Annals-Info-SHA256"

// infoField is one line of bag-info.txt.
type infoField struct{ label, value string }

// entry is one line of a manifest.
type entry struct {
	Path   string
	SHA256 schema.Digest
}

// bag writes a bag as a tar stream. Nothing is written before the first
// payload file, so that an early error leaves the stream untouched.
type bag struct {
	out      *tar.Writer
	base     string // the one folder at the top
	modified time.Time
	begun    bool
	manifest []entry
	bytes    int64 // of the payload
}

func newBag(w io.Writer, base string, modified time.Time) *bag {
	return &bag{out: tar.NewWriter(w), base: base, modified: modified.UTC().Truncate(time.Second)}
}

// payload adds a file below data/ of exactly size bytes.
func (b *bag) payload(ctx context.Context, path string, size int64, r io.Reader) error {
	if !b.begun {
		b.begun = true
		if _, err := b.file(ctx, bagitFile, int64(len(bagitText)), strings.NewReader(bagitText)); err != nil {
			return err
		}
	}
	sha, err := b.file(ctx, path, size, r)
	if err != nil {
		return err
	}
	b.manifest = append(b.manifest, entry{path, sha})
	b.bytes += size
	return nil
}

// text adds a payload file that is in memory.
func (b *bag) text(ctx context.Context, path string, content []byte) error {
	return b.payload(ctx, path, int64(len(content)), bytes.NewReader(content))
}

func (b *bag) file(ctx context.Context, path string, size int64, r io.Reader) (schema.Digest, error) {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: b.base + "/" + path, Size: size, Mode: 0o644, ModTime: b.modified}
	if err := b.out.WriteHeader(header); err != nil {
		return schema.Digest{}, fmt.Errorf("write %s: %w", path, err)
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(b.out, hash), &contextReader{ctx, r})
	if err != nil {
		return schema.Digest{}, fmt.Errorf("write %s: %w", path, err)
	}
	if n != size {
		return schema.Digest{}, fmt.Errorf("write %s: %d bytes instead of %d", path, n, size)
	}
	return schema.Digest(hash.Sum(nil)), nil
}

// close adds the tag files and ends the stream. The tag manifest is the last
// file: a bag that has it was written to its end.
func (b *bag) close(ctx context.Context, info []infoField) error {
	info = append(info, infoField{"Payload-Oxum", fmt.Sprintf("%d.%d", b.bytes, len(b.manifest))})
	tags := []struct{ path, content string }{
		{infoFile, encodeInfo(info)},
		{manifestFile, encodeManifest(b.manifest)},
	}
	tagged := []entry{{bagitFile, sha256.Sum256([]byte(bagitText))}}
	for _, tag := range tags {
		sha, err := b.file(ctx, tag.path, int64(len(tag.content)), strings.NewReader(tag.content))
		if err != nil {
			return err
		}
		tagged = append(tagged, entry{tag.path, sha})
	}
	list := encodeManifest(tagged)
	if _, err := b.file(ctx, tagManifestFile, int64(len(list)), strings.NewReader(list)); err != nil {
		return err
	}
	if err := b.out.Close(); err != nil {
		return fmt.Errorf("end tar stream: %w", err)
	}
	return nil
}

// encodeInfo writes bag-info.txt. Values are single lines.
func encodeInfo(fields []infoField) string {
	var text strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&text, "%s: %s\n", f.label, f.value)
	}
	sum := schema.Digest(sha256.Sum256([]byte(text.String())))
	fmt.Fprintf(&text, "%s: %s\n", infoDigest, sum)
	return text.String()
}

// checkInfo tells what is wrong with bag-info.txt in itself, or "".
func checkInfo(content string) string {
	at := strings.LastIndex(content, infoDigest+": ")
	if at < 0 {
		return "has no line " + infoDigest
	}
	sum := schema.Digest(sha256.Sum256([]byte(content[:at])))
	if content[at:] != infoDigest+": "+sum.String()+"\n" {
		return "its lines do not hash to what " + infoDigest + " says"
	}
	return ""
}

// infoValue is the value of a label of bag-info.txt.
func infoValue(content, label string) string {
	for text := range strings.Lines(content) {
		if value, ok := strings.CutPrefix(text, label+": "); ok {
			return strings.TrimSuffix(value, "\n")
		}
	}
	return ""
}

// encodeManifest writes entries by path. RFC 8493 has line breaks and percent
// signs in paths percent-encoded.
func encodeManifest(entries []entry) string {
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	escape := strings.NewReplacer("%", "%25", "\n", "%0A", "\r", "%0D")
	var text strings.Builder
	for _, e := range sorted {
		fmt.Fprintf(&text, "%s  %s\n", e.SHA256, escape.Replace(e.Path))
	}
	return text.String()
}

// parseManifest reads what encodeManifest wrote and refuses every other
// spelling.
func parseManifest(content string) ([]entry, error) {
	unescape := strings.NewReplacer("%25", "%", "%0A", "\n", "%0D", "\r")
	var entries []entry
	for text := range strings.Lines(content) {
		hexa, path, ok := strings.Cut(strings.TrimSuffix(text, "\n"), "  ")
		var e entry
		if err := e.SHA256.UnmarshalText([]byte(hexa)); err != nil || !ok {
			return nil, fmt.Errorf("line %d is not a hash and a path", len(entries)+1)
		}
		e.Path = unescape.Replace(path)
		entries = append(entries, e)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Path == entries[i-1].Path {
			return nil, fmt.Errorf("%q is listed twice", entries[i].Path)
		}
	}
	if encodeManifest(entries) != content {
		return nil, fmt.Errorf("it is not spelt as Annals does: sorted by path, one line a file")
	}
	return entries, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
