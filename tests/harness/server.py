"""A Breakwater process of a test's own, with its own ports and folders."""

import contextlib
import copy
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import yaml

from fakes.ports import free_port
from harness.client import Client, path_with

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BREAKWATER", ROOT / "build/breakwater"))
SANITIZED = "asan" in str(BINARY) or "tsan" in str(BINARY)

# The name under which tests know their first upstream.
NAME = "up.test"

QUICK = {"connect": "1s", "firstByte": "2s", "stall": "2s"}


def merged(base, changes):
    """base with changes laid over it, maps into maps; None removes a key."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def settings_of(upstream, **settings):
    """An upstream's part of the configuration: one Upstream, several mirrors, or URLs."""
    mirrors = upstream if isinstance(upstream, (list, tuple)) else [upstream]
    urls = [mirror if isinstance(mirror, str) else mirror.url for mirror in mirrors]
    return merged({"urls": urls, "timeouts": QUICK}, settings)


class Breakwater:
    def __init__(self, folder, upstreams, config=None, environment=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = BINARY
        self.port, self.admin_port = free_port(), free_port()
        self.root = self.folder / "store"
        self.config_file = self.folder / "breakwater.yaml"
        self.stderr_file = self.folder / "stderr.log"
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.secrets = []     # must never be seen in the log
        self.configure(upstreams, config)

    # Configuration

    def configure(self, upstreams, config=None):
        base = {
            "version": 1,
            "log": {"level": "debug"},
            "http": {"address": f"127.0.0.1:{self.port}",
                     "adminAddress": f"127.0.0.1:{self.admin_port}",
                     "threads": 64, "drainTimeout": "10s"},
            "storage": {"filesystem": {"rootDirectory": str(self.root)}},
            "metadata": {"sqlite": {"path": str(self.folder / "index.db")}},
            "proxy": {"upstreams": upstreams},
        }
        self.write(merged(base, config or {}))

    def write(self, document):
        self.document = document
        text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
        temporary = self.config_file.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.config_file)

    # The process

    def start(self):
        with self.stderr_file.open("ab") as stderr:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", self.config_file], cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=self.environment)
        try:
            self.wait_until(self.ready, 30, "it did not become ready")
        except AssertionError:
            self.kill()
            raise
        return self

    def ready(self):
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.stderr()}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.admin("/readyz").status == 200
        return False

    def stop(self, timeout=30):
        """SIGTERM; returns the exit code."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end within {timeout} s of SIGTERM") from None
        self.process = None
        return code

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        assert self.stop() == 0, self.stderr()
        return self.start()

    def signal(self, number):
        self.process.send_signal(number)

    def peak_memory(self):
        """The most physical memory it ever had, in bytes."""
        return self._memory("VmHWM")

    def memory(self):
        """The physical memory it has now."""
        return self._memory("VmRSS")

    def _memory(self, which):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024

    def wait_until(self, condition, timeout=20, complaint="it did not happen in time"):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"{complaint}\n{self.stderr()[-4000:]}"
            time.sleep(0.01)

    # Its log

    def stderr(self):
        return self.stderr_file.read_text(errors="replace") if self.stderr_file.exists() else ""

    def log_lines(self):
        """Every line of the log as an object; a line that is not JSON fails the test."""
        return [json.loads(line) for line in self.stderr().splitlines()]

    def check_log(self):
        text = self.stderr()
        for secret in self.secrets:
            assert secret not in text, f"the log holds the secret {secret!r}"
        for line in text.splitlines():
            try:
                document = json.loads(line)
            except ValueError:
                raise AssertionError(f"a log line that is not JSON: {line}\n{text[-6000:]}") from None
            assert isinstance(document, dict), line

    # Asking it

    def client(self, timeout=60):
        return Client("127.0.0.1", self.port, timeout)

    def request(self, method, path, headers=None, body=None, timeout=60):
        with self.client(timeout) as client:
            return client.request(method, path, headers, body)

    def get(self, path, **headers):
        with self.client() as client:
            return client.get(path, **headers)

    def head(self, path, **headers):
        with self.client() as client:
            return client.head(path, **headers)

    def manifest(self, repository, reference, ns=NAME, method="GET", **headers):
        path = path_with(f"/v2/{repository}/manifests/{reference}", ns=ns)
        with self.client() as client:
            return client.request(method, path, {name.replace("_", "-"): value
                                                 for name, value in headers.items()})

    def blob(self, repository, digest, ns=NAME, method="GET", **headers):
        path = path_with(f"/v2/{repository}/blobs/{digest}", ns=ns)
        with self.client() as client:
            return client.request(method, path, {name.replace("_", "-"): value
                                                 for name, value in headers.items()})

    def admin(self, path):
        with Client("127.0.0.1", self.admin_port, 10) as client:
            return client.get(path)

    def pull(self, repository, reference, ns=NAME):
        """What a container runtime asks: HEAD, GET, then every blob, at once."""
        head = self.manifest(repository, reference, ns, "HEAD")
        assert head.status == 200, head
        manifest = self.manifest(repository, head.digest, ns)
        assert manifest.status == 200, manifest
        document = manifest.json
        digests = [document["config"]["digest"]] + [layer["digest"] for layer in document["layers"]]
        replies = in_parallel([lambda digest=digest: self.blob(repository, digest, ns)
                               for digest in digests])
        for digest, reply in zip(digests, replies):
            assert (reply.status, reply.complete) == (200, True), (digest, reply.status, reply.body[:500])
        return [manifest, *replies]

    def metrics(self):
        return Metrics(self.admin("/metrics").body.decode())

    def stored_blobs(self):
        return [path for path in (self.root / "blobs").glob("*/*/*") if path.is_file()]


class Metrics:
    """Prometheus text: metrics.value("name", label="x") sums what fits."""

    SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                found = self.SAMPLE.fullmatch(line)
                assert found, f"not Prometheus text: {line!r}"
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
                self.samples.append((found[1], labels, float(found[3])))

    def value(self, name, **labels):
        return sum(value for sample, its, value in self.samples
                   if sample == name and labels.items() <= its.items())

    def names(self):
        return {name for name, _, _ in self.samples}


def in_parallel(tasks, timeout=120):
    """Runs the tasks, all starting together; their results, or the first one's error."""
    results = [None] * len(tasks)
    errors = []
    barrier = threading.Barrier(len(tasks))

    def run(number, task):
        try:
            barrier.wait(timeout)
            results[number] = task()
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), "a task did not end in time"
    if errors:
        raise errors[0]
    return results


def start_task(task):
    """Runs a task beside the test; call the result to wait for what it returns."""
    box = {}

    def run():
        try:
            box["result"] = task()
        except BaseException as error:  # pylint: disable=broad-except
            box["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result(timeout=60):
        thread.join(timeout)
        assert not thread.is_alive(), "it did not end in time"
        if "error" in box:
            raise box["error"]
        return box["result"]

    result.running = thread.is_alive
    return result
