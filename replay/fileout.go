package replay

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// maxFileList bounds the list of a job's files.
const maxFileList = 64 << 20

// mayLeave refuses to write a topic into files, or to hand them out, of which policy or
// a contract withholds something: they have the exact bytes, as an export has.
func (s *Service) mayLeave(topic string) error {
	held := s.options.Policy.Of(topic)
	switch {
	case held.Secret.Value:
		return schema.WithHint(schema.Errorf(schema.Permission, "topic %q is secret, by %s of the configuration: it is not written into files", topic, held.Secret.By),
			"leave it out, or replay it into topics")
	case held.Restricts():
		return schema.WithHint(schema.Errorf(schema.Permission, "topic %q holds personal data, by %s of the configuration: it is not written into files", topic, held.Personal.By),
			"leave it out, or replay it into topics")
	}
	if c := s.options.Contracts.SensitiveTopic(topic); c != nil {
		return schema.WithHint(schema.Errorf(schema.Permission, "topic %q may hold what contract %s (%s, version %s) calls sensitive: it is not written into files", topic, c.File, c.Type, c.Version),
			"leave it out, or replay it into topics")
	}
	return nil
}

// Files lists what a replay wrote into files. NotFound: no such replay; Conflict: it
// has no files, or no receipt that matches; Permission: policy withholds something of a
// topic by now; Corrupt: the list is not what the receipt names.
func (s *Service) Files(ctx context.Context, who policy.Principal, id string) (*answer.ReplayFiles, error) {
	st, err := s.job(ctx, who, id)
	if err != nil {
		return nil, err
	}
	switch {
	case st.Plan.Request.TargetFile == "":
		return nil, schema.Errorf(schema.Conflict, "replay %s writes topics, not files", st.ID)
	case st.Receipt == nil || st.Receipt.Files == nil:
		return nil, schema.Errorf(schema.Conflict, "replay %s is %s: its files are known when its receipt matches", st.ID, st.State)
	}
	for i := range st.Plan.Topics {
		if err := s.mayLeave(st.Plan.Topics[i].Source); err != nil {
			return nil, err
		}
	}
	raw, _, err := s.store.Get(ctx, filesKey(st.ID), maxFileList)
	if err != nil {
		return nil, fmt.Errorf("read the files of replay %s: %w", st.ID, err)
	}
	var list fileList
	if err := schema.DecodeStrictly(raw, &list); err != nil || list.Format != filesFormat || list.Job != st.ID || schema.Digest(sha256.Sum256(raw)) != *st.Receipt.Files {
		return nil, schema.Errorf(schema.Corrupt, "the list of files of replay %s is not what its receipt names", st.ID)
	}
	out := &answer.ReplayFiles{ID: st.ID, Format: st.Plan.Request.TargetFile, Files: make([]answer.ReplayFile, len(list.Files))}
	for i := range list.Files {
		out.Files[i] = answer.ReplayFile(list.Files[i])
	}
	return out, nil
}

// File gives the n-th file of those that Files lists, held against its hash. Errors are
// those of Files; NotFound: there is none of that number.
func (s *Service) File(ctx context.Context, who policy.Principal, id string, n int) (*answer.ReplayFile, []byte, error) {
	list, err := s.Files(ctx, who, id)
	if err != nil {
		return nil, nil, err
	}
	if n < 0 || n >= len(list.Files) {
		return nil, nil, schema.Errorf(schema.NotFound, "replay %s has %d files, counted from 0", list.ID, len(list.Files))
	}
	file := &list.Files[n]
	body, _, err := s.store.Get(ctx, file.Key, file.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read file of replay %s: %w", list.ID, err)
	}
	if schema.Digest(sha256.Sum256(body)) != file.SHA256 {
		return nil, nil, schema.Errorf(schema.Corrupt, "file %s is not what the receipt of replay %s names", file.Key, list.ID)
	}
	return file, body, nil
}
