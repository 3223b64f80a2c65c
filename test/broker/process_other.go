//go:build !linux

package broker

import "syscall"

// dieWithParent leaves the servers in the test binary's process group where the
// kernel has no signal for a parent's death: what ends the run from a terminal
// ends them too.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
