"""kill -9 of replicas at random instants, while clients push and while blobs are
fetched: nothing acknowledged is lost, and clients of the others notice nothing.

200 kills over both tests; CLUSTER_KILLS says otherwise.
"""

import os
import random
import subprocess
import threading
import time

import pytest

from fakes import faults, images
from harness.cluster import PatientClient, within
from harness.ledger import Pool, SharedTag, Writer, work
from harness.push import Repository
from harness.server import in_parallel, start_task

KILLS = int(os.environ.get("CLUSTER_KILLS", "200"))
PUSH_KILLS = KILLS * 3 // 5
FILL_KILLS = KILLS - PUSH_KILLS
WRITERS = 4


def seed_of(name):
    seed = os.environ.get(name) or str(random.randrange(1 << 32))
    print(f"{name}={seed}")
    return seed


def move(writer, replica):
    """To another replica, with all its uploads."""
    writer.repository.client.close()
    writer.server = replica
    writer.repository = Repository(replica, writer.name)
    writer.repository.client = PatientClient("127.0.0.1", replica.port, 30, retries=False)
    for pending in writer.uploads:
        pending.upload.client = writer.repository.client


def check_shared(replica, shared):
    with PatientClient("127.0.0.1", replica.port) as client:
        response = client.get("/v2/crash/shared/manifests/tag")
    assert response.status in (200, 404), response
    found = response.digest if response.status == 200 else None
    assert found in shared.allowed(), f"the shared tag is {found}, not one of {shared.allowed()}"


@pytest.mark.timeout(900)
def test_while_clients_push(run_cluster):
    seed = seed_of("CLUSTER_SEED")
    cluster = run_cluster()
    chance, pool, shared = random.Random(seed), Pool(seed), SharedTag()
    writers = [Writer(cluster.replicas[0], f"crash/w{number}", pool, shared, seed)
               for number in range(WRITERS)]
    for writer in writers:
        writer.neighbours = writers
        # Killed between a manifest's record and its body, two objects of the bucket: it
        # is there once another writer has pushed the same body.
        writer.late = {"blob", "manifest"}
        move(writer, chance.choice(cluster.replicas))
    killed = 0
    while killed < PUSH_KILLS:
        # Mostly one; two now and then; all, which is a power cut.
        victims = chance.sample(cluster.replicas, chance.choice([1, 1, 1, 1, 2, 3]))
        over = threading.Event()
        tasks = [start_task(lambda writer=writer: work(writer, over.is_set)) for writer in writers]
        time.sleep(chance.random() * 0.15)
        for victim in victims:
            assert victim.process.poll() is None, victim.stderr()[-4000:]
            victim.kill()
            killed += 1
        over.set()
        for task in tasks:
            task()
        in_parallel([victim.start for victim in victims])
        for writer in writers:
            move(writer, chance.choice(cluster.replicas))
            writer.check(everything=killed % 40 == 39)
        check_shared(chance.choice(cluster.replicas), shared)
    acknowledged = sum(writer.acknowledged for writer in writers)
    print(f"{killed} kills, {acknowledged} acknowledged")
    assert acknowledged > 3 * killed

    # The object store alone has all of it.
    cluster.kill()
    cluster.stores.redis.client("FLUSHALL")
    cluster.start()
    for number, writer in enumerate(writers):
        writer.uploads.clear()      # sessions are rows of the index
        move(writer, cluster.replicas[number % 3])
        writer.check(everything=True, indexed=False)
    check_shared(cluster.replicas[0], shared)


def was_killed(process):
    """Its connections break before it is gone."""
    try:
        return process is None or process.wait(1) is not None
    except subprocess.TimeoutExpired:
        return False


class Reader:
    """Pulls blob after blob from its replica, and counts them."""

    def __init__(self, replica, upstream, over, chance):
        self.replica, self.upstream, self.over, self.chance = replica, upstream, over, chance
        self.done = 0
        self.cut = 0

    def run(self):
        while not self.over.is_set():
            blobs = self.upstream.current
            digest = self.chance.choice(list(blobs))
            process = self.replica.process
            try:
                response = self.replica.blob("team/app", digest)
                assert (response.status, response.complete) == (200, True), \
                    (self.replica.folder.name, digest, response.status, response.body[:500])
            except ConnectionRefusedError:
                self.over.wait(0.02)        # it is dead, or not up yet
            except (OSError, AssertionError):
                if not was_killed(process):
                    raise           # this is what the test is about
                self.cut += 1
            else:
                assert response.body == blobs[digest]
                self.done += 1


@pytest.mark.timeout(600)
def test_while_blobs_are_fetched(upstream, run_cluster):
    seed = seed_of("CLUSTER_SEED")
    chance = random.Random(seed)
    cluster = run_cluster(upstream, settings={"maxConnections": 16})
    upstream.fail("blobs", faults.slow(3_000_000))
    over = threading.Event()

    def publish(number):
        """New blobs in place of the old ones, so that there is always some to fetch."""
        image = images.image([chance.choice([50_000, 400_000, 1_200_000]) for _ in range(4)],
                             seed=f"{seed}/{number}")
        upstream.add("team/app", "1", image)
        upstream.current = image.blobs

    publish(0)
    readers = [Reader(replica, upstream, over, random.Random(f"{seed}/{number}"))
               for number, replica in enumerate(cluster.replicas * 2)]
    tasks = [start_task(reader.run) for reader in readers]
    try:
        for number in range(1, FILL_KILLS + 1):
            publish(number)
            time.sleep(chance.random() * 0.3)
            victim = chance.choice(cluster.replicas)
            assert victim.process.poll() is None, victim.stderr()[-4000:]
            victim.kill()
            if chance.random() < 0.3:
                time.sleep(chance.random() * 0.3)
            victim.start()
    finally:
        over.set()
        for task in tasks:
            task()
    print(f"{FILL_KILLS} kills, {sum(reader.done for reader in readers)} blobs pulled,"
          f" {sum(reader.cut for reader in readers)} cut")
    assert sum(reader.done for reader in readers) > 2 * FILL_KILLS
    for replica in cluster.replicas:
        replica.pull("team/app", "1")
    within(10, lambda: all(replica.metrics().value("registry_proxy_fills_in_flight") == 0
                           for replica in cluster.replicas), "a fill does not end")
