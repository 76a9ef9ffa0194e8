"""kill -9 while clients push, move tags, mount and delete: a ledger of everything
that was acknowledged is read back after every restart."""

import os
import random
import time

import pytest

from harness.client import digest_matches
from harness.ledger import Pool, SharedTag, Writer, work
from harness.push import Repository
from harness.server import start_task

KILLS = int(os.environ.get("PUSH_TEST_KILLS", "200"))
WRITERS = 4


def check_store(server):
    """Whatever lies under a digest has it."""
    for path in server.stored_blobs():
        digest = f"{path.parent.parent.name}:{path.name}"
        assert digest_matches(digest, path.read_bytes()), f"{path} is not what its name says"


def check_shared(server, shared):
    response = Repository(server, "crash/shared").manifest("tag")
    assert response.status in (200, 404), response
    found = response.digest if response.status == 200 else None
    assert found in shared.allowed(), f"the shared tag is {found}, not one of {shared.allowed()}"


def check(server, writers, shared, everything=False, indexed=True):
    for writer in writers:
        writer.connect()
        for pending in writer.uploads:
            pending.upload.client = writer.repository.client
        writer.check(everything, indexed)
    check_shared(server, shared)


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost(local):
    seed = os.environ.get("PUSH_TEST_SEED") or str(random.randrange(1 << 32))
    print(f"PUSH_TEST_SEED={seed}")
    chance, pool, shared = random.Random(seed), Pool(seed), SharedTag()
    writers = [Writer(local, f"crash/w{number}", pool, shared, seed) for number in range(WRITERS)]
    for writer in writers:
        writer.neighbours = writers
    for number in range(KILLS):
        tasks = [start_task(lambda writer=writer: work(writer, lambda: False)) for writer in writers]
        time.sleep(chance.random() * 0.15)
        local.kill()
        for task in tasks:
            task()
        local.start()
        check(local, writers, shared, everything=number % 50 == 49)
        if number % 20 == 19:
            check_store(local)
    print(f"{sum(writer.acknowledged for writer in writers)} acknowledged")
    assert sum(writer.acknowledged for writer in writers) > 5 * KILLS

    # The object store alone has all of it.
    local.kill()
    for path in local.folder.glob("index.db*"):
        path.unlink()
    local.start()
    for writer in writers:
        writer.uploads.clear()      # sessions are rows of the index
    check(local, writers, shared, everything=True, indexed=False)
    check_store(local)
