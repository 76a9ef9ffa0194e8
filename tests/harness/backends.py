"""The stores that replicas share, as a test starts them: MinIO, Redis, Sentinel.

    with Minio(tmp_path / "minio") as minio:
        bucket = minio.client.make_bucket("images")
        minio.pause()        # it hangs
        minio.resume()
        minio.kill()         # and it is gone
        minio.start()        # on the same port, with what was durable

Ceph's gateway is in harness/ceph.py, what lies between us and them in
harness/fault_proxy.py.
"""

import os
import shutil

from fakes.ports import free_port
from harness.daemon import Daemon, wait_until
from harness.redis_client import RedisClient, RedisError
from harness.s3_client import S3Client
from harness.tools import tool

ACCESS_KEY, SECRET_KEY = "breakwater-tests", "not-a-secret-of-anybody"


class S3Server(Daemon):
    """What MinIO and Ceph's gateway have in common."""

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()
        self.access_key, self.secret_key = ACCESS_KEY, SECRET_KEY

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self):
        return S3Client(self.endpoint, self.access_key, self.secret_key)

    @property
    def words(self):
        """As tests/support/s3_server.h reads it from the environment."""
        return f"{self.endpoint} {self.access_key} {self.secret_key}"

    def ready(self):
        """It answers, and knows the user."""
        return self.client.request("GET", "/").status == 200


class Minio(S3Server):
    name = "minio"

    def __init__(self, folder):
        super().__init__(folder)
        self.console_port = free_port()

    def command(self):
        return [tool("minio"), "server", "--quiet", "--address", f"127.0.0.1:{self.port}",
                "--console-address", f"127.0.0.1:{self.console_port}",
                "--certs-dir", self.folder / "certs", self.folder / "data"]

    def environment(self):
        return {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CI_CD": "1",
                "HOME": str(self.folder)}

    def wipe(self):
        """All buckets gone; between stop() and start()."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)


class Redis(Daemon):
    """One Redis. persistence: None (memory only) or "aof" (each write is flushed)."""

    name = "redis"

    def __init__(self, folder, persistence=None, replica_of=None, password=None, options=()):
        super().__init__(folder)
        self.port = free_port()
        self.persistence, self.password = persistence, password
        self.replica_of = replica_of
        self.options = list(options)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def client(self):
        return RedisClient(self.port, password=self.password)

    def command(self):
        command = ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", self.folder,
                   "--save", "", "--appendonly", "yes" if self.persistence == "aof" else "no",
                   "--appendfsync", "always", "--repl-diskless-sync-delay", "0"]
        if self.replica_of:
            command += ["--replicaof", "127.0.0.1", self.replica_of.port]
        if self.password:
            command += ["--requirepass", self.password, "--masterauth", self.password]
        return command + self.options

    def ready(self):
        try:
            replication = self.client.info("replication")
        except RedisError:      # LOADING
            return False
        return replication["role"] == "master" or replication["master_link_status"] == "up"

    @property
    def role(self):
        return self.client.info("replication")["role"]

    # Ways of losing what it knew

    def wipe(self):
        """It comes back empty; between kill() and start()."""
        for left in [self.folder / "dump.rdb", self.folder / "appendonlydir"]:
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)

    def snapshot(self, path):
        """What it holds now, for restore()."""
        self.client("SAVE")
        shutil.copyfile(self.folder / "dump.rdb", path)

    def restore(self, path):
        """It comes back as it was at snapshot(); between kill() and start().

        With an AOF it would read that instead, so memory only.
        """
        assert self.persistence is None, "a Redis with an AOF does not read snapshots"
        self.wipe()
        shutil.copyfile(path, self.folder / "dump.rdb")


class Sentinel(Daemon):
    """One of the watchers of a master; it writes its configuration itself as it goes."""

    name = "sentinel"

    def __init__(self, folder, master, service="breakwater", quorum=2, down_after_ms=1000):
        super().__init__(folder)
        self.port = free_port()
        self.service = service
        self.config_file = self.folder / "sentinel.conf"
        auth = f"sentinel auth-pass {service} {master.password}\n" if master.password else ""
        self.config_file.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor {service} 127.0.0.1 {master.port} {quorum}\n{auth}"
            f"sentinel down-after-milliseconds {service} {down_after_ms}\n"
            f"sentinel failover-timeout {service} 5000\n")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def client(self):
        return RedisClient(self.port)

    def command(self):
        return ["redis-server", self.config_file, "--sentinel"]

    def ready(self):
        return self.master_port() is not None

    def master_port(self):
        where = self.client("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        return int(where[1]) if where else None

    def sees(self):
        """(replicas, other sentinels) that it knows of."""
        words = self.client("SENTINEL", "MASTER", self.service)
        master = dict(zip(words[::2], words[1::2]))
        return int(master["num-slaves"]), int(master["num-other-sentinels"])


class SentinelGroup:
    """A master, a replica and three sentinels that know each other."""

    def __init__(self, folder, persistence=None, password=None):
        self.master = Redis(folder / "master", persistence, password=password)
        self.replica = Redis(folder / "replica", persistence, self.master, password)
        self.sentinels = [Sentinel(folder / f"sentinel-{number}", self.master) for number in range(3)]
        self.service = self.sentinels[0].service

    @property
    def addresses(self):
        return [sentinel.address for sentinel in self.sentinels]

    def start(self):
        try:
            for daemon in (self.master, self.replica, *self.sentinels):
                daemon.start()
            for sentinel in self.sentinels:
                wait_until(lambda sentinel=sentinel: sentinel.sees() == (1, 2), 30,
                           "the sentinels did not find each other")
        except BaseException:
            self.stop()
            raise
        return self

    def current_master(self):
        port = self.sentinels[0].master_port()
        return self.master if port == self.master.port else self.replica

    def fail_over(self):
        """Kills the master and waits for the replica to have taken its place."""
        old = self.current_master()
        new = self.replica if old is self.master else self.master
        old.kill()
        wait_until(lambda: all(sentinel.master_port() == new.port for sentinel in self.sentinels)
                   and new.role == "master", 60, "no sentinel promoted the replica")
        return new

    def stop(self):
        for daemon in (*self.sentinels, self.replica, self.master):
            daemon.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
