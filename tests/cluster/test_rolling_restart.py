"""All replicas are restarted, one after the other, under load: no request is lost.

As in Kubernetes: SIGTERM, and clients go to those whose /readyz said yes when they
were last asked.
"""

import itertools
import threading

import pytest

from fakes import faults, images
from harness.cluster import Endpoints, within
from harness.load import failures_of, pulling
from harness.promises import Pusher
from harness.push import Repository
from harness.raw import Stream
from harness.server import NAME, start_task

DRAIN = {"http": {"drainDelay": "700ms", "drainTimeout": "10s"}}
ROUNDS = 2


class ReadyClient:
    """A client that connects to what is ready, for each request."""

    def __init__(self, endpoints, number):
        self.endpoints, self.number = endpoints, number
        self.clients = {}

    def request(self, method, path, headers=None, body=None):
        replica = self.endpoints.pick(next(self.number))
        client = self.clients.get(replica) or self.clients.setdefault(replica, replica.client())
        return client.request(method, path, headers, body)

    def close(self):
        for client in self.clients.values():
            client.close()


class Service:
    """What a Kubernetes Service is to a pusher."""

    def __init__(self, endpoints):
        self.endpoints, self.number = endpoints, itertools.count()

    def client(self):
        return ReadyClient(self.endpoints, self.number)


def upload_slowly(repository, promises, over):
    """One upload for as long as it takes, whose every chunk goes elsewhere."""
    chunks = []
    upload = repository.begin()
    while not over.is_set():
        chunks.append(images.random_bytes(20_000, len(chunks)))
        response = upload.patch(chunks[-1], 20_000 * (len(chunks) - 1))
        assert response.status == 202, response
        over.wait(0.1)
    content = b"".join(chunks)
    assert upload.put(images.digest_of(content)).status == 201
    promises.keep_blob("push/slow", images.digest_of(content), content)


@pytest.mark.timeout(300)
def test_no_request_is_lost(upstream, run_cluster, promises):
    cluster = run_cluster(upstream, config=DRAIN)
    pushes = []
    for number in range(5):
        image = images.image([300_000, 2_000], seed=number)
        assert promises.push(Repository(cluster, f"team/app{number}"), image, "1") is None
        pushes.append((f"team/app{number}", "1", image))
    cached = [("team/app", str(number), upstream.add("team/app", str(number), images.image(
        [200_000, 2_000], seed=f"cached/{number}"))) for number in range(5)]
    over = threading.Event()
    with Endpoints(cluster) as endpoints:
        number = itertools.count()
        choices = [lambda: endpoints.pick(next(number))] * 4
        with pulling(choices, pushes) as pullers, pulling(choices, cached, NAME) as others:
            pushers = [Pusher(Service(endpoints), promises, f"push/p{number}") for number in range(2)]
            tasks = [start_task(lambda pusher=pusher: pusher.run(over)) for pusher in pushers]
            tasks.append(start_task(lambda: upload_slowly(Repository(Service(endpoints), "push/slow"),
                                                          promises, over)))
            for _ in range(ROUNDS):
                for replica in cluster.replicas:
                    done = sum(puller.done for puller in pullers)
                    assert replica.stop() == 0
                    replica.start()
                    within(10, lambda replica=replica: replica in endpoints.ready, "it is not asked again")
                    within(10, lambda done=done: sum(puller.done for puller in pullers) > done + 10,
                           "the pulls came to a halt")
            over.set()
            for task in tasks:
                task()
    assert failures_of(pullers + others) == []
    for pusher in pushers:
        assert (pusher.refused, pusher.broken) == ([], 0)
        assert pusher.pushed > 5
    for _, _, image in cached:
        for digest in image.blobs:
            assert upstream.count("GET", "blobs", digest) == 1


def test_a_cold_pull_is_ended_while_its_replica_drains(upstream, run_cluster):
    image = upstream.add("team/app", "1", images.image([2_000_000]))
    layer = image.layers[0]
    gate = faults.Gate(1_000_000)
    upstream.fail("blobs", faults.gate(gate), reference=layer, times=1)
    cluster = run_cluster(upstream, config=DRAIN, settings={"prefetchLayers": False})
    streams = []
    for replica in cluster.replicas[:2]:
        replica.manifest("team/app", "1")
        streams.append(Stream(replica.port, f"/v2/team/app/blobs/{layer}?ns={NAME}"))
        streams[-1].read(100_000)
    holder = cluster.replicas[0]
    stopped = start_task(holder.stop)
    within(5, lambda: not holder.ready_now(), "/readyz does not say that it drains")
    gate.open()
    for stream in streams:
        assert stream.rest() == image.blobs[layer]
        stream.close()
    assert stopped() == 0
    assert upstream.count("GET", "blobs", layer) == 1
    holder.start()
    assert holder.pull("team/app", "1")
    assert upstream.count("GET", "blobs", layer) == 1


def test_readiness_goes_first(run_cluster):
    """Requests are taken for drainDelay after /readyz has said no."""
    cluster = run_cluster(size=1, config={"http": {"drainDelay": "2s"}})
    replica, = cluster.replicas
    stopped = start_task(replica.stop)
    within(1, lambda: not replica.ready_now(), "/readyz does not say that it drains")
    assert replica.admin("/readyz").status == 503
    for _ in range(5):
        assert replica.get("/v2/").status == 200
    assert stopped() == 0
    replica.start()
