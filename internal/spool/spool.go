package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/fx-risk-ai/annals/schema"
)

// ErrFull is what Append says when the limit leaves no room now.
var ErrFull = errors.New("the spool is full")

// ErrTooLarge is what Append says of a frame that has no room even in an empty
// spool.
var ErrTooLarge = errors.New("more than the spool can hold")

// ErrUnreadable is wrapped by every error of Reader.Read: the frame does not
// hold what was appended, or the disk does not give it. Its records are still
// in Kafka.
var ErrUnreadable = errors.New("a spooled frame cannot be read back")

const (
	folderName = "annals-spool" // below the folder that is named: that one may be shared, or wide open
	fileSuffix = ".frames"
)

// Spool is a locked folder of frames. See the package comment.
type Spool struct {
	dir   string
	limit int64
	root  *os.Root
	lock  *os.File
	left  Leftover

	decoder *zstd.Decoder

	appending sync.Mutex // the encoder and its buffers, and all writing
	encoder   *zstd.Encoder
	raw, out  []byte

	mu        sync.Mutex
	used      int64 // bytes of all files that are needed
	serial    int64
	condemned []string
}

// Leftover is what a process before this one left behind.
type Leftover struct {
	Files int
	Bytes int64
}

// Open makes <dir>/annals-spool if need be, locks it and deletes what is left
// in it of another process. The error is ErrInUse when that one still lives.
func Open(dir string, limit int64) (*Spool, error) {
	s, err := open(dir, limit)
	if err != nil {
		return nil, fmt.Errorf("open spool in %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, limit int64) (*Spool, error) {
	path := filepath.Join(dir, folderName)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir() || info.Mode().Perm()&0o077 != 0:
		return nil, schema.Errorf(schema.Invalid, "%s is %s: it must be a folder that only its owner may enter (chmod 700)", path, info.Mode())
	}
	s := &Spool{dir: path, limit: limit}
	if s.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	if s.lock, err = lock(s.root); err != nil {
		return nil, errors.Join(err, s.root.Close())
	}
	if err := s.discardLeftover(); err != nil {
		return nil, errors.Join(err, s.lock.Close(), s.root.Close())
	}
	// One frame at a time, by the fastest of the encoder's levels: the frames
	// are read back once.
	s.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err == nil {
		s.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(mostRaw))
	}
	if err != nil {
		return nil, errors.Join(err, s.lock.Close(), s.root.Close())
	}
	return s, nil
}

func (s *Spool) discardLeftover() error {
	list, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range list {
		if !strings.HasSuffix(entry.Name(), fileSuffix) {
			continue
		}
		if info, err := entry.Info(); err == nil {
			s.left.Files++
			s.left.Bytes += info.Size()
		}
		if err := s.root.Remove(entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

// Leftover says what Open deleted.
func (s *Spool) Leftover() Leftover { return s.left }

// Dir is the folder that holds the files.
func (s *Spool) Dir() string { return s.dir }

// Limit is the most bytes that all files may have.
func (s *Spool) Limit() int64 { return s.limit }

// Used is how many bytes all files have that are needed.
func (s *Spool) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Sweep deletes the files that nothing needs any more. What cannot be deleted
// is tried again by the next Sweep.
func (s *Spool) Sweep() error {
	s.mu.Lock()
	list := s.condemned
	s.condemned = nil
	s.mu.Unlock()
	var failed []string
	var why error
	for _, name := range list {
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed, why = append(failed, name), err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.condemned = append(s.condemned, failed...)
	return fmt.Errorf("delete spooled frames: %w", why)
}

// Close deletes all files and gives the folder back. Frames cannot be read
// after it.
func (s *Spool) Close() error {
	s.appending.Lock()
	defer s.appending.Unlock()
	err := s.discardLeftover()
	s.decoder.Close()
	return errors.Join(err, s.encoder.Close(), s.lock.Close(), s.root.Close())
}

// File takes the frames of one buffer. It begins with the first append, and is
// deleted when the last of its frames is dropped; the next append begins another
// one.
type File struct {
	spool  *Spool
	stream schema.Stream

	name string // empty: nothing was appended yet
	size int64
	refs int  // frames that are held, and a writer
	over bool // not to be appended to: what stands at its end is not known
}

// NewFile is for the records of one stream. Nothing is on the disk until the
// first append.
func (s *Spool) NewFile(stream schema.Stream) *File { return &File{spool: s, stream: stream} }

// Over tells that the file takes no more frames: a write failed, and could not
// be undone.
func (f *File) Over() bool {
	f.spool.mu.Lock()
	defer f.spool.mu.Unlock()
	return f.over
}

// begin keeps the file from being deleted while it is appended to.
func (f *File) begin() error {
	s := f.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.over {
		return schema.Errorf(schema.Invalid, "a spool file takes no more frames")
	}
	if f.refs == 0 {
		s.serial++
		f.size = 0
		f.name = strconv.FormatInt(s.serial, 10) + fileSuffix
	}
	f.refs++
	return nil
}

// take reserves room in the spool for what is about to be written.
func (f *File) take(n int64) error {
	s := f.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.limit {
		return fmt.Errorf("%w: a frame of %d bytes, and the spool has %d", ErrTooLarge, n, s.limit)
	}
	if s.used+n > s.limit {
		return fmt.Errorf("%w: %d of %d bytes are used, %d more were needed", ErrFull, s.used, s.limit, n)
	}
	s.used += n
	f.size += n
	f.refs++
	return nil
}

// giveBack undoes take for what was not written. What may stand there in part
// was cut off, or else nothing more is appended behind it.
func (f *File) giveBack(n int64, cut bool) {
	s := f.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.over = f.over || !cut; cut {
		s.used -= n
		f.size -= n
	}
	f.let()
}

// let drops one reference. Needs mu.
func (f *File) let() {
	if f.refs--; f.refs == 0 {
		f.spool.used -= f.size
		f.spool.condemned = append(f.spool.condemned, f.name)
	}
}

// Append writes frames behind those that the file has: rows, whose statuses are
// in a slice of their own because those of rows may change meanwhile, divided
// by Size and at cuts (ascending numbers of rows). It returns the frames
// that were written, each held once, also beside an error: ErrFull, ErrTooLarge,
// or what the disk said.
func (f *File) Append(rows []schema.Record, statuses []schema.Status, cuts ...int) (frames []*Frame, err error) {
	s := f.spool
	s.appending.Lock()
	defer s.appending.Unlock()
	_ = s.Sweep() // whoever calls Sweep hears of it
	if err := f.begin(); err != nil {
		return nil, err
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.let()
	}()
	out, err := s.root.OpenFile(f.name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("append to the spool: %w", err)
	}
	defer func() {
		if closeErr := out.Close(); closeErr != nil && err == nil {
			err = fmt.Errorf("append to the spool: %w", closeErr)
		}
	}()
	for from := 0; from < len(rows); {
		to := end(rows, from, cuts)
		frame, err := f.append(out, rows[from:to], statuses[from:to])
		if err != nil {
			return frames, err
		}
		frames = append(frames, frame)
		from = to
	}
	return frames, nil
}

func (f *File) append(out *os.File, rows []schema.Record, statuses []schema.Status) (*Frame, error) {
	body, frame := f.spool.encode(rows, statuses)
	at, n := f.size, int64(len(body))
	if err := f.take(n); err != nil {
		return nil, err
	}
	if _, err := out.WriteAt(body, at); err != nil {
		f.giveBack(n, out.Truncate(at) == nil)
		return nil, fmt.Errorf("append to the spool: %w", err)
	}
	frame.file, frame.at, frame.size, frame.refs = f, at, int32(n), 1
	return frame, nil
}

// Hold keeps a frame readable until one more Drop.
func (f *Frame) Hold() {
	f.file.spool.mu.Lock()
	defer f.file.spool.mu.Unlock()
	f.refs++
}

// Drop lets go of a frame.
func (f *Frame) Drop() {
	f.file.spool.mu.Lock()
	defer f.file.spool.mu.Unlock()
	if f.refs--; f.refs == 0 {
		f.file.let()
	}
}
