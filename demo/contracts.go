package demo

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The contracts of the event types, one file a version.
//
//go:embed contracts
var contracts embed.FS

// WriteContracts writes the contracts of the pipeline's event types into a
// folder, which it creates, over those of an earlier call.
func WriteContracts(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write contracts: %w", err)
	}
	files, err := fs.Glob(contracts, "contracts/*")
	if err != nil {
		return fmt.Errorf("write contracts: %w", err)
	}
	for _, name := range files {
		text, err := contracts.ReadFile(name)
		if err != nil {
			return fmt.Errorf("write contracts: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o600); err != nil {
			return fmt.Errorf("write contracts: %w", err)
		}
	}
	return nil
}
