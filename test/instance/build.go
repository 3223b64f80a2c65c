package instance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Programs is a folder with the compiled programs.
type Programs struct{ Dir string }

// Build compiles every program of the module into a new temporary folder,
// which Remove deletes. The working directory must be inside the module, as it
// is in tests.
func Build() (*Programs, error) {
	dir, err := os.MkdirTemp("", "annals-programs-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the programs: %w", err)
	}
	const module = "github.com/fx-risk-ai/annals/cmd/"
	command := exec.Command("go", "build", "-ldflags", "-s -w", "-o", dir,
		module+"annals", module+"annals-chdb", module+"annals-demo")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("build the programs: %w\n%s", err, said), os.RemoveAll(dir))
	}
	return &Programs{Dir: dir}, nil
}

// Built is Build for one test, which removes the folder at its end.
func Built(t testing.TB) *Programs {
	t.Helper()
	p, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Remove deletes the folder.
func (p *Programs) Remove() error { return os.RemoveAll(p.Dir) }

// Path is where a program is.
func (p *Programs) Path(name string) string { return filepath.Join(p.Dir, name) }
