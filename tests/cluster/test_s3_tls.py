"""storage.s3.endpoint with https: the store's certificate is verified, and one that is
not trusted is told at start. It is no outage, which a start would sit out."""

import shutil
import ssl
import subprocess
import urllib.parse
import urllib.request

import pytest

from fakes import images
from harness.backends import Minio
from harness.cluster import BUCKET
from harness.daemon import wait_until
from harness.push import Repository
from harness.s3_client import S3Client

PART_SIZE = 5 << 20
NOT_HOT = {"storage": {"hotCache": {"maxSize": "0"}}}


def make_certificate(folder, names="IP:127.0.0.1"):
    """One that is its own issuer, where MinIO looks for it; the path of public.crt."""
    folder.mkdir(parents=True)
    certificate = folder / "public.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=store",
                    "-addext", f"subjectAltName={names}", "-keyout", folder / "private.key",
                    "-out", certificate], check=True, capture_output=True, timeout=60)
    return certificate


class TlsMinio(Minio):
    """It has its certificate in its folder's certs/; `ca_file` is what to trust."""

    def __init__(self, folder, names="IP:127.0.0.1"):
        super().__init__(folder)
        self.ca_file = make_certificate(self.folder / "certs", names)

    @property
    def endpoint(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self):
        """By those who look from the outside, and know whom they ask."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.check_hostname = False
        return context

    @property
    def client(self):
        return S3Client(self.endpoint, self.access_key, self.secret_key, tls=self.trust)

    def multipart(self):
        """Keys of what came in parts: their ETags end in the number of these."""
        return [key for key in self.client.list(BUCKET)
                if "-" in self.client.head(BUCKET, key).ok().headers["etag"]]


@pytest.fixture
def minio_of(tmp_path):
    """minio_of(names): a TlsMinio with the bucket, whose certificate is for `names`."""
    started = []

    def start(names="IP:127.0.0.1"):
        minio = TlsMinio(tmp_path / f"minio-{len(started)}", names)
        started.append(minio)
        minio.start()
        minio.client.make_bucket(BUCKET)
        return minio

    yield start
    for minio in started:
        minio.stop()


@pytest.fixture
def minio(minio_of):
    return minio_of()


@pytest.fixture
def replica_of(run_cluster):
    """replica_of(minio, ca_file): one replica that has the store there; not started."""
    def make(minio, ca_file=None, **s3):
        s3 |= {"endpoint": minio.endpoint, "partSize": "5MiB"}
        if ca_file:
            s3["caFile"] = str(ca_file)
        return run_cluster(size=1, running=False, s3=s3, config=NOT_HOT).replicas[0]

    return make


def pushed(replica, size):
    content = images.random_bytes(size, size)
    return content, Repository(replica, "team/app").push_blob(content)


def refusal(replica):
    """The sentence with which it ends instead of starting."""
    with pytest.raises(AssertionError, match="it ended with 1:"):
        replica.start()
    replica.process = None
    said = [line["err.message"] for line in replica.log_lines() if line["msg"] == "cannot start"]
    assert len(said) == 1, replica.stderr()
    return said[0]


@pytest.mark.parametrize("size", [50_000, 2 * PART_SIZE + 12_345], ids=["one-request", "multipart"])
def test_what_is_pushed_comes_back(minio, replica_of, size):
    replica = replica_of(minio, minio.ca_file).start()
    content, digest = pushed(replica, size)
    assert bool(minio.multipart()) == (size > PART_SIZE), minio.client.list(BUCKET)
    response = Repository(replica, "team/app").blob(digest)
    assert (response.status, response.body == content) == (200, True)
    part = Repository(replica, "team/app").blob(digest, Range="bytes=100-199")
    assert (part.status, part.body) == (206, content[100:200])


def test_a_redirect_is_to_https(minio, replica_of):
    replica = replica_of(minio, minio.ca_file, redirect=True).start()
    content, digest = pushed(replica, 2 * PART_SIZE + 1)
    response = Repository(replica, "team/app").blob(digest)
    assert response.status == 307, response
    location = response.headers["location"]
    assert urllib.parse.urlsplit(location)[:2] == ("https", f"127.0.0.1:{minio.port}")
    with urllib.request.urlopen(location, context=minio.trust, timeout=30) as reply:
        assert reply.read() == content


@pytest.mark.parametrize("trusted", [None, "another's"])
def test_an_issuer_that_is_not_trusted_is_an_error_at_start(minio, replica_of, tmp_path, trusted):
    ca_file = make_certificate(tmp_path / "another") if trusted else None
    said = refusal(replica_of(minio, ca_file))
    assert "certificate" in said.partition("storage.s3.caFile")[0], said
    assert minio.endpoint in said and "storage.s3.caFile" in said, said
    assert minio.client.list(BUCKET) == {}


def test_a_ca_file_without_a_certificate_is_an_error_at_start(minio, replica_of, tmp_path):
    ca_file = tmp_path / "empty.crt"
    ca_file.write_text("no certificate\n")
    said = refusal(replica_of(minio, ca_file))
    assert str(ca_file) in said and "storage.s3.caFile" in said, said


def test_a_certificate_for_another_name_is_an_error_at_start(minio_of, replica_of):
    minio = minio_of("DNS:store.test")
    said = refusal(replica_of(minio, minio.ca_file))
    assert minio.endpoint in said and "storage.s3.endpoint" in said, said


def test_a_store_that_is_away_is_none(minio, replica_of):
    """It starts, and works as soon as the store is back."""
    minio.stop()
    replica = replica_of(minio, minio.ca_file)
    replica.start()
    minio.start()
    wait_until(lambda: replica.admin("/readyz").json["status"] == "ready", 20, "not well again")
    content, digest = pushed(replica, 50_000)
    assert Repository(replica, "team/app").blob(digest).body == content


def test_a_certificate_that_is_changed_while_it_runs(minio, replica_of, tmp_path):
    """What it does not trust gets nothing: 503 until the store has one that it trusts."""
    trusted = shutil.copy(minio.ca_file, tmp_path / "trusted.crt")
    replica = replica_of(minio, trusted).start()
    content, digest = pushed(replica, 50_000)
    certs, kept = minio.folder / "certs", minio.folder / "kept"
    minio.stop()
    certs.rename(kept)
    make_certificate(certs)
    minio.start()
    response = Repository(replica, "team/app").blob(digest)
    assert response.status == 503 and "retry-after" in response.headers, response
    minio.stop()
    shutil.rmtree(certs)
    kept.rename(certs)
    minio.start()
    wait_until(lambda: Repository(replica, "team/app").blob(digest).body == content, 20, "not well again")
