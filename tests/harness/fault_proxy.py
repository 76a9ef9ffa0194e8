"""What lies between a server and its stores, and can be told to misbehave.

    with FaultProxy(tmp_path / "proxy", minio.port) as proxy:
        proxy.fail("latency", seconds=0.2)
        proxy.fail("status", status=503, code="SlowDown", rate=0.05)
        proxy.fail("truncate", method="GET", match="/blobs/", times=1)
        proxy.fail("swallow", method="POST", match="uploadId=")
        ...
        assert proxy.count("PUT") == 1
        proxy.heal()

A process of its own, so that a busy test does not slow it down; faults are set
over its control port. In front of Redis, http=False: connections, not requests.

A fault applies to what its method and match (a regular expression, searched in
the target) name, with a probability of `rate`, `times` times at most:

    latency     seconds before the request goes on (TCP: before each piece)
    status      status, code: an S3 error instead of an answer; nothing goes on
    truncate    the answer's body ends after `share` of it, and so does the connection
    reset       the connection, before the request goes on
    reset-after the store has done it, and its answer is lost
    hang        taken, and never answered
    swallow     200 with a body that says Complete; nothing goes on
    error-200   200 with an <Error> of `code` in its body; nothing goes on

TCP knows latency, reset and hang, for connections that are new or open.
"""

import json
import socket
import sys
from pathlib import Path

from fakes.ports import free_port
from harness.daemon import Daemon

TESTS = Path(__file__).resolve().parents[1]


class FaultProxy(Daemon):
    name = "fault-proxy"

    def __init__(self, folder, target_port, http=True):
        super().__init__(folder)
        self.port, self.control_port = free_port(), free_port()
        self.target_port, self.http = target_port, http

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def command(self):
        return [sys.executable, "-m", "harness.fault_proxy_server", self.port, self.target_port,
                self.control_port, "http" if self.http else "tcp"]

    def environment(self):
        return {"PYTHONPATH": str(TESTS)}

    def ready(self):
        return self._ask({"do": "count"}) is not None

    def _ask(self, question):
        with socket.create_connection(("127.0.0.1", self.control_port), 10) as connection, \
                connection.makefile("rw") as stream:
            stream.write(json.dumps(question) + "\n")
            stream.flush()
            return json.loads(stream.readline())

    # What tests say

    def fail(self, kind, method=None, match=None, rate=1.0, times=None, **more):
        """Lays a fault over those that are there already; earlier ones come first."""
        answer = self._ask({"do": "fail", "fault": {
            "kind": kind, "method": method, "match": match, "rate": rate, "times": times, **more}})
        assert answer == "ok", answer

    def heal(self):
        """No more faults; what hangs is reset."""
        assert self._ask({"do": "heal"}) == "ok"

    def requests(self):
        """[(method, target, bytes of the body, what was done to it or None)] so far."""
        return [tuple(request) for request in self._ask({"do": "requests"})]

    def count(self, method=None, match=""):
        return sum(1 for its, target, _, _ in self.requests()
                   if (method is None or its == method) and match in target)

    def forget(self):
        """Counting begins anew."""
        assert self._ask({"do": "forget"}) == "ok"

    def faults_done(self):
        return self._ask({"do": "count"})
