"""breakwater gc --delete, once a second, beside clients that push, mount and delete:
nothing that was acknowledged is lost.

For a minute; PUSH_TEST_SOAK=600 for ten.
"""

import json
import os
import random
import subprocess
import threading
import time

import pytest

from harness.ledger import Pool, SharedTag, Writer
from harness.server import start_task

# Enough is deleted that much of the pool is referred to by nobody at any time, and
# pushed or mounted again in the next moment.
WEIGHTS = {"push_image": 2, "move_tag": 1, "mount": 6, "delete_manifest": 4, "delete_blob": 12,
           "push_shared": 0}
SECONDS = int(os.environ.get("PUSH_TEST_SOAK", "60"))
WRITERS = 4


def collect(server):
    done = subprocess.run([server.binary, "gc", "--delete", "--output", "json",
                           "--config", server.config_file], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def working(writer, until):
    """Steps, and reads back now and then while the collections go on."""
    while not until():
        for _ in range(50):
            writer.step()
        writer.check()


@pytest.mark.heavy
@pytest.mark.timeout(SECONDS + 300)
def test_nothing_acknowledged_is_collected(local):
    seed = os.environ.get("PUSH_TEST_SEED") or str(random.randrange(1 << 32))
    print(f"PUSH_TEST_SEED={seed}")
    pool, shared = Pool(seed, blobs=200), SharedTag()
    writers = [Writer(local, f"soak/w{number}", pool, shared, seed, **WEIGHTS)
               for number in range(WRITERS)]
    for writer in writers:
        writer.neighbours = writers
    end = time.monotonic() + SECONDS
    over = threading.Event()
    tasks = [start_task(lambda writer=writer: working(
        writer, lambda: over.is_set() or time.monotonic() > end)) for writer in writers]
    collections = []
    try:
        while time.monotonic() < end and all(task.running() for task in tasks):
            collections.append(collect(local))
            over.wait(1)
    finally:
        over.set()
        for task in tasks:
            task()
    print(*collections, sep="\n")
    assert len(collections) > SECONDS / 10
    assert sum(found["removedBlobs"] for found in collections) > len(collections)
    for writer in writers:
        writer.check(everything=True)
    collect(local)
    local.restart()
    for writer in writers:
        writer.connect()
        for pending in writer.uploads:
            pending.upload.client = writer.repository.client
        writer.check(everything=True)
