package containers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Images, pinned. The versions of ClickHouse and the store are those of the
// embedded engines, so that a difference is the container's doing.
const (
	RedpandaImage   = "docker.redpanda.com/redpandadata/redpanda:v26.2.3"
	ClickHouseImage = "clickhouse/clickhouse-server:26.7.5.10"
	StoreImage      = "versity/versitygw:v1.8.0"
)

// startTimeout includes fetching the image.
const startTimeout = 5 * time.Minute

// Broker is a running Kafka broker without authentication.
type Broker struct {
	Address string // host:port
}

// Server is a running ClickHouse server.
type Server struct {
	URL, User, Password string
}

// Store is a running S3 store, without buckets.
type Store struct {
	Endpoint, AccessKey, SecretKey string
}

// Redpanda starts a broker with transactions and one node. Its port on this
// machine is chosen beforehand, because a Kafka broker tells its clients the
// address under which they must come back.
func Redpanda(t *testing.T) Broker {
	t.Helper()
	const port = "9092/tcp"
	address := freeAddress(t)
	start(t, RedpandaImage,
		testcontainers.WithExposedPorts(port),
		publish(port, address),
		testcontainers.WithCmd(
			"redpanda", "start", "--mode=dev-container", "--smp=1", "--memory=1G",
			"--kafka-addr=PLAINTEXT://0.0.0.0:9092", "--advertise-kafka-addr=PLAINTEXT://"+address.String(),
		),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, wait.ForLog("Successfully started Redpanda!")),
	)
	return Broker{Address: address.String()}
}

// ClickHouse starts a server that is reached over HTTP.
func ClickHouse(t *testing.T) Server {
	t.Helper()
	const port = "8123/tcp"
	password := randomText(t)
	c := start(t, ClickHouseImage,
		testcontainers.WithExposedPorts(port),
		testcontainers.WithEnv(map[string]string{"CLICKHOUSE_USER": "annals", "CLICKHOUSE_PASSWORD": password}),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, wait.ForHTTP("/ping").WithPort(port)),
	)
	return Server{URL: "http://" + endpoint(t, c, port), User: "annals", Password: password}
}

// ObjectStore starts an S3 store that forgets everything at its end.
func ObjectStore(t *testing.T) Store {
	t.Helper()
	const port = "7070/tcp"
	secret := randomText(t)
	c := start(t, StoreImage,
		testcontainers.WithExposedPorts(port),
		testcontainers.WithEnv(map[string]string{"ROOT_ACCESS_KEY_ID": "annals", "ROOT_SECRET_ACCESS_KEY": secret}),
		testcontainers.WithEntrypoint("/bin/sh", "-c"),
		testcontainers.WithCmd("mkdir -p /data && exec /usr/local/bin/versitygw --port :7070 --health /health posix /data"),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, wait.ForHTTP("/health").WithPort(port)),
	)
	return Store{Endpoint: "http://" + endpoint(t, c, port), AccessKey: "annals", SecretKey: secret}
}

// start runs a container until the test ends, or skips the test.
func start(t *testing.T, image string, options ...testcontainers.ContainerCustomizer) *testcontainers.DockerContainer {
	t.Helper()
	requireDocker(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := testcontainers.Run(ctx, image, options...)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatalf("start %s: %v", image, err)
	}
	return c
}

// requireDocker skips the test where no Docker engine answers.
func requireDocker(t *testing.T) {
	t.Helper()
	if err := dockerHealth(t.Context()); err != nil {
		t.Skipf("needs a Docker engine: %v", err)
	}
}

// dockerHealth asks the engine for a sign of life. The library panics where it
// finds no engine at all.
func dockerHealth(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	provider, err := testcontainers.ProviderDefault.GetProvider()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := provider.Health(ctx); err != nil {
		return fmt.Errorf("%w (close: %v)", err, provider.Close())
	}
	return provider.Close()
}

// publish binds a container's port to an address of this machine.
func publish(port string, address netip.AddrPort) testcontainers.CustomizeRequestOption {
	return testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
		host.PortBindings = network.PortMap{
			network.MustParsePort(port): {{HostIP: address.Addr(), HostPort: strconv.Itoa(int(address.Port()))}},
		}
	})
}

// endpoint is where a container's port is reached.
func endpoint(t *testing.T, c *testcontainers.DockerContainer, port string) string {
	t.Helper()
	address, err := c.PortEndpoint(t.Context(), port, "")
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// freeAddress returns a loopback address nobody listens on now. Somebody may
// take it before the container does; then the test fails and says so.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(listener.Addr().String())
}

func randomText(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}
