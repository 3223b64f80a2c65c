package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	probeReads = 10 // objects that are written twice and read three times
	probeLists = 12 // objects of the listing, each listed after it was written
)

const todoConsistent = "do not keep an archive here: what was answered must be seen at once. A cache or a replica in front of the store does this too: point s3.endpoint past it"

// reads looks for an object before it is there, which some stores remember,
// then after each of two writes.
func (p *probe) reads(ctx context.Context) doctor.Check {
	stale := ""
	for n := range probeReads {
		key := p.key("read-%02d", n)
		if _, err := p.store.Stat(ctx, key); schema.KindOf(err) != schema.NotFound {
			return p.broken(doctor.S3Read, err, "an object that nobody wrote is there")
		}
		for _, text := range []string{"first", "the second one"} {
			put, err := p.store.Put(ctx, key, []byte(text))
			if err != nil {
				return p.broken(doctor.S3Read, err, "")
			}
			got, _, err := p.store.Get(ctx, key, 100)
			switch {
			case schema.KindOf(err) == schema.NotFound:
				stale = fmt.Sprintf("%q was written and then not there", text)
			case err != nil && schema.KindOf(err) != schema.Corrupt:
				return p.broken(doctor.S3Read, err, "")
			case string(got) != text:
				stale = fmt.Sprintf("%q was written and %q read", text, got)
			}
			stat, err := p.store.Stat(ctx, key)
			if stale == "" && (err != nil || stat.ETag != put.ETag || stat.Size != int64(len(text))) {
				stale = fmt.Sprintf("HEAD says %d bytes and ETag %s (%v) after %d bytes and ETag %s were written", stat.Size, stat.ETag, err, len(text), put.ETag)
			}
			if stale != "" {
				return doctor.Ill(doctor.S3Read, doctor.Failed, todoConsistent, "%s (object %d of %d)", stale, n+1, probeReads)
			}
		}
	}
	return doctor.Well(doctor.S3Read, "%d objects, each written twice, were seen by GET and HEAD at once", probeReads)
}

// lists lists a growing folder after every write.
func (p *probe) lists(ctx context.Context) doctor.Check {
	paged := *p.store
	paged.pageKeys = 5 // so that a dozen objects fill pages
	folder := p.folder + "list/"
	var want []string
	for n := range probeLists {
		// Backwards: a list in the order of writing is not one in that of keys.
		key := p.key("list/%02d/object", probeLists-n)
		if _, err := p.store.Put(ctx, key, []byte("x")); err != nil {
			return p.broken(doctor.S3List, err, "")
		}
		want = append([]string{key}, want...)
		got, err := listed(ctx, &paged, folder, "")
		if err != nil {
			return p.broken(doctor.S3List, err, "")
		}
		if !slices.Equal(got, want) {
			return doctor.Ill(doctor.S3List, doctor.Failed, todoConsistent, "after %d writes the listing has %d objects, or not in the order of their keys", len(want), len(got))
		}
	}
	const todo = "the store must answer ListObjectsV2 with start-after and delimiter: update it, or use another one"
	middle := want[len(want)/2]
	if got, err := listed(ctx, &paged, folder, middle); err != nil || !slices.Equal(got, want[len(want)/2+1:]) {
		return doctor.Ill(doctor.S3List, doctor.Failed, todo, "a listing behind a key has %d objects, not %d (%v)", len(got), len(want)-len(want)/2-1, err)
	}
	var folders []string
	for name, err := range paged.Folders(ctx, folder, "") {
		if err != nil {
			return p.broken(doctor.S3List, err, "")
		}
		folders = append(folders, name+"object")
	}
	if !slices.Equal(folders, want) {
		return doctor.Ill(doctor.S3List, doctor.Failed, todo, "a listing of folders has %d, not %d, or in another order", len(folders), len(want))
	}
	return doctor.Well(doctor.S3List, "each of %d objects was listed at once, in order, in pages, behind a key, and by folders", probeLists)
}

func listed(ctx context.Context, s *Store, folder, after string) (keys []string, err error) {
	for o, err := range s.List(ctx, folder, after) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, o.Key)
	}
	return keys, nil
}

// ranges reads from the middle of an object.
func (p *probe) ranges(ctx context.Context) doctor.Check {
	key, body := p.key("range"), bytes.Repeat([]byte("0123456789abcdef"), 4096)
	if _, err := p.store.Put(ctx, key, body); err != nil {
		return p.broken(doctor.S3Range, err, "")
	}
	for _, r := range [][2]int64{{0, 1}, {17, 1000}, {int64(len(body)) - 8, 8}} {
		got, err := p.store.GetRange(ctx, key, r[0], r[1])
		if err != nil && schema.KindOf(err) == schema.Unavailable {
			return p.broken(doctor.S3Range, err, "")
		}
		if err != nil || !bytes.Equal(got, body[r[0]:r[0]+r[1]]) {
			return doctor.Ill(doctor.S3Range, doctor.Failed, "the store, and what stands before it, must answer Range with Content-Range: one record would cost its whole segment",
				"%d bytes from %d were not answered so (%v)", r[1], r[0], err)
		}
	}
	return doctor.Well(doctor.S3Range, "3 ranges of 64 KiB")
}

// checksums sends bytes under the hash of others.
func (p *probe) checksums(ctx context.Context) doctor.Check {
	key, sent := p.key("checksum"), "these bytes"
	other := sha256.Sum256([]byte("other bytes"))
	_, err := p.store.PutFile(ctx, key, strings.NewReader(sent), int64(len(sent)), other)
	switch {
	case err == nil:
		return doctor.Ill(doctor.S3Checksum, doctor.Failed, "the store must verify x-amz-checksum-sha256 or x-amz-content-sha256: bytes damaged on the way would be kept as if they were right",
			"other bytes than those of the checksum were taken")
	case schema.KindOf(err) != schema.Corrupt:
		return p.broken(doctor.S3Checksum, err, "")
	}
	if _, err := p.store.Put(ctx, key, []byte(sent)); err != nil {
		return p.broken(doctor.S3Checksum, err, "")
	}
	if !p.sendsChecksum(ctx, key) {
		return doctor.Well(doctor.S3Checksum, "wrong bytes are refused; reads come without the checksum, and are held against the ledger's hash alone")
	}
	return doctor.Well(doctor.S3Checksum, "wrong bytes are refused; reads bring the checksum")
}

// broken is a check that met an error where none belongs: indeterminate where
// it can pass, else failed. found stands for a nil error.
func (p *probe) broken(name string, err error, found string) doctor.Check {
	switch {
	case err == nil:
		return doctor.Ill(name, doctor.Failed, todoConsistent, "%s", found)
	case schema.KindOf(err) == schema.Unavailable || ctxEnded(err):
		return doctor.Ill(name, doctor.Indeterminate, "run annals doctor again when the store answers", "%v", err)
	case schema.KindOf(err) == schema.Permission:
		return doctor.Ill(name, doctor.Failed, "grant s3:PutObject, s3:GetObject and s3:ListBucket on the archive's prefix", "%v", err)
	default:
		return doctor.Ill(name, doctor.Failed, "the store cannot do what Annals needs: see docs/formats/objects.md", "%v", err)
	}
}
