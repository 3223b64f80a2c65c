package objstore

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"
)

// List yields the objects whose keys begin with prefix and come after the key
// after ("" for all), in the order of their keys' bytes, page by page. The
// first error ends it. What is written or deleted meanwhile may or may not be
// seen.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for {
			page, err := s.page(ctx, "list", prefix, after, true)
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range page {
				after = o.Key
				if !yield(o, nil) {
					return
				}
			}
			if len(page) < s.pageKeys {
				return
			}
		}
	}
}

// Folders yields the folders directly below prefix, which is "" or ends in
// "/", that come after the folder after, in order. Each has the form
// prefix + name + "/". The first error ends it.
func (s *Store) Folders(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			start := after
			if folder, ok := strings.CutSuffix(after, "/"); ok {
				// "0" follows "/": nothing in the folder after comes behind it,
				// everything in the next one does.
				start = folder + "0"
			}
			page, err := s.page(ctx, "list_folders", prefix, start, false)
			if err != nil {
				yield("", err)
				return
			}
			for _, o := range page {
				after = max(after, o.Key)
				if strings.HasSuffix(o.Key, "/") && !yield(o.Key, nil) {
					return
				}
			}
			if len(page) < s.pageKeys {
				return
			}
		}
	}
}

// page is one LIST: at most pageKeys entries behind start.
func (s *Store) page(ctx context.Context, op, prefix, start string, recursive bool) ([]Object, error) {
	if err := checkFolder(prefix); err != nil {
		return nil, err
	}
	noOwner := false
	opts := minio.ListObjectsOptions{
		Prefix: s.prefix + prefix, Recursive: recursive, MaxKeys: s.pageKeys, FetchOwner: &noOwner,
	}
	if start != "" {
		opts.StartAfter = s.prefix + start
	}
	var page []Object
	err := s.do(ctx, request{op: op, key: prefix, bytes: 1 << 20, attempts: MaxAttempts}, func(ctx context.Context) error {
		page = page[:0]
		for info := range s.client.ListObjectsIter(ctx, s.bucket, opts) {
			if info.Err != nil {
				return info.Err
			}
			// Some stores list a folder as an object of its own.
			if recursive && strings.HasSuffix(info.Key, "/") {
				continue
			}
			page = append(page, object(strings.TrimPrefix(info.Key, s.prefix), info))
			if len(page) == s.pageKeys {
				return nil // the rest is the next page's
			}
		}
		return ctx.Err() // the iterator ends silently when the context does
	})
	return page, err
}
