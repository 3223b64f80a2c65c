//go:build !linux

package embedded

import "syscall"

// dieWithParent relies on the child's standard input alone where the kernel
// has no signal for it.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
