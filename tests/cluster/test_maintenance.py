"""gc, scrub and reindex beside replicas that serve."""

import itertools
import json
import os
import random
import subprocess
import threading
import time

import pytest

from fakes import images
from harness.cluster import PatientClient, within
from harness.ledger import Pool, SharedTag, Writer, work
from harness.push import Repository
from harness.server import BINARY, start_task

SECONDS = 120 if os.environ.get("CLUSTER_SOAK") else 20
# Much is deleted, so that much is collected, and pushed or mounted again in the next
# moment.
WEIGHTS = {"push_image": 2, "move_tag": 1, "mount": 6, "delete_manifest": 4, "delete_blob": 12,
           "push_shared": 0}


def run(replica, command, *arguments):
    """By the configuration of a replica, beside it."""
    done = subprocess.run([BINARY, command, *arguments, "--output", "json", "--config", replica.config_file],
                          cwd=replica.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(SECONDS + 300)
def test_nothing_acknowledged_is_collected(run_cluster):
    seed = os.environ.get("CLUSTER_SEED") or str(random.randrange(1 << 32))
    print(f"CLUSTER_SEED={seed}")
    cluster = run_cluster()
    pool, shared = Pool(seed, blobs=60), SharedTag()
    writers = [Writer(replica, f"soak/w{number}", pool, shared, seed, **WEIGHTS)
               for number, replica in enumerate(cluster.replicas)]
    for writer in writers:
        writer.neighbours = writers
    over = threading.Event()

    def move(writer, replica):
        writer.repository = Repository(replica, writer.name)
        writer.repository.client = PatientClient("127.0.0.1", replica.port, 30, retries=False)
        for pending in writer.uploads:
            pending.upload.client = writer.repository.client

    def run_writer(writer):
        while not over.is_set():
            steps = itertools.count()
            work(writer, lambda: over.is_set() or next(steps) == 20)
            writer.check()

    for number, writer in enumerate(writers):
        move(writer, cluster.replicas[number])
    tasks = [start_task(lambda writer=writer: run_writer(writer)) for writer in writers]
    collections, end = [], time.monotonic() + SECONDS
    try:
        while time.monotonic() < end and all(task.running() for task in tasks):
            collections.append(run(random.choice(cluster.replicas), "gc", "--delete"))
            over.wait(0.5)
    finally:
        over.set()
        for task in tasks:
            task()
    print(*collections, sep="\n")
    assert sum(found["removedBlobs"] for found in collections) > 0
    for number, writer in enumerate(writers):
        for replica in cluster.replicas[number:] + cluster.replicas[:number]:
            move(writer, replica)
            writer.check(everything=True)


def test_scrub_finds_what_is_damaged(stores, run_cluster, promises):
    cluster = run_cluster()
    repository = Repository(cluster, "team/app")
    for number in range(5):
        assert promises.push(repository, images.image([20_000], seed=number), str(number)) is None
    done = run(cluster.replicas[0], "scrub")
    print(done)
    content = images.random_bytes(30_000, "damaged")
    digest = repository.push_blob(content)
    key, = [key for key in cluster.stored("blobs/") if key.endswith(digest.partition(":")[2])]
    stores.minio.client.put("breakwater", cluster.prefix + key, b"x" * len(content))
    found = subprocess.run([BINARY, "scrub", "--config", cluster.replicas[0].config_file],
                           capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1, found
    assert key in found.stdout


def test_reindex_fills_an_empty_redis(stores, run_cluster, promises):
    cluster = run_cluster()
    repository = Repository(cluster, "team/app")
    for number in range(5):
        assert promises.push(repository, images.image([2_000], seed=number), str(number)) is None
    stores.redis.client("FLUSHALL")
    run(cluster.replicas[1], "reindex")
    within(5, lambda: cluster.everywhere(lambda replica: replica.get("/v2/_catalog").json)
           == [{"repositories": ["team/app"]}] * 3, "there is no catalog")
    assert repository.tags().json["tags"] == ["0", "1", "2", "3", "4"]
