package segment

import (
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow is how far back a page's matches reach. Pages are smaller, but for
// single values that are larger; arrow's own encoders keep 8 MB each for it.
const zstdWindow = 1 << 20

// keptEncoders is how many of zstd's encoders stay in memory: one for each
// segment that is made at a time.
const keptEncoders = 2

// pages compresses pages in place of arrow's zstd, which keeps its encoders in
// a sync.Pool. That lets go of them at every other collection, and then makes
// megabytes of history for each anew. All else is arrow's.
type pages struct {
	zstdCodec
	idle chan *zstd.Encoder
}

// zstdCodec is what arrow's codec can do.
type zstdCodec interface {
	compress.ErrorCodec
	compress.StreamingCodec
}

// Arrow's table of codecs may only be changed before anybody reads it.
var _ = register()

func register() pages {
	own, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(err) // arrow registers it
	}
	p := pages{own.(zstdCodec), make(chan *zstd.Encoder, keptEncoders)}
	compress.RegisterCodec(compress.Codecs.Zstd, p)
	return p
}

// EncodeLevel implements compress.Codec.
func (p pages) EncodeLevel(dst, src []byte, level int) []byte {
	if level != zstdLevel {
		return p.zstdCodec.EncodeLevel(dst, src, level)
	}
	var e *zstd.Encoder
	select {
	case e = <-p.idle:
	default:
		e = newPageEncoder()
	}
	packed := e.EncodeAll(src, dst[:0])
	select {
	case p.idle <- e:
	default:
	}
	return packed
}

func newPageEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(zstdLevel)), zstd.WithWindowSize(zstdWindow),
		zstd.WithZeroFrames(true), zstd.WithEncoderConcurrency(1), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}
