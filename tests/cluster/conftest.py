"""Black-box tests of replicas: Breakwater processes on one MinIO and one Redis.

    def test_x(upstream, run_cluster):
        image = upstream.add("team/app", "1", images.image())
        cluster = run_cluster(upstream)
        assert cluster.replicas[0].pull("team/app", "1")

At a test's end every replica must stop cleanly on SIGTERM. `promises` is a ledger of
what was acknowledged; it is replayed over every replica before they stop.
"""

import pytest

from fakes.upstream import Upstream
from harness.cluster import Cluster, Stores
from harness.fault_proxy import FaultProxy
from harness.promises import Promises
from harness.server import NAME, settings_of


@pytest.fixture(scope="session")
def session_stores(tmp_path_factory):
    stores = Stores(tmp_path_factory.mktemp("stores"))
    stores.start()
    yield stores
    stores.stop()


@pytest.fixture
def stores(session_stores):
    yield session_stores
    session_stores.heal()


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def promises():
    return Promises()


@pytest.fixture
def proxy_of(tmp_path):
    """proxy_of(stores.minio): a FaultProxy in front of it, which outlives the clusters."""
    proxies = []

    def start(daemon):
        proxy = FaultProxy(tmp_path / f"proxy-{len(proxies)}", daemon.port, http=daemon.name == "minio")
        proxies.append(proxy)
        return proxy.start()

    yield start
    for proxy in proxies:
        proxy.stop()


@pytest.fixture
def run_cluster(tmp_path, stores, promises, proxy_of):
    """run_cluster(upstream, size=3, settings={...of the upstream}, **options of Cluster)."""
    clusters = []

    def start(upstream=None, settings=None, running=True, **options):
        upstreams = {NAME: settings_of(upstream, **(settings or {}))} if upstream else {}
        cluster = Cluster(tmp_path / f"cluster-{len(clusters)}", stores, upstreams, **options)
        clusters.append(cluster)
        return cluster.start() if running else cluster

    yield start
    stores.heal()
    try:
        for cluster in clusters:
            cluster.await_ready(20)
            if promises.count:
                promises.replay(cluster.running)
            cluster.stop()
    finally:
        for cluster in clusters:
            cluster.kill()
            for replica in cluster.replicas:
                print(f"--- {replica.stderr_file}\n{replica.stderr()[-5000:]}")
