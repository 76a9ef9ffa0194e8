"""MinIO and Redis, and the registries that keep their content there.

Both run on the client's core, started by the same harness as in the tests.
"""

import contextlib
import os
import re
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from harness.backends import Minio, Redis
from harness.tools import BIN
from measure import CLIENT_CORE
from servers import Breakwater, Server

BUCKET = "bench"
NOBODY = 9      # the port of an upstream that is never asked
DISTRIBUTION = BIN / "registry"
MISSING = ("" if (BIN / "minio").exists() else
           "MinIO is missing; benchmarks/install-peers builds it")


def on_core(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


class MeteredMinio(Minio):
    """Tells anybody what it was asked."""

    SAMPLE = re.compile(r"minio_api_requests_(total|traffic_received_bytes|traffic_sent_bytes)"
                        r"\{(?:name=\"(\w+)\",)?.*type=\"s3\"\} (\S+)")

    def command(self):
        return on_core(CLIENT_CORE, super().command())

    def environment(self):
        return {**super().environment(), "MINIO_PROMETHEUS_AUTH_TYPE": "public"}

    def count(self):
        """{"requests": {API: number}, "in", "out": bytes of bodies, "disk": bytes written}

        since its start. HEADs of the bucket are left out: our health check asks one a
        second whether or not anybody pushes.
        """
        with urllib.request.urlopen(f"{self.endpoint}/minio/metrics/v3/api/requests") as answer:
            samples = self.SAMPLE.findall(answer.read().decode())
        counted = {"requests": {}, "in": 0, "out": 0, "disk": self._bytes_to_disk()}
        for kind, name, value in samples:
            if kind == "total":
                counted["requests"][name] = int(float(value))
            else:
                counted["in" if "received" in kind else "out"] = float(value)
        counted["requests"].pop("HeadBucket", None)
        return counted

    def _bytes_to_disk(self):
        accounting = Path(f"/proc/{self.process.pid}/io").read_text()
        return int(re.search(r"^write_bytes: (\d+)", accounting, re.MULTILINE)[1])


def spent(before, after):
    """What lies between two counts."""
    requests = {name: number - before["requests"].get(name, 0)
                for name, number in after["requests"].items()}
    return {"requests": {name: number for name, number in requests.items() if number},
            **{key: after[key] - before[key] for key in ("in", "out", "disk")}}


class Stores:
    """One MinIO with an empty bucket, and one empty Redis."""

    def __init__(self, folder):
        self.minio = MeteredMinio(folder / "minio")
        self.redis = Redis(folder / "redis")

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.minio)
            self.minio.client.make_bucket(BUCKET)
            stack.enter_context(self.redis)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def asked(self):
        """Commands that Redis has had, and requests that MinIO has, since their start."""
        return {"redis": int(self.redis.client.info("stats")["total_commands_processed"]),
                "s3": sum(self.minio.count()["requests"].values())}


class BreakwaterOnS3(Breakwater):
    """A replica: blobs in the bucket, index in Redis, a hot cache of its own."""

    prefix = "/v2"

    def __init__(self, folder, core, binary, stores, name="breakwater", upstream_port=NOBODY):
        super().__init__(folder, core, binary, upstream_port)
        self.name = name
        secret = self.folder.parent / "cluster-secret"
        secret.write_text("known to the replicas of this run")
        (self.folder / "breakwater.yaml").write_text(f"""\
version: 1
http: {{address: "127.0.0.1:{self.port}", adminAddress: "127.0.0.1:{self.admin_port}"}}
storage:
  s3: {{endpoint: "{stores.minio.endpoint}", bucket: {BUCKET}, prefix: breakwater,
        accessKey: "{stores.minio.access_key}", secretKey: "{stores.minio.secret_key}"}}
  hotCache: {{directory: "{self.folder}/hot"}}
metadata: {{redis: {{address: "{stores.redis.address}"}}}}
cluster: {{advertiseAddress: "127.0.0.1:{self.port}", secretFile: "{secret}"}}
proxy:
  upstreams:
    bench.test: {{urls: ["http://127.0.0.1:{upstream_port}"], manifestTTL: 1h}}
""")

    def index_actions(self):
        """What was asked of the index since the start, whoever answered: it may be our
        own copy of what is in Redis. Without the health checks."""
        metric = "registry_storage_action_seconds_count"
        return (self.metric(metric, store="redis")
                - self.metric(metric, store="redis", action="check"))


class BreakwaterOnDisk(Breakwater):
    """The same repositories on this machine's disk."""

    name = "filesystem"
    prefix = "/v2"

    def __init__(self, folder, core, binary):
        super().__init__(folder, core, binary, NOBODY)


class RegistryOnS3(Server):
    """docker-registry, or distribution, with its S3 driver as it is shipped; it passes
    pulls through as we do, instead of sending clients to MinIO."""

    def __init__(self, folder, core, name, binary, stores):
        super().__init__(folder, core)
        self.name, self.binary = name, binary
        (self.folder / "config.yml").write_text(f"""\
version: 0.1
log: {{level: info}}
storage:
  s3:
    regionendpoint: "{stores.minio.endpoint}"
    region: us-east-1
    bucket: {BUCKET}
    rootdirectory: /{name}
    accesskey: "{stores.minio.access_key}"
    secretkey: "{stores.minio.secret_key}"
    secure: false
    v4auth: true
    forcepathstyle: true
  redirect: {{disable: true}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: "127.0.0.1:{self.port}"}}
""")

    def command(self):
        whose = [f"--unset={name}" for name in os.environ if name.startswith("AWS_")]
        return ["env", *whose, "OTEL_TRACES_EXPORTER=none", self.binary, "serve",
                self.folder / "config.yml"]


def peers(run, core, stores):
    found = [RegistryOnS3(run.new_folder("docker-registry"), core, "docker-registry",
                          "docker-registry", stores)]
    if os.access(DISTRIBUTION, os.X_OK):
        found.append(RegistryOnS3(run.new_folder("distribution"), core, "distribution",
                                  DISTRIBUTION, stores))
    return found
