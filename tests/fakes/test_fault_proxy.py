"""The proxy does what it says, on a real MinIO and a real Redis."""

import http.client

import pytest

from harness.backends import Minio, Redis
from harness.fault_proxy import FaultProxy
from harness.s3_client import S3Client

BODY = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def minio(tmp_path_factory):
    with Minio(tmp_path_factory.mktemp("minio")) as server:
        server.client.make_bucket("images")
        yield server


@pytest.fixture
def proxy(minio, tmp_path):
    with FaultProxy(tmp_path / "proxy", minio.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy, minio):
    return S3Client(proxy.endpoint, minio.access_key, minio.secret_key, timeout=3)


def test_passes_on_what_it_is_not_told_to_harm(proxy, client):
    client.put("images", "a/b", BODY)
    assert client.get("images", "a/b").body == BODY
    assert client.list("images") == {"a/b": len(BODY)}
    assert client.head("images", "a/b").headers["content-length"] == str(len(BODY))
    assert proxy.count("PUT", "/a/b") == 1 and proxy.faults_done() == 0


def test_answers_errors_by_itself_as_often_as_told(proxy, client):
    proxy.fail("status", method="PUT", status=503, code="SlowDown", times=1)
    answer = client.request("PUT", "/images/slow", None, BODY)
    assert (answer.status, answer.code) == (503, "SlowDown")
    assert client.get("images", "slow").status == 404
    client.put("images", "slow", BODY)


def test_ends_bodies_early(proxy, client):
    client.put("images", "cut", BODY)
    proxy.fail("truncate", method="GET", match="/cut", share=0.25)
    with pytest.raises(OSError):
        client.get("images", "cut")
    proxy.heal()
    assert client.get("images", "cut").body == BODY


def test_swallows_what_it_says_it_has_stored(proxy, client, minio):
    proxy.fail("swallow", method="PUT", match="/gone")
    assert client.request("PUT", "/images/gone", None, BODY).status == 200
    assert minio.client.get("images", "gone").status == 404
    proxy.heal()
    proxy.fail("error-200", method="POST", code="InternalError")
    answer = client.request("POST", "/images/x", {"uploadId": "1"}, b"<x/>")
    assert (answer.status, answer.code) == (200, "InternalError")


def test_loses_the_answer_to_what_was_done(proxy, client, minio):
    proxy.fail("reset-after", method="PUT", match="/done")
    with pytest.raises(OSError):
        client.request("PUT", "/images/done", None, BODY)
    assert minio.client.get("images", "done").body == BODY


@pytest.mark.parametrize("kind, error", [("reset", ConnectionResetError), ("hang", TimeoutError)])
def test_resets_and_hangs(proxy, client, kind, error):
    proxy.fail(kind)
    with pytest.raises(error):
        client.get("images", "any")
    proxy.heal()
    assert client.get("images", "any").status == 404


def test_a_share_of_requests_fails(proxy, client):
    proxy.fail("status", rate=0.5)
    answers = [client.head("images", "none").status for _ in range(60)]
    assert 5 < answers.count(500) < 55


def test_keeps_a_connection(proxy):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    for _ in range(3):
        connection.request("GET", "/minio/health/live")
        assert connection.getresponse().read() == b""
    assert proxy.count("GET") == 3


def test_stands_before_redis(tmp_path):
    with Redis(tmp_path / "redis") as redis, FaultProxy(tmp_path / "proxy", redis.port, http=False) as proxy:
        redis.port, real = proxy.port, redis.port
        client = redis.client
        client.timeout = 1
        redis.port = real
        assert client("SET", "a", "b") == "OK"
        for kind, error in (("hang", TimeoutError), ("reset", ConnectionResetError)):
            proxy.fail(kind)
            with pytest.raises(error):
                client("GET", "a")
            proxy.heal()
            assert client("GET", "a") == "b"
