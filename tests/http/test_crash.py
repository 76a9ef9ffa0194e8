"""kill -9 in the middle of everything; what is served afterwards is right."""

import contextlib
import http.client
import random
import time

import pytest

from fakes import faults, images
from harness.client import digest_matches
from harness.server import start_task

ROUNDS = 50
LAYERS = [40_000, 700_000, 1_500_000]


def check_store(server):
    """Whatever lies under a digest has it."""
    for path in server.stored_blobs():
        digest = f"{path.parent.parent.name}:{path.name}"
        assert digest_matches(digest, path.read_bytes()), f"{path} is not what its name says"


def pull_as_far_as_it_goes(server, name, tag):
    with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
        server.pull(name, tag)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_killed_in_the_middle_of_fills(upstream, serve):
    server = serve(upstream, manifestTTL="0s", running=False)
    for number in range(ROUNDS):
        chance = random.Random(number)
        image = upstream.add("team/app", f"r{number}", images.image(LAYERS, seed=number))
        layer = chance.choice(image.layers)
        size = len(image.blobs[layer])
        gate = faults.Gate(chance.choice([0, 1, size // 2, size - 1, chance.randrange(size)]))
        upstream.fail("blobs", faults.gate(gate), reference=layer)
        server.start()
        client = start_task(lambda tag=f"r{number}": pull_as_far_as_it_goes(server, "team/app", tag))
        assert gate.reached.wait(20)
        server.kill()
        gate.open()
        upstream.heal()
        client()
        check_store(server)
        server.start()
        for tag in {f"r{number}", f"r{chance.randrange(number + 1)}"}:
            server.pull("team/app", tag)   # hashes everything
        server.wait_until(
            lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
        if number % 2:
            assert server.stop() == 0
        else:
            server.kill()
        check_store(server)
    server.start()
    upstream.refuse()
    for number in range(ROUNDS):
        server.pull("team/app", f"r{number}")


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_killed_at_any_moment(upstream, serve):
    """Not in a fill for certain, but while one is being published, too."""
    server = serve(upstream, manifestTTL="0s", running=False)
    image = None
    for number in range(ROUNDS):
        chance = random.Random(number)
        image = upstream.add("team/app", "1", images.image([200_000] * 4, seed=number))
        server.start()
        client = start_task(lambda: pull_as_far_as_it_goes(server, "team/app", "1"))
        time.sleep(chance.random() * 0.08)
        server.kill()
        client()
        check_store(server)
    server.start()
    assert server.pull("team/app", "1")[0].body == image.body
    upstream.refuse()
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    assert server.pull("team/app", "1")[0].body == image.body


def test_damaged_blob_on_disk_is_not_believed_after_truncation(upstream, image, serve):
    """A power cut of a disk that lies: the file is shorter than it was."""
    server = serve(upstream)
    server.pull("team/app", "1")
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    layer = image.layers[0]
    server.kill()
    path = server.root / "blobs" / "sha256" / layer[7:9] / layer[7:]
    with path.open("r+b") as file:
        file.truncate(1000)
    server.start()
    reply = server.blob("team/app", layer)
    assert reply.status != 200 or not reply.complete or reply.body == image.blobs[layer]


def test_lost_index(upstream, image, serve):
    """The metadata are an index; the object store is the truth."""
    server = serve(upstream, manifestTTL="1h")
    server.pull("team/app", "1")
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    assert server.stop() == 0
    for path in server.folder.glob("index.db*"):
        path.unlink()
    upstream.refuse()
    server.start()
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.body) == (200, image.body)
    for layer in image.layers:
        assert server.blob("team/app", layer).body == image.blobs[layer]


def test_corrupt_index(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    assert server.stop() == 0
    for path in server.folder.glob("index.db-*"):
        path.unlink()
    (server.folder / "index.db").write_bytes(b"this is no database" * 1000)
    try:
        server.start()
    except AssertionError as refusal:   # refusing to start is an answer, if it says why
        assert "index.db" in str(refusal)
        return
    assert server.pull("team/app", "1")[0].body == image.body


def test_two_restarts_change_nothing(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    server.restart()
    server.restart()
    upstream.refuse()
    assert server.pull("team/app", "1")[0].body == image.body
