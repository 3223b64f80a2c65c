package embedded

import "syscall"

// dieWithParent has the kernel kill the child when the thread that started it
// ends. Go's threads live as long as the process, but for one whose goroutine
// ends while locked to it; the supervisor would start the child again then.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
