package broker

import "syscall"

// dieWithParent has the kernel kill a server when the thread that started it
// ends. Go's threads live as long as the process, but for one whose goroutine
// ends while locked to it; tests lock none.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
