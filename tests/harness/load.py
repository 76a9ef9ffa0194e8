"""Clients that pull all the time, and write down every pull that failed."""

import contextlib
import http.client
import threading
import time

from harness.client import path_with
from harness.server import start_task

BROKEN = (OSError, http.client.HTTPException)


class Puller:
    """Pulls images, each from the replica that `choose()` names, over connections
    that it keeps. `pulls`: [(repository, tag, Manifest)]."""

    def __init__(self, choose, pulls, ns=None):
        self.choose, self.pulls, self.ns = choose, pulls, ns
        self.done = 0
        self.slowest = 0.0
        self.failures = []      # (time, replica, path, what)
        self._clients = {}
        self._number = 0

    def _get(self, kind, repository, reference):
        replica = self.choose()
        client = self._clients.get(replica) or self._clients.setdefault(replica, replica.client(30))
        path = path_with(f"/v2/{repository}/{kind}/{reference}", ns=self.ns)
        begun = time.monotonic()
        try:
            response = client.get(path)
        except BROKEN as error:
            client.close()
            return self._fail(replica, path, repr(error))
        self.slowest = max(self.slowest, time.monotonic() - begun)
        if response.status != 200 or not response.complete:
            return self._fail(replica, path, (response.status, response.complete, response.body[:300]))
        return response

    def _fail(self, replica, path, what):
        self.failures.append((time.monotonic(), replica.folder.name, path, what))

    def pull_once(self):
        repository, tag, image = self.pulls[self._number % len(self.pulls)]
        self._number += 1
        manifest = self._get("manifests", repository, tag)
        if manifest is None:
            return False
        assert manifest.digest == image.digest, (repository, tag, manifest)
        answers = [self._get("blobs", repository, digest) for digest in image.blobs]
        if None in answers:
            return False
        self.done += 1
        return True

    def run(self, over):
        while not over.is_set():
            if not self.pull_once():
                over.wait(0.05)

    def close(self):
        for client in self._clients.values():
            client.close()


@contextlib.contextmanager
def pulling(choices, pulls, ns=None):
    """A puller for each of the choices (functions that name a replica, or replicas)
    beside the block; it gets the list of them."""
    over = threading.Event()
    pullers = [Puller(choice if callable(choice) else lambda choice=choice: choice, pulls, ns)
               for choice in choices]
    tasks = [start_task(lambda puller=puller: puller.run(over)) for puller in pullers]
    try:
        yield pullers
    finally:
        over.set()
        for task in tasks:
            task()
        for puller in pullers:
            puller.close()


def failures_of(pullers):
    """What went wrong, in order of time."""
    return sorted(failure for puller in pullers for failure in puller.failures)
