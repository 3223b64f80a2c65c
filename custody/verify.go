package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

const (
	maxTagBytes      = 64 << 20 // a manifest of MaxFiles long paths
	progressInterval = 64 << 20 // bytes hashed between two calls of a progress function
	progressRecords  = 10_000   // and records compared
)

// Progress is how far a verification is. Bytes are read, of Total to be
// hashed; Records are compared after that.
type Progress struct {
	Files, Bytes, Total, Records int64
}

// Verify checks the bag in the folder dir, without the archive and without a
// network. What does not hold is in the report. The error says that the
// verification could not be done: the folder cannot be read, or ctx ended.
// progress, if not nil, is called now and then from the calling goroutine.
func Verify(ctx context.Context, dir string, progress func(Progress)) (_ *Report, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, schema.Errorf(schema.NotFound, "verify bag: %w", err)
	}
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "verify bag: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	v := verifier{root: root, report: Report{Result: OK, Findings: []Finding{}}, progress: progress, hashes: map[string]schema.Digest{}}
	if err := v.run(ctx); err != nil {
		return nil, fmt.Errorf("verify bag: %w", err)
	}
	v.report.explain()
	return &v.report, nil
}

type verifier struct {
	root     *os.Root
	report   Report
	progress func(Progress)
	at       Progress
	told     int64            // at.Bytes when progress was called last
	sizes    map[string]int64 // of the files that are there
	hashes   map[string]schema.Digest
	tags     map[string]string // content of the tag files
}

func (v *verifier) run(ctx context.Context) error {
	if err := v.list(ctx); err != nil {
		return err
	}
	tags := []string{bagitFile, infoFile, manifestFile, tagManifestFile}
	if !slices.ContainsFunc(tags, func(name string) bool { _, there := v.sizes[name]; return there }) {
		v.report.find(Unverifiable, ".", "is no bag: it has none of %s", strings.Join(tags, ", "))
		return nil
	}
	if err := v.hashAll(ctx); err != nil {
		return err
	}
	if digest, there := v.hashes[tagManifestFile]; there {
		v.report.Manifest = digest.String()
	}
	manifest := v.checkTags()
	v.checkPayload(manifest)
	if v.report.Result != OK {
		return nil // what the files say is of no use any more
	}
	return v.contents(ctx)
}

// list finds every file.
func (v *verifier) list(ctx context.Context) error {
	v.sizes = map[string]int64{}
	return fs.WalkDir(v.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			v.report.find(Tampered, name, "is not a plain file")
			return nil
		}
		v.sizes[name] = info.Size()
		v.at.Total += info.Size()
		if len(v.sizes) > MaxFiles {
			return schema.Errorf(schema.Exhausted, "more than %d files", MaxFiles)
		}
		return nil
	})
}

// hashAll reads every file once; those of the tags are kept.
func (v *verifier) hashAll(ctx context.Context) error {
	v.tags = map[string]string{}
	names := make([]string, 0, len(v.sizes))
	for name := range v.sizes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		isTag := !strings.Contains(name, "/")
		if isTag && v.sizes[name] > maxTagBytes {
			v.report.find(Tampered, name, "has %d bytes, more than any file of that kind", v.sizes[name])
			isTag = false
		}
		if err := v.hash(ctx, name, isTag); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) hash(ctx context.Context, name string, keep bool) error {
	f, err := v.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	hash := sha256.New()
	var text strings.Builder
	sinks := []io.Writer{hash, progressWriter{v}}
	if keep {
		sinks = append(sinks, &text)
	}
	// The size was taken when the folder was listed: a file that grows is not
	// followed.
	n, err := io.Copy(io.MultiWriter(sinks...), &contextReader{ctx, io.LimitReader(f, v.sizes[name])})
	if err != nil {
		return err
	}
	if n != v.sizes[name] {
		return schema.Errorf(schema.Conflict, "%s changes while it is read", name)
	}
	v.hashes[name] = schema.Digest(hash.Sum(nil))
	if keep {
		v.tags[name] = text.String()
	}
	v.report.Files++
	v.report.Bytes += n
	v.at.Files++
	return nil
}

// progressWriter counts bytes.
type progressWriter struct{ v *verifier }

// Write implements io.Writer.
func (p progressWriter) Write(b []byte) (int, error) {
	p.v.at.Bytes += int64(len(b))
	p.v.tell(p.v.at.Bytes-p.v.told >= progressInterval)
	return len(b), nil
}

func (v *verifier) tell(now bool) {
	if now && v.progress != nil {
		v.told = v.at.Bytes
		v.progress(v.at)
	}
}

// checkTags holds the tag files against one another. Where two disagree, each
// is held against something else too, so that the changed one is named. It
// returns the manifest if it can be read.
func (v *verifier) checkTags() []entry {
	for _, name := range []string{bagitFile, infoFile, manifestFile, tagManifestFile} {
		if _, there := v.sizes[name]; !there {
			v.report.find(Incomplete, name, "is missing")
		}
	}
	if text, there := v.tags[bagitFile]; there && text != bagitText {
		v.report.find(Tampered, bagitFile, "is not what stands in every bag of BagIt 1.0")
	}
	info, hasInfo := v.tags[infoFile]
	infoFault := ""
	if hasInfo {
		if infoFault = checkInfo(info); infoFault != "" {
			v.report.find(Tampered, infoFile, "%s", infoFault)
		}
	}
	text, hasManifest := v.tags[manifestFile]
	manifest, err := parseManifest(text)
	manifestFault := ""
	switch {
	case !hasManifest:
	case err != nil:
		manifestFault = err.Error()
	case !v.agrees(manifest):
		manifestFault = "it is not the manifest that the bag was closed with"
	}
	v.checkTagManifest(infoFault, manifestFault)
	if !hasManifest || err != nil {
		return nil
	}
	return manifest
}

// agrees tells whether the manifest lists the files that are there, as they
// are.
func (v *verifier) agrees(manifest []entry) bool {
	for _, e := range manifest {
		if v.hashes[e.Path] != e.SHA256 {
			return false
		}
	}
	payload := 0
	for name := range v.sizes {
		if strings.HasPrefix(name, "data/") {
			payload++
		}
	}
	return payload == len(manifest)
}

// checkTagManifest names the tag files that differ from the list of their
// hashes; where they are sound otherwise, the list itself.
func (v *verifier) checkTagManifest(infoFault, manifestFault string) {
	text, there := v.tags[tagManifestFile]
	if !there {
		return
	}
	list, err := parseManifest(text)
	names := []string{bagitFile, infoFile, manifestFile}
	slices.Sort(names)
	if err == nil && !slices.EqualFunc(list, names, func(e entry, name string) bool { return e.Path == name }) {
		err = fmt.Errorf("it does not list %s", strings.Join(names, ", "))
	}
	if err != nil {
		v.report.find(Tampered, tagManifestFile, "%v", err)
		return
	}
	for _, e := range list {
		got, there := v.hashes[e.Path]
		switch {
		case !there || got == e.SHA256:
		case e.Path == bagitFile && v.tags[bagitFile] != bagitText, e.Path == infoFile && infoFault != "":
			// Found already.
		case e.Path == manifestFile && manifestFault != "":
			v.report.find(Tampered, manifestFile, "hashes to %s, %s says %s; %s", got, tagManifestFile, e.SHA256, manifestFault)
		default:
			v.report.find(Tampered, tagManifestFile, "says that %s hashes to %s; it hashes to %s and is sound otherwise", e.Path, e.SHA256, got)
		}
	}
}

// checkPayload holds the files below data/ against the manifest, and finds
// files that nothing lists.
func (v *verifier) checkPayload(manifest []entry) {
	listed := map[string]bool{bagitFile: true, infoFile: true, manifestFile: true, tagManifestFile: true}
	var bytes int64
	for _, e := range manifest {
		listed[e.Path] = true
		size, there := v.sizes[e.Path]
		bytes += size
		switch {
		case !there:
			v.report.find(Incomplete, e.Path, "is missing")
		case v.hashes[e.Path] != e.SHA256:
			v.report.find(Tampered, e.Path, "hashes to %s, the manifest says %s", v.hashes[e.Path], e.SHA256)
		}
	}
	var extra []string
	for name := range v.sizes {
		// Without a manifest nobody knows what belongs below data/.
		if !listed[name] && (manifest != nil || !strings.HasPrefix(name, "data/")) {
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	for _, name := range extra {
		v.report.find(Tampered, name, "was added: no manifest lists it")
	}
	if manifest == nil {
		return
	}
	oxum := fmt.Sprintf("%d.%d", bytes, len(manifest))
	if info, there := v.tags[infoFile]; there && v.report.Result == OK && infoValue(info, "Payload-Oxum") != oxum {
		v.report.find(Tampered, infoFile, "Payload-Oxum is %q, the payload's is %s", infoValue(info, "Payload-Oxum"), oxum)
	}
}
