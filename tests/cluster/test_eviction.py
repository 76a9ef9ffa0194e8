"""storage.maxCacheSize: what was cached goes, least recently used first, and is fetched
anew when it is asked for; what was pushed stays.

Nothing that was asked for within the last hour is evicted, so the test makes it look
older in Redis, where last use is kept.
"""

import pytest

from fakes import images
from harness.cluster import within
from harness.push import Repository
from harness.redis_client import RedisClient

COUNT, SIZE = 10, 400_000
HOURS = 3_600_000


def make_older(cluster, hours_of):
    """hours_of: digest of a manifest -> how much longer ago it was used."""
    database = RedisClient(cluster.stores.redis.port, database=cluster.database)
    key, = database("KEYS", "bw:idle:*")
    members = database("ZRANGE", key, 0, -1)
    aged = 0
    for member in members:
        hours = hours_of.get(member.rpartition(" ")[2])
        if hours:
            database("ZINCRBY", key, -hours * HOURS, member)
            aged += 1
    return aged


@pytest.mark.timeout(180)
def test_least_recently_used_goes_first(upstream, run_cluster, promises):
    cached = [upstream.add("team/app", str(number), images.image([SIZE], seed=number))
              for number in range(COUNT)]
    shared = upstream.add("team/other", "1", images.image([cached[0].blobs[cached[0].layers[0]]], seed="shares"))
    cluster = run_cluster(upstream, config={"storage": {"maxCacheSize": str(int(SIZE * 5.5))}},
                          settings={"manifestTTL": "1h"})
    for number in range(COUNT):
        cluster.replicas[number % 3].pull("team/app", str(number))
    cluster.replicas[0].pull("team/other", "1")
    mine = images.image([SIZE, cached[1].blobs[cached[1].layers[0]]], seed="mine")
    assert promises.push(Repository(cluster, "my/app"), mine, "1") is None

    # 0 is the oldest, 5 the youngest of those that may go; 6 to 9 were used just now.
    ages = {image.digest: 20 - number for number, image in enumerate(cached[:6])}
    within(20, lambda: make_older(cluster, ages) == len(ages), "last use is not in Redis")
    before = cluster.stored("blobs/")

    def is_stored(digest):
        return any(key.endswith(digest.partition(":")[2]) for key in cluster.stored("blobs/"))

    within(90, lambda: not is_stored(cached[2].layers[0]), "nothing is evicted")
    within(30, lambda: not is_stored(cached[4].layers[0]), "not enough is evicted")
    print(f"{len(before)} blobs before, {len(cluster.stored('blobs/'))} after")
    for image in (cached[0], cached[1]):
        assert is_stored(image.layers[0]), "another repository has it"
    for image in cached[6:]:
        assert is_stored(image.layers[0]), "it was used just now"
    promises.replay(cluster.replicas)

    # What is there is served, what is not is fetched again, once for all.
    upstream.forget()
    for replica in cluster.replicas:
        for image in cached[6:]:
            assert replica.pull("team/app", image.digest)[0].body == image.body
        assert replica.pull("team/other", "1")[0].body == shared.body
    assert upstream.count("GET", "blobs") == 0
    for replica in cluster.replicas:
        assert replica.pull("team/app", "2")[0].body == cached[2].body
        assert replica.blob("team/app", cached[2].layers[0]).body == cached[2].blobs[cached[2].layers[0]]
    assert upstream.count("GET", "manifests") >= 1


@pytest.mark.timeout(120)
def test_nothing_is_evicted_while_it_is_used(upstream, run_cluster):
    """The limit gives way to those who pull."""
    cached = [upstream.add("team/app", str(number), images.image([SIZE], seed=number)) for number in range(4)]
    cluster = run_cluster(upstream, config={"storage": {"maxCacheSize": str(SIZE)}})
    for number in range(4):
        cluster.replicas[number % 3].pull("team/app", str(number))
    within(10, lambda: sum(cluster.stored("blobs/").values()) > 4 * SIZE, "the fills do not end")
    replica = cluster.replicas[0]
    replica.wait_until(lambda: any(other.metrics().value("registry_cache_bytes") > SIZE
                                   for other in cluster.replicas), 30, "it does not know of its size")
    upstream.forget()
    for replica in cluster.replicas:
        assert all(replica.pull("team/app", str(number))[0].body == cached[number].body
                   for number in range(4))
    assert upstream.count("GET", "blobs") == 0
