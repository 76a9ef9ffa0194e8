"""Debian's docker-registry as a real upstream, and pushing into it."""

import http.client
import subprocess
import time
import urllib.parse
from pathlib import Path

from fakes.ports import free_port

CONFIG = """\
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {folder}/store}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        config = self.folder / "config.yml"
        config.write_text(CONFIG.format(folder=self.folder, port=self.port))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                if self.request("GET", "/v2/").status == 200:
                    return self
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "docker-registry did not start"
            time.sleep(0.05)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        reply.body = reply.read()
        connection.close()
        return reply

    def push(self, repository, tag, image):
        for digest, content in image.blobs.items():
            started = self.request("POST", f"/v2/{repository}/blobs/uploads/")
            assert started.status == 202, started.body
            place = urllib.parse.urlsplit(started.getheader("Location"))
            path = f"{place.path}?{place.query}&digest={urllib.parse.quote(digest)}"
            done = self.request("PUT", path, content, {"Content-Type": "application/octet-stream"})
            assert done.status == 201, done.body
        done = self.request("PUT", f"/v2/{repository}/manifests/{tag}", image.body,
                            {"Content-Type": image.media_type})
        assert done.status == 201, done.body
        return image
