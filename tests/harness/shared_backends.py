"""MinIO, Ceph's gateway and Redis, started once for many programs of tests.

Each program makes a bucket, or takes keys with a prefix, of its own. Where they
are is told in the environment: see tests/support/s3_server.h.
"""

import shutil
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.backends import Minio, Redis
from harness.ceph import Gateway


class SharedBackends:
    """Nothing runs before environment() is asked for; close() ends what was started."""

    def __init__(self):
        self._folder = None
        self._daemons = []

    def environment(self):
        """Fails with an AssertionError that says which of them did not start, and its log."""
        if not self._daemons:
            self._start()
        minio, gateway, redis = self._daemons
        return {"BREAKWATER_TEST_S3": minio.words, "BREAKWATER_TEST_RGW": gateway.words,
                "BREAKWATER_TEST_REDIS": redis.address}

    def _start(self):
        self._folder = Path(tempfile.mkdtemp(prefix="breakwater-backends-"))
        self._daemons = [Minio(self._folder / "minio"), Gateway(self._folder / "ceph"),
                         Redis(self._folder / "redis", options=["--databases", "1024"])]
        try:
            with ThreadPoolExecutor(len(self._daemons)) as pool:
                list(pool.map(lambda daemon: daemon.start(), self._daemons))
        except BaseException:
            self.close()
            raise

    def close(self):
        for daemon in self._daemons:
            daemon.stop()
        self._daemons = []
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def end_on_signals():
    """So that what runs behind `with` and `finally` runs then too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
