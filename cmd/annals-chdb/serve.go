package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockPatience is how long a predecessor may take to let go of the data.
	lockPatience = 15 * time.Second
	// drainPatience is how long running statements may take to end by
	// themselves, and then again to end when they are told to.
	drainPatience = 3 * time.Second
)

// serve runs until ctx ends, and then stops cleanly: no new requests, running
// statements are given a moment and then killed, the engine closes its tables.
func serve(ctx context.Context, o *options, stdout io.Writer, log *slog.Logger) error {
	listener, err := listen(o)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // the server closes it first; this is for the early returns
	unlock, err := lockFolder(ctx, o.dataDir)
	if err != nil {
		return err
	}
	defer unlock()
	lib, err := openLibrary(o.library)
	if err != nil {
		return err
	}
	e, err := prepareEngine(lib, o.dataDir, o.limits)
	if err != nil {
		return err
	}
	began := time.Now()
	h, err := newHandler(e, guard{user: o.user, password: o.password}, log)
	if err != nil {
		return fmt.Errorf("open %s: %w (the data can be rebuilt from the archive: move the folder away and run annals reindex)", o.dataDir, err)
	}
	log.Info("engine open", "version", h.version, "seconds", time.Since(began).Seconds(), "listen", listener.Addr().String())
	report(stdout, announcement{Listen: listener.Addr().String(), Version: h.version})
	err = serveHTTP(ctx, listener, h, log)
	return errors.Join(err, closeEngine(h))
}

// errStopping is why running statements are killed at the end.
var errStopping = errors.New("the engine stops")

func serveHTTP(ctx context.Context, listener net.Listener, h http.Handler, log *slog.Logger) error {
	requests, abandon := context.WithCancelCause(context.Background())
	defer abandon(nil)
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    8 << 20, // parameters travel in the URL
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping", "reason", context.Cause(ctx).Error())
	grace, cancel := context.WithTimeout(context.Background(), drainPatience)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		abandon(errStopping)
		if err := server.Close(); err != nil {
			return fmt.Errorf("close server: %w", err)
		}
	}
	return nil
}

// closeEngine closes every session; with the last one the engine closes its
// tables. Its idle threads end with the process (chdb_shutdown would wait for
// them, for hosts that run C++ destructors at exit; Go does not).
func closeEngine(h *handler) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainPatience)
	defer cancel()
	return h.close(ctx)
}

func listen(o *options) (net.Listener, error) {
	if o.listenFD != 0 {
		file := os.NewFile(uintptr(o.listenFD), "inherited listener")
		listener, err := net.FileListener(file)
		if err != nil {
			return nil, fmt.Errorf("listen on inherited file descriptor %d: %w", o.listenFD, err)
		}
		return listener, file.Close()
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	if !loopbackHost(host) {
		return nil, fmt.Errorf("--listen %s: only a loopback address is served (127.0.0.1 or ::1): the protocol here is not encrypted", o.listen)
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	return listener, nil
}

// lockFolder creates the data folder and takes it for this process alone. The
// lock goes with the process, however it ends.
func lockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing lets go of the lock
		}
		wait := time.After(100 * time.Millisecond)
		switch {
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
		case time.Now().After(deadline):
			_ = file.Close()
			return nil, fmt.Errorf("another annals-chdb has %s open (it holds %s): stop that one, or give another --data-dir", dir, file.Name())
		}
		select {
		case <-wait:
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("wait for the data folder: %w", context.Cause(ctx))
		}
	}
}
