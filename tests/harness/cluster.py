"""Replicas of one registry, as a test starts them: on one MinIO and one Redis.

    with Cluster(tmp_path, stores, {NAME: settings_of(upstream)}, size=3) as cluster:
        first, second, third = cluster.replicas
        Repository(first, "team/app").push(image, "1")
        Repository(cluster, "team/app").assert_pulls(image, "1")    # a request each, in turn
        second.kill()

Stores are shared by many clusters: each has a prefix in the bucket and a database
of Redis to itself. What a test does to the stores (an outage, a wipe), it does to
all clusters that run; tests of one process run one after the other.
"""

import contextlib
import itertools
import threading
import time

from harness.backends import Minio, Redis
from harness.client import Client
from harness.daemon import wait_until
from harness.server import Breakwater, merged

BUCKET = "breakwater"
DATABASES = 1024
SECRET = "what-replicas-of-tests-know-each-other-by"

_numbers = itertools.count(1)


class Stores:
    """One MinIO and one Redis for as long as the tests of a process run."""

    def __init__(self, folder):
        self.minio = Minio(folder / "minio")
        self.redis = Redis(folder / "redis", options=["--databases", str(DATABASES)])

    def start(self):
        try:
            self.minio.start()
            self.minio.client.make_bucket(BUCKET)
            self.redis.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        for daemon in (self.redis, self.minio):
            daemon.stop()

    def heal(self):
        """Whatever a test did to them, the next one finds them up."""
        for daemon in (self.minio, self.redis):
            if daemon.running:
                daemon.resume()
            else:
                daemon.kill()
                daemon.start()


@contextlib.contextmanager
def outage(daemon):
    """It is killed, and comes back with what it had on disk (Redis: with nothing)."""
    daemon.kill()
    try:
        yield
    finally:
        if not daemon.running:
            daemon.start()


@contextlib.contextmanager
def hang(daemon):
    """It accepts connections and never answers."""
    daemon.pause()
    try:
        yield
    finally:
        daemon.resume()


class Replica(Breakwater):
    """What is in its folder is worth nothing: a test may delete it between two starts."""

    def ready_now(self):
        """What a load balancer would learn now; never raises."""
        with contextlib.suppress(OSError, AssertionError):
            with Client("127.0.0.1", self.admin_port, 2, retries=False) as client:
                return client.get("/readyz").status == 200
        return False

    def await_ready(self, seconds):
        self.wait_until(self.ready_now, seconds, f"not ready within {seconds} s")

    @property
    def hot_files(self):
        """One for each blob in its hot cache."""
        return list((self.folder / "hot").rglob("sha*-*.*"))


class Cluster:
    """N replicas. `client()` sends each request to the next one that is ready."""

    def __init__(self, folder, stores, upstreams=None, size=3, config=None, s3=None, redis=None):
        """`s3`, `redis`: what is laid over those parts of the configuration, such as a
        proxy's address."""
        self.folder, self.stores = folder, stores
        number = next(_numbers)
        self.prefix, self.database = f"cluster-{number}/", number % DATABASES
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cluster-secret").write_text(SECRET)
        self.replicas = [self._replica(name, upstreams or {}, config or {}, s3 or {}, redis or {})
                         for name in range(size)]
        self._turn = itertools.count()

    def _replica(self, number, upstreams, config, s3, redis):
        replica = Replica(self.folder / f"replica-{number}", {})
        minio = self.stores.minio
        shared = {
            "storage": {
                "filesystem": None,
                "s3": merged({"endpoint": minio.endpoint, "bucket": BUCKET, "prefix": self.prefix,
                              "accessKey": minio.access_key, "secretKey": minio.secret_key}, s3),
                "hotCache": {"directory": str(replica.folder / "hot")},
            },
            "metadata": {
                "sqlite": None,
                "redis": merged({"address": self.stores.redis.address, "database": self.database},
                                redis),
            },
            "cluster": {"advertiseAddress": f"127.0.0.1:{replica.port}",
                        "secretFile": str(self.folder / "cluster-secret")},
        }
        replica.secrets = [SECRET, minio.secret_key]
        replica.configure(upstreams, merged(shared, config))
        return replica

    # The processes

    def start(self):
        for replica in self.replicas:
            replica.start()
        return self

    @property
    def running(self):
        return [replica for replica in self.replicas if replica.process is not None]

    def stop(self):
        """Each must end cleanly, and its log hold JSON and no secret."""
        problems = []
        for replica in self.running:
            try:
                code = replica.stop()
                assert code == 0, f"exit code {code}"
                replica.check_log()
            except AssertionError as problem:
                problems.append(f"{replica.folder.name}: {problem}")
        assert not problems, "\n".join(problems)

    def kill(self):
        for replica in self.replicas:
            replica.kill()

    def await_ready(self, seconds):
        for replica in self.running:
            replica.await_ready(seconds)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # Asking it

    def client(self, timeout=60):
        """As a load balancer that sends each request elsewhere."""
        return RoundRobin(self.replicas, timeout, next(self._turn))

    def everywhere(self, ask):
        """ask(replica) of each: a list of what they answered."""
        return [ask(replica) for replica in self.replicas]

    # What it has stored

    def stored(self, below=""):
        """{key without the cluster's prefix: size} of all in the bucket."""
        found = self.stores.minio.client.list(BUCKET, self.prefix + below)
        return {key.removeprefix(self.prefix): size for key, size in found.items()}

    def stored_bytes(self):
        return sum(self.stored().values())


class RoundRobin:
    """The Client of a cluster: asks the replicas in turn, those that run."""

    def __init__(self, replicas, timeout=60, first=0):
        self._replicas, self._turn = replicas, first
        self._clients = [replica.client(timeout) for replica in replicas]

    def request(self, method, path, headers=None, body=None):
        for _ in self._replicas:
            self._turn += 1
            number = self._turn % len(self._replicas)
            if self._replicas[number].process is not None:
                return self._clients[number].request(method, path, headers, body)
        raise ConnectionRefusedError("no replica runs")

    def get(self, path, **headers):
        return self.request("GET", path, {name.replace("_", "-"): value
                                          for name, value in headers.items()})

    head = None     # ask for it by request()

    def close(self):
        for client in self._clients:
            client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class PatientClient(Client):
    """For a ledger's Writer: a machine that is busy with killing and starting may have a
    Redis that answers late. It asks again what it can; a write that is refused is in
    doubt, as one whose connection broke."""

    PATIENCE = 10   # seconds

    def request(self, method, path, headers=None, body=None):
        end = time.monotonic() + self.PATIENCE
        while True:
            response = super().request(method, path, headers, body)
            if response.status != 503 or time.monotonic() > end:
                return response
            assert "retry-after" in response.headers, response
            if method not in ("GET", "HEAD"):
                raise ConnectionAbortedError(f"{method} {path}: {response}")
            time.sleep(0.1)


class Endpoints:
    """Which replicas are ready, as Kubernetes would know it: each is asked for its
    /readyz every `period` seconds, and clients connect to those that said yes last."""

    def __init__(self, cluster, period=0.1):
        self.cluster, self.period = cluster, period
        self.ready = list(cluster.replicas)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._over.wait(self.period):
            self.ready = [replica for replica in self.cluster.replicas if replica.ready_now()]

    def pick(self, number):
        ready = self.ready
        return ready[number % len(ready)] if ready else None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(10)


def within(seconds, condition, complaint):
    """How long it took to come true."""
    begun = time.monotonic()
    wait_until(condition, seconds, complaint)
    return time.monotonic() - begun
