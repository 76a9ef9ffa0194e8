"""A ledger of 201s: what a registry has said it keeps, read back from every replica.

Stores fail while it is written, so a push may be answered with 503, or not at all;
its tag may be there or not until a later push of that tag is acknowledged. From then
on it never is.
"""

import contextlib
import http.client
import threading
import time

from fakes import images
from harness.push import Repository
from harness.server import start_task

BROKEN = (OSError, http.client.HTTPException)


class Tag:
    """Written by one pusher, one write after the other."""

    def __init__(self):
        self.writes = []        # digests, as they were begun
        self.sure = -1          # which of them is the last one acknowledged

    def allowed(self, since=None):
        """What it may be; or may have been since `sure` was that."""
        since = self.sure if since is None else since
        return {*self.writes[max(since, 0):], *([None] if since < 0 else [])}


class Promises:
    def __init__(self):
        self._lock = threading.Lock()
        self.blobs = {}         # (repository, digest) -> bytes
        self.manifests = {}     # (repository, digest) -> Manifest
        self.tags = {}          # (repository, tag) -> Tag

    @property
    def count(self):
        return len(self.blobs) + len(self.manifests)

    def keep_blob(self, repository, digest, content):
        with self._lock:
            self.blobs[repository, digest] = content

    def begin(self, repository, tag, image):
        with self._lock:
            self.tags.setdefault((repository, tag), Tag()).writes.append(image.digest)

    def keep(self, repository, tag, image):
        with self._lock:
            self.manifests[repository, image.digest] = image
            state = self.tags[repository, tag]
            state.sure = len(state.writes) - 1

    def push(self, repository, image, tag):
        """All of an image, by a Repository. The first answer that was not a yes, or
        None: then the whole image is promised."""
        for digest, content in image.blobs.items():
            response = repository.post(content, digest=digest)
            if response.status != 201:
                return response
            self.keep_blob(repository.name, digest, content)
        self.begin(repository.name, tag, image)
        response = repository.put_manifest(tag, image.body, image.media_type)
        if response.status != 201:
            return response
        self.keep(repository.name, tag, image)
        return None

    def replay(self, replicas):
        """Every replica has every byte of what was promised up to now; the client hashes
        them. May be called while pushes go on."""
        assert self.count, "nothing was promised: the test has shown nothing"
        tasks = [start_task(lambda replica=replica: self._read_all(replica)) for replica in replicas]
        for task in tasks:
            task(timeout=120)

    def _read_all(self, replica):
        where = replica.folder.name
        with self._lock:
            blobs, manifests, tags = dict(self.blobs), dict(self.manifests), dict(self.tags)
        with contextlib.closing(Repository(replica, "")) as reader:
            for (name, digest), content in blobs.items():
                response = reader.client.get(f"/v2/{name}/blobs/{digest}")
                assert (response.status, response.complete) == (200, True), (where, name, digest, response)
                assert response.body == content, (where, name, digest)
            for (name, digest), image in manifests.items():
                response = reader.client.get(f"/v2/{name}/manifests/{digest}")
                assert (response.status, response.body) == (200, image.body), (where, name, digest, response)
        self._read_tags(replica, tags)

    def check_tags(self, replicas):
        """No tag is another one than was promised last."""
        with self._lock:
            tags = dict(self.tags)
        for replica in replicas:
            self._read_tags(replica, tags)

    @staticmethod
    def _read_tags(replica, tags):
        where = replica.folder.name
        with contextlib.closing(Repository(replica, "")) as reader:
            for (name, tag), state in tags.items():
                since = state.sure
                response = reader.client.get(f"/v2/{name}/manifests/{tag}")
                assert response.status in (200, 404), (where, name, tag, response)
                found = response.digest if response.status == 200 else None
                assert found in state.allowed(since), (where, name, tag, found, state.writes[since:])


class Pusher:
    """Pushes image after image to a repository of its own. Each tag is moved once, and
    has to stay there from then on."""

    LAYERS = ((30_000,), (2_000, 150_000), (500_000,), (0, 1_000))

    def __init__(self, server, promises, name, seed=0, layers=LAYERS):
        self.server, self.promises = server, promises
        self.name, self.seed, self.layers = name, seed, layers
        self.pushed = 0
        self.refused = []       # (seconds since it was asked, Response)
        self.broken = 0         # connections
        self._number = 0

    def push_once(self):
        """True: it is promised."""
        number = self._number
        self._number += 1
        image = images.image(self.layers[number % len(self.layers)], seed=f"{self.seed}/{self.name}/{number}")
        with contextlib.closing(Repository(self.server, self.name)) as repository:
            begun = time.monotonic()
            try:
                response = self.promises.push(repository, image, f"v{number // 2}")
            except BROKEN:
                self.broken += 1
                return False
            if response is not None:
                self.refused.append((time.monotonic() - begun, response))
                return False
        self.pushed += 1
        return True

    def run(self, over, pause=0.0):
        while not over.is_set():
            if not self.push_once() or pause:
                over.wait(pause or 0.02)


@contextlib.contextmanager
def pushing(server, promises, count=3, pause=0.0, **options):
    """Pushers at work beside the block; it gets the list of them."""
    over = threading.Event()
    pushers = [Pusher(server, promises, f"push/p{number}", **options) for number in range(count)]
    tasks = [start_task(lambda pusher=pusher: pusher.run(over, pause)) for pusher in pushers]
    try:
        yield pushers
    finally:
        over.set()
        for task in tasks:
            task()
