"""The servers under measurement: Breakwater, its peers, and the upstream.

Each runs as it is shipped, on loopback, pinned to one core, with its log
written to a file.
"""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process pinned to a core; ends with its `with`."""

    name = "?"
    prefix = "/v2"

    def __init__(self, folder, core):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.core = core
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def __enter__(self):
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(self.core), *map(str, self.command())],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise SystemExit(f"{self.name} did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)
        return self

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/v2/")
            connection.getresponse().read()
            connection.close()
            return True
        return False

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    # Where things are

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{self.path(path)}"

    def path(self, path):
        return f"{self.prefix}/{path}"

    # What it costs

    def processes(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def cpu_seconds(self):
        """User and system time of the process and its children (nginx's worker)."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def memory(self, key):
        """VmRSS (now) or VmHWM (the most there ever was), in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(key)


class Breakwater(Server):
    """The release build, caching `upstream` as bench.test."""

    name = "breakwater"
    prefix = "/v2/bench.test"

    def __init__(self, folder, core, binary, upstream_port):
        super().__init__(folder, core)
        self.binary = binary
        self.admin_port = free_port()
        (self.folder / "breakwater.yaml").write_text(f"""\
version: 1
http: {{address: "127.0.0.1:{self.port}", adminAddress: "127.0.0.1:{self.admin_port}"}}
proxy:
  upstreams:
    bench.test: {{urls: ["http://127.0.0.1:{upstream_port}"], manifestTTL: 1h}}
""")

    def command(self):
        return [self.binary, "serve", "--config", "breakwater.yaml"]

    def metric(self, name, **labels):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines
                   if line.partition("{")[0].partition(" ")[0] == name and
                   all(label in line for label in wanted))


class Nginx(Server):
    """Static files under the registry's paths; `logs` writes an access log as Debian does."""

    name = "nginx"

    def __init__(self, folder, core, files, logs=False, rate=None):
        super().__init__(folder, core)
        self.name = "nginx with log" if logs else "nginx"
        limit = f"limit_rate {rate};" if rate else ""
        (self.folder / "nginx.conf").write_text(f"""\
worker_processes 1;
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
pid {self.folder}/pid;
error_log {self.folder}/error.log;
events {{ worker_connections 4096; }}
http {{
	access_log {f"{self.folder}/access.log" if logs else "off"};
	sendfile on;
	tcp_nopush on;
	keepalive_requests 100000000;
	client_body_temp_path {self.folder}/body;
	proxy_temp_path {self.folder}/proxy;
	fastcgi_temp_path {self.folder}/fastcgi;
	uwsgi_temp_path {self.folder}/uwsgi;
	scgi_temp_path {self.folder}/scgi;
	server {{
		listen 127.0.0.1:{self.port} backlog=4096;
		root {files};
		{limit}
		default_type application/octet-stream;
		location ~ /manifests/ {{ default_type {MANIFEST_TYPE}; }}
	}}
}}
""")

    def command(self):
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", self.folder / "nginx.conf",
                "-e", self.folder / "error.log"]


class DockerRegistry(Server):
    """Debian's docker-registry with a filesystem of its own, filled by pushing."""

    name = "docker-registry"

    def __init__(self, folder, core):
        super().__init__(folder, core)
        (self.folder / "config.yml").write_text(f"""\
version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: {self.folder}/data}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: "127.0.0.1:{self.port}"}}
""")

    def command(self):
        return ["docker-registry", "serve", self.folder / "config.yml"]
