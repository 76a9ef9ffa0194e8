"""Clients that push, and remember exactly what they were promised.

For every name there is a set of states that the server may be in. Before a request
the new state is added; its acknowledgement leaves only that one; an error answer
takes it back; a connection that broke leaves both. What a check finds is what is
true from then on.

But a write that was cut off may have reached the object store and not the index.
It may take effect later, until something else is acknowledged for that name: a tag's
when the index is lost; a blob's link when somebody else has pushed the bytes that it
lacks. (A manifest's record likewise, where the store has no journal that keeps the two
together: `late`.)
"""

import contextlib
import http.client
import random
import threading
from collections import defaultdict
from dataclasses import dataclass

from fakes import images
from fakes.images import digest_of
from harness.client import Client
from harness.push import Repository, Upload

BROKEN = (OSError, http.client.HTTPException)
# No upload is ever one byte long: "Range: 0-0" is said of none and of one.
SIZES = (0, 2, 1_000, 1_000, 40_000, 300_000, 1_500_000)
TAGS = ("latest", "1.0", "1.1", "edge")


class Pool:
    """What is pushed, over and over again: the same bytes meet in many ways."""

    def __init__(self, seed, blobs=40, count=24):
        chance = random.Random(f"{seed}/pool")
        self.contents = [images.random_bytes(SIZES[number % len(SIZES)], f"{seed}/{number}")
                         for number in range(blobs)]
        self.images = [images.image(chance.sample(self.contents, chance.randint(1, 3)),
                                    seed=f"{seed}/{number}") for number in range(count)]
        self.bytes = {digest_of(content): content for content in self.contents}
        for image in self.images:
            self.bytes |= image.blobs
        self.by_digest = {image.digest: image for image in self.images}


class SharedTag:
    """A tag that everybody writes: it has a write that no acknowledged one follows."""

    @dataclass
    class Write:
        digest: str
        begun: int
        ended: int = None       # acknowledged, or cut off
        acknowledged: bool = False

    def __init__(self):
        self.lock = threading.Lock()
        self.clock = 0
        self.writes = []

    def _tick(self):
        self.clock += 1
        return self.clock

    def begin(self, digest):
        with self.lock:
            self.writes.append(self.Write(digest, self._tick()))
            return self.writes[-1]

    def acknowledge(self, write):
        with self.lock:
            write.ended, write.acknowledged = self._tick(), True

    def allowed(self):
        """Asked when nobody writes."""
        for write in self.writes:
            write.ended = write.ended or self._tick()
        newest = max((write.begun for write in self.writes if write.acknowledged), default=None)
        if newest is None:
            return {None, *(write.digest for write in self.writes)}
        self.writes = [write for write in self.writes if write.ended >= newest]
        return {write.digest for write in self.writes}


class Writer:
    """Pushes into a repository that is its own, one request after the other."""

    # What it does how often; other weights may be given.
    WEIGHTS = {"push_blob": 4, "push_image": 5, "move_tag": 3, "begin_upload": 3, "continue_upload": 6,
               "mount": 3, "delete_tag": 2, "delete_manifest": 2, "delete_blob": 5, "push_shared": 2}

    # What may lack its bytes after a write that was cut off.
    late = {"blob"}

    def __init__(self, server, name, pool, shared, seed, **weights):
        self.weights = {**self.WEIGHTS, **weights}
        self.server, self.name, self.pool, self.shared = server, name, pool, shared
        self.chance = random.Random(f"{seed}/{name}")
        self.allowed = {}       # ("blob" | "manifest" | "tag", name) -> states
        self.unfinished = {}    # likewise: what was cut off since the last acknowledgement
        self.history = defaultdict(list)
        self.touched = set()
        self.uploads = []       # Pending
        self.neighbours = []    # Writers to mount from
        self.acknowledged = 0
        self.doing = None
        self.connect()

    def connect(self):
        self.repository = Repository(self.server, self.name)
        self.repository.client = Client("127.0.0.1", self.server.port, 30, retries=False)

    # The ledger

    def states(self, kind, name):
        return self.allowed.get((kind, name), {None})

    def sure(self, kind, name):
        """Its state, when that is certain."""
        states = self.states(kind, name)
        return next(iter(states)) if len(states) == 1 else None

    @contextlib.contextmanager
    def change(self, *changes, spared=()):
        """(kind, name, new state): in doubt until the block has asked and says accept().
        `spared`: what does not undo a write that was cut off."""
        before = {change[:2]: self.states(*change[:2]) for change in changes}
        for kind, name, state in changes:
            self.allowed[kind, name] = before[kind, name] | {state}
            self.touched.add((kind, name))
            self.history[kind, name].append(f"{self.doing}: to be {state}")

        def accept(response, status, refused=()):
            for kind, name, _ in changes:
                self.history[kind, name].append(response.status)
            if response.status == status:
                self.acknowledged += 1
                for kind, name, state in changes:
                    self.allowed[kind, name] = {state}
                    if (kind, name) not in spared:
                        self.unfinished.pop((kind, name), None)
                return True
            assert response.status in refused, (status, changes, response)
            self.allowed.update(before)
            return False
        yield accept

    # What it does

    def step(self):
        name, = self.chance.choices(list(self.weights), self.weights.values())
        self.doing = name
        getattr(self, name)()

    def push_blob(self, content=None):
        if content is None:
            content = self.chance.choice(self.pool.contents)
        digest = digest_of(content)
        if self.chance.random() < 0.5:
            upload = self.repository.begin()
            with self.change(("blob", digest, True)) as accept:
                accept(upload.put(digest, content), 201)
        else:
            with self.change(("blob", digest, True)) as accept:
                accept(self.repository.post(content, digest=digest), 201)

    def push_parts(self, image):
        for digest, content in image.blobs.items():
            if self.sure("blob", digest) is not True:
                self.push_blob(content)

    def push_image(self, image=None):
        image = image or self.chance.choice(self.pool.images)
        self.push_parts(image)
        tag = self.chance.choice(TAGS)
        with self.change(("manifest", image.digest, True), ("tag", tag, image.digest)) as accept:
            accept(self.repository.put_manifest(tag, image.body, image.media_type), 201)

    def move_tag(self):
        known = [name for (kind, name), states in self.allowed.items()
                 if kind == "manifest" and states == {True}]
        if known:
            self.push_image(self.pool.by_digest[self.chance.choice(known)])

    def push_shared(self):
        """One tag of a repository that all of them push to."""
        image = self.chance.choice(self.pool.images)
        shared = Repository(self.server, "crash/shared")
        shared.client = self.repository.client
        for digest, content in image.blobs.items():
            assert shared.post(content, digest=digest).status == 201
        write = self.shared.begin(image.digest)
        response = shared.put_manifest("tag", image.body, image.media_type)
        assert response.status == 201, response
        self.shared.acknowledge(write)

    def begin_upload(self):
        content = self.chance.choice(self.pool.contents)
        self.uploads.append(Pending(self.repository.begin(), content))

    def continue_upload(self):
        if not self.uploads:
            return
        pending = self.chance.choice(self.uploads)
        if pending.offset == len(pending.content) or self.chance.random() < 0.1:
            self.end_upload(pending)
            return
        size = min(len(pending.content) - pending.offset, self.chance.choice([2, 5_000, 200_000]))
        pending.most = pending.offset + size
        response = pending.upload.patch(pending.content[pending.offset:pending.most], pending.offset)
        assert response.status == 202, response
        self.acknowledged += 1
        pending.offset = pending.most

    def end_upload(self, pending):
        pending.may_be_gone = True
        if self.chance.random() < 0.2:
            assert pending.upload.cancel().status == 204
        else:
            digest = digest_of(pending.content)
            with self.change(("blob", digest, True)) as accept:
                accept(pending.upload.put(digest, pending.content[pending.offset:], pending.offset
                                          if pending.offset < len(pending.content) else None), 201)
        self.uploads.remove(pending)

    def mount(self):
        source = self.chance.choice(self.neighbours)
        digest = self.chance.choice(list(self.pool.bytes))
        with self.change(("blob", digest, True)) as accept:
            response = self.repository.mount(digest, source.name)
            if not accept(response, 201, refused=(202,)):
                self.uploads.append(Pending(Upload(self.repository.client, response.headers["location"]),
                                            self.pool.bytes[digest]))

    def delete_tag(self):
        tag = self.chance.choice(TAGS)
        with self.change(("tag", tag, None)) as accept:
            accept(self.repository.delete_manifest(tag), 202, refused=(404,))

    def delete_manifest(self):
        known = [name for (kind, name), states in self.allowed.items()
                 if kind == "manifest" and True in states]
        if not known:
            return
        digest = self.chance.choice(known)
        tags = [("tag", tag, None) for tag in TAGS if digest in self.states("tag", tag)]
        with self.change(("manifest", digest, None), *tags, spared=[tag[:2] for tag in tags]) as accept:
            accept(self.repository.delete_manifest(digest), 202,
                   refused=(404,) if self.sure("manifest", digest) is None else ())

    def delete_blob(self):
        digest = self.chance.choice(list(self.pool.bytes))
        with self.change(("blob", digest, None)) as accept:
            accept(self.repository.delete_blob(digest), 202, refused=(404,))

    # What it finds afterwards

    def check(self, everything=False, indexed=True):
        """Reads back what was touched, and some of the rest; hashes every byte."""
        names = list(self.allowed)
        chosen = names if everything else {*self.touched, *self.chance.sample(names, min(6, len(names)))}
        for kind, name in chosen:
            found = getattr(self, f"read_{kind}")(name)
            allowed = self.allowed[kind, name]
            unfinished = self.unfinished.setdefault((kind, name), set())
            unfinished |= allowed - {found}
            if not indexed or kind in self.late:
                allowed = allowed | unfinished
            if kind == "tag" and any(None in self.states("manifest", digest) for digest in allowed):
                allowed = allowed | {None}      # it points to what was deleted since
            past = self.history[kind, name]
            past.append(f"found {found}")
            assert found in allowed, \
                f"{self.name}: {kind} {name}: {found}, not one of {allowed}: {past[-12:]}"
            self.allowed[kind, name] = {found}
        self.touched.clear()
        self.uploads = [pending for pending in self.uploads if pending.check()]

    def read_blob(self, digest):
        response = self.repository.blob(digest)     # the client has hashed it
        assert response.status in (200, 404) and response.complete, response.status
        return True if response.status == 200 else None

    def read_manifest(self, digest):
        response = self.repository.manifest(digest)
        assert response.status in (200, 404), response
        return True if response.status == 200 else None

    def read_tag(self, tag):
        response = self.repository.manifest(tag)
        assert response.status in (200, 404), response
        return response.digest if response.status == 200 else None


class Pending:
    """An upload that has been begun: at least `offset` bytes of it are promised."""

    def __init__(self, upload, content):
        self.upload, self.content = upload, content
        self.offset = self.most = 0
        self.may_be_gone = False

    def check(self):
        response = self.upload.status()
        if self.may_be_gone and response.status == 404:
            return False
        assert response.status == 204, (self.offset, response)
        found = int(response.headers["range"].partition("-")[2])
        found = found + 1 if found else 0
        assert self.offset <= found <= self.most, (self.offset, found, self.most)
        self.offset = self.most = found
        self.may_be_gone = False
        return True


def work(writer, until):
    """Steps until the server is gone, or `until` says so."""
    with contextlib.suppress(*BROKEN):
        while not until():
            writer.step()
