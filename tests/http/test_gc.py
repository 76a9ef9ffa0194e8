"""gc, scrub and reindex beside a server that serves: what goes, and what must stay."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository
from harness.server import BINARY, NAME, start_task


@pytest.fixture
def gc(local, command):
    """gc("--delete"): the summary of a run that must succeed."""
    def run(*arguments, code=0, server=local):
        done = command("gc", *arguments, "--output", "json", "-c", server.config_file, timeout=120)
        assert done.returncode == code, done
        return json.loads(done.stdout)
    return run


@pytest.fixture
def server(local):
    return local


def blob_file(server, digest):
    algorithm, _, value = digest.partition(":")
    return server.root / "blobs" / algorithm / value[:2] / value


def is_stored(server, digest):
    return blob_file(server, digest).exists()


def count_blobs(server):
    """While folders come and go."""
    return sum(len(files) for _, _, files in os.walk(server.root / "blobs"))


def gc_files(server):
    return [path for path in (server.root / "gc").rglob("*") if path.is_file()]


# What goes

def test_what_nothing_refers_to_is_removed(server, repository, gc):
    kept, gone = images.image([50_000], seed=1), images.image([60_000, 70_000], seed=2)
    repository.push(kept, "1")
    repository.push(gone, "2")
    assert repository.delete_manifest(gone.digest).status == 202
    for digest in gone.blobs:
        assert repository.delete_blob(digest).status == 202
    sizes = sum(map(len, gone.blobs.values())) + len(gone.body)
    would = gc("--dry-run")
    assert (would["garbageBlobs"], would["garbageBytes"]) == (4, sizes), would
    assert (would["removedBlobs"], would["blobs"]) == (0, 7)
    assert all(is_stored(server, digest) for digest in [gone.digest, *gone.blobs])
    did = gc("--delete")
    assert (did["removedBlobs"], did["removedBytes"], did["keptBlobs"]) == (4, sizes, 0)
    assert not any(is_stored(server, digest) for digest in [gone.digest, *gone.blobs])
    assert gc_files(server) == []
    repository.assert_pulls(kept, "1")
    assert gc("--delete")["garbageBlobs"] == 0
    # and what went can come back
    repository.push(gone, "2")
    repository.assert_pulls(gone, "2")


def test_an_image_that_was_deleted_gives_its_layers_back(server, repository, gc):
    """Clients delete manifests, never blobs."""
    kept, gone = images.image([50_000], seed=1), images.image([60_000, 70_000], seed=2)
    repository.push(kept, "1")
    repository.push(gone, "2")
    assert repository.delete_manifest(gone.digest).status == 202
    young = gc("--delete")
    assert (young["removedBlobs"], young["unneededLinks"]) == (1, 0), young    # a push may need them
    two_days_ago = time.time() - 2 * 24 * 3600
    for link in (server.root / "repositories").rglob("_layers/*"):
        os.utime(link, (two_days_ago, two_days_ago))
    did = gc("--delete")
    assert (did["removedBlobs"], did["removedLinks"]) == (3, 3), did
    assert not any(is_stored(server, digest) for digest in [gone.digest, *gone.blobs])
    assert all(repository.blob(digest).status == 404 for digest in gone.blobs)
    repository.assert_pulls(kept, "1")
    repository.push(gone, "2")
    repository.assert_pulls(gone, "2")


def test_a_pushed_blob_whose_bytes_are_gone_is_told_apart(server, repository):
    content = images.random_bytes(5000, "gone")
    digest = repository.push_blob(content)
    blob_file(server, digest).unlink()
    response = repository.blob(digest)
    assert (response.status, response.error["code"]) == (404, "BLOB_UNKNOWN")
    assert "push it again" in response.error["message"]
    repository.push_blob(content)
    assert repository.blob(digest).body == content
    assert "push it again" not in repository.blob("sha256:" + "0" * 64).error["message"]


def test_the_text_says_how_much(server, repository, command):
    digest = repository.push_blob(b"x" * 2048)
    repository.delete_blob(digest)
    would = command("gc", "--dry-run", "-c", server.config_file)
    assert would.returncode == 0, would
    assert "would be removed  1 blob, 2.0 KiB" in would.stdout
    did = command("gc", "--delete", "-c", server.config_file)
    assert "removed           1 blob, 2.0 KiB" in did.stdout
    assert "\x1b" not in did.stdout + did.stderr


def test_what_is_mounted_elsewhere_stays(server, repository, gc):
    content = images.random_bytes(40_000, "mounted")
    digest = repository.push_blob(content)
    other = Repository(server, "other/place")
    assert other.mount(digest, "team/app").status == 201
    assert repository.delete_blob(digest).status == 202
    assert gc("--delete")["garbageBlobs"] == 0
    assert other.blob(digest).body == content
    other.delete_blob(digest)
    assert gc("--delete")["removedBlobs"] == 1
    other.close()


def test_what_a_manifest_lists_stays(server, repository, gc):
    """Its repository has deleted the blob, so nobody reads it; but the manifest is there."""
    image = repository.push(images.image([40_000]), "1")
    layer = image.layers[0]
    assert repository.delete_blob(layer).status == 202
    assert repository.blob(layer).status == 404
    assert gc("--delete")["garbageBlobs"] == 0
    assert is_stored(server, layer)


def test_an_index_and_its_images_and_referrers_stay(repository, gc):
    children = [images.image([3000], seed=seed) for seed in range(2)]
    index = repository.push(images.index(children), "multi")
    signature = images.artifact(index, "application/test", b"signed")
    repository.push(signature)
    assert gc("--delete")["garbageBlobs"] == 0
    repository.assert_pulls(index, "multi")
    assert len(repository.referrers(index.digest).json["manifests"]) == 1


def test_cached_images_stay_and_what_was_deleted_is_fetched_anew(upstream, image, serve, gc):
    server = serve(upstream)
    server.pull("team/app", "1")
    server.wait_until(lambda: len(server.stored_blobs()) == 4)
    assert gc("--delete", server=server)["garbageBlobs"] == 0
    path = f"/v2/team/app/manifests/{image.digest}?ns={NAME}"
    assert server.request("DELETE", path).status == 202
    assert gc("--delete", server=server)["removedBlobs"] == 4
    assert server.pull("team/app", "1")[0].body == image.body


def test_without_a_server(server, repository, gc):
    digest = repository.push_blob(b"left behind")
    kept = repository.push(images.image([1000]), "1")
    repository.delete_blob(digest)
    repository.close()
    server.stop()
    assert gc("--delete")["removedBlobs"] == 1
    server.start()
    repository.assert_pulls(kept, "1")


# Uploads

def test_abandoned_uploads_expire_in_the_background(serve):
    server = serve(upstreams={}, config={"uploads": {"maxAge": "1s"}})
    repository = Repository(server, "team/app")
    upload = repository.begin()
    assert upload.patch(b"x" * 100_000, 0).status == 202
    server.wait_until(lambda: upload.status().status == 404)
    assert not [path for path in (server.root / "uploads").rglob("*") if path.is_file()]
    assert server.metrics().value("registry_uploads_expired_total") == 1
    repository.close()


def test_gc_expires_uploads_too(server, repository, gc):
    upload = repository.begin()
    assert upload.patch(b"x" * 1000, 0).status == 202
    assert gc("--delete")["expiredUploads"] == 0
    assert upload.offset == 1000
    server.configure({}, {"uploads": {"maxAge": "1s"}})
    time.sleep(1.1)   # the age itself is what is waited for
    assert gc("--dry-run")["expiredUploads"] == 1
    assert upload.offset == 1000
    assert gc("--delete")["expiredUploads"] == 1
    assert upload.status().status == 404


# Beside pushes

def test_collections_beside_pushes_deletions_and_mounts(server, command):
    """Nothing that was acknowledged, and not deleted since, is lost."""
    stop = threading.Event()

    def collect():
        runs = 0
        while not stop.is_set():
            done = command("gc", "--delete", "-c", server.config_file, timeout=120)
            assert done.returncode == 0, done
            runs += 1
        return runs

    def work(name):
        own, other = Repository(server, f"team/{name}"), Repository(server, f"team/{name}-copy")
        rounds = 0
        while not stop.is_set():
            # the same few contents again and again: just what a collection is about to take
            image = images.image([2000 + rounds % 3], seed=rounds % 3)
            own.push(image, "1")
            own.assert_pulls(image, "1")
            for digest, content in image.blobs.items():
                assert other.mount(digest, own.name).status == 201
                assert own.delete_blob(digest).status == 202
                assert other.blob(digest).body == content
                assert other.delete_blob(digest).status == 202
            assert own.delete_manifest(image.digest).status == 202
            rounds += 1
        own.close()
        other.close()
        return rounds

    tasks = [start_task(collect), *(start_task(lambda name=name: work(name)) for name in "abc")]
    ends = time.monotonic() + float(os.environ.get("GC_TEST_SECONDS", "8"))
    while time.monotonic() < ends and all(task.running() for task in tasks):
        time.sleep(0.1)
    stop.set()
    assert all(task() > 0 for task in tasks)


def test_a_killed_collection_is_forgotten(server, repository, gc):
    """It died while it was at a batch: pushes of what it condemned wait, for two minutes at most."""
    contents = [images.random_bytes(1000, seed) for seed in range(600)]
    for content in contents:
        repository.delete_blob(repository.push_blob(content))
    process = subprocess.Popen([BINARY, "gc", "--delete", "-c", server.config_file],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.wait_until(lambda: process.poll() is not None or count_blobs(server) < 590)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was too quick to be killed"
    runs = list((server.root / "gc/runs").iterdir())
    assert len(runs) == 1
    # whichever were removed: they can be pushed, or the client is told when to try again
    condemned = json.loads((server.root / "gc/condemned" / runs[0].name).read_text())["digests"]
    free = next(content for content in contents if digest_of(content) not in condemned)
    repository.push_blob(free)
    if condemned:
        content = next(content for content in contents if digest_of(content) == condemned[-1])
        begun = repository.begin()
        refused = begun.put(condemned[-1], content)
        assert (refused.status, refused.error["code"]) == (503, "UNAVAILABLE")
        assert int(refused.headers["retry-after"]) > 0
    age(runs[0], 121)
    for content in contents:
        assert repository.blob(repository.push_blob(content)).body == content
    assert gc("--delete")["garbageBlobs"] == 0
    assert gc_files(server) == []


def age(run, seconds):
    """Two minutes later, without the wait."""
    said = json.loads(run.read_text())
    said["refreshedAt"] -= seconds * 1000
    run.write_text(json.dumps(said))


def test_told_to_stop(server, repository):
    for seed in range(600):
        repository.delete_blob(repository.push_blob(images.random_bytes(1000, seed)))
    process = subprocess.Popen([BINARY, "gc", "--delete", "-c", server.config_file],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    server.wait_until(lambda: process.poll() is not None or count_blobs(server) < 600)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "stopped" in errors, (process.returncode, errors)
    assert gc_files(server) == []
    assert 0 < count_blobs(server) < 600


# When it cannot tell

def test_a_manifest_that_cannot_be_read_keeps_everything(server, repository, gc, command):
    image = repository.push(images.image([1000]), "1")
    garbage = repository.push_blob(b"nobody's")
    repository.delete_blob(garbage)
    repository.close()
    server.stop()
    for index in server.folder.glob("index.db*"):
        index.unlink()
    file = blob_file(server, image.digest)
    file.write_bytes(b"not what it was")
    failed = gc("--delete", code=1)
    assert (failed["result"], failed["removedBlobs"]) == ("failed", 0)
    assert image.digest.partition(":")[2] in failed["error"] and "scrub" in failed["error"]
    assert is_stored(server, garbage)
    scrubbed = command("scrub", "--quarantine", "-c", server.config_file)
    assert scrubbed.returncode == 1 and "damaged" in scrubbed.stdout
    assert gc("--delete")["removedBlobs"] == 1
    server.start()


def test_where_there_is_no_store(server, command, tmp_path):
    server.configure({}, {"storage": {"filesystem": {"rootDirectory": str(tmp_path / "nowhere")}}})
    for name in ("gc --dry-run", "scrub", "reindex"):
        done = command(*name.split(), "-c", server.config_file)
        assert done.returncode == 1 and "there is no store" in done.stderr, done
    assert not (tmp_path / "nowhere").exists()


# scrub

def test_scrub_of_what_is_good(server, repository, command):
    repository.push(images.image([30_000]), "1")
    done = command("scrub", "--output", "json", "-c", server.config_file)
    found = json.loads(done.stdout)
    assert (done.returncode, found["bad"], found["blobs"], found["findings"]) == (0, 0, 3, []), done


def test_scrub_finds_and_quarantines(server, repository, command):
    image = repository.push(images.image([30_000]), "1")
    layer = image.layers[0]
    good = blob_file(server, layer).read_bytes()
    bad = bytes([good[0] ^ 1]) + good[1:]
    blob_file(server, layer).write_bytes(bad)
    done = command("scrub", "-c", server.config_file)
    assert done.returncode == 1
    assert f"damaged  blobs/sha256/{layer[7:9]}/{layer[7:]}" in done.stdout
    assert "team/app" in done.stdout
    assert is_stored(server, layer)
    done = command("scrub", "--quarantine", "--output", "json", "-c", server.config_file)
    assert (done.returncode, json.loads(done.stdout)["quarantined"]) == (1, 1), done
    assert not is_stored(server, layer)
    assert (server.root / "quarantine/sha256" / layer[7:]).read_bytes() == bad
    assert gc_files(server) == []
    assert repository.blob(layer).status == 404
    # its bytes are gone now, and that is what the next one says, until they are back
    done = command("scrub", "-c", server.config_file)
    assert done.returncode == 1 and "link without its bytes" in done.stdout
    assert repository.push_blob(good) == layer
    assert command("scrub", "-c", server.config_file).returncode == 0
    repository.assert_pulls(image, "1")


# reindex

def test_a_server_with_a_new_index_rebuilds_it(server, repository):
    image = repository.push(images.image([5000]), "1")
    signature = repository.push(images.artifact(image, "application/test", b"signed"))
    repository.put_manifest("gone", image.body, image.media_type)
    assert repository.delete_manifest("gone").status == 202
    repository.close()
    server.stop()
    for index in server.folder.glob("index.db*"):
        index.unlink()
    server.start()
    server.wait_until(lambda: "the index is rebuilt" in server.stderr())
    assert repository.client.get("/v2/_catalog").json == {"repositories": ["team/app"]}
    assert repository.tags().json["tags"] == ["1"]
    assert [item["digest"] for item in repository.referrers(image.digest).json["manifests"]] == \
        [signature.digest]
    repository.assert_pulls(image, "1")


def test_reindex_beside_a_server(server, repository, command):
    image = repository.push(images.image([5000]), "1")
    done = command("reindex", "--output", "json", "-c", server.config_file)
    found = json.loads(done.stdout)
    assert (done.returncode, found["repositories"], found["manifests"], found["tags"],
            found["links"], found["blobs"], found["stale"]) == (0, 1, 1, 1, 2, 3, 0), done
    repository.assert_pulls(image, "1")


def test_an_index_deleted_beside_a_server_is_left_to_it(server, repository, command):
    """The server writes on to the deleted file: a new one beside it would miss that."""
    repository.push(images.image([5000]), "1")
    for index in server.folder.glob("index.db*"):
        index.unlink()
    done = command("reindex", "-c", server.config_file)
    assert done.returncode == 1 and "restart the server" in done.stderr, done
    repository.push(images.image([6000]), "2")
    repository.close()
    server.stop()
    server.start()
    server.wait_until(lambda: "the index is rebuilt" in server.stderr())
    assert repository.tags().json["tags"] == ["1", "2"]


def test_an_empty_store_needs_no_rebuilding(server):
    server.wait_until(lambda: server.get("/v2/_catalog").status == 200)
    assert "rebuilt" not in server.stderr()
