"""Real clients push, copy, list, delete and attach.

The images come out of Breakwater's cache, so that nothing but it is asked."""

import json
from pathlib import Path

import pytest

from e2e.engines import Buildah, Crane, Dockerd, Failed, Oras, Podman, run, skopeo_copy, skopeo_inspect
from fakes import images
from harness.push import Repository

HELLO = "hello through the breakwater"
NAME = "registry.test"


@pytest.fixture
def address(breakwater):
    return f"127.0.0.1:{breakwater.port}"


@pytest.fixture
def pushed(breakwater, hello):
    """team/hello:1, as a client of the harness pushes it."""
    Repository(breakwater, "team/hello").push(hello, "1")
    return hello


@pytest.fixture
def oras(tmp_path):
    return Oras(tmp_path / "oras")


@pytest.fixture
def crane(tmp_path):
    return Crane(tmp_path / "crane")


def push_pull_and_run(engine, address):
    """Pulled through the cache, pushed under a name of its own, pulled from there."""
    cached, mine = f"{address}/{NAME}/team/hello:1", f"{address}/mine/hello:1.0"
    engine.pull(cached)
    engine.push(cached, mine)
    engine.remove_all()
    engine.pull(mine)
    assert HELLO in engine.run(mine)
    engine.push(mine, f"{address}/mine/copy:latest")     # mounts
    engine.remove_all()
    engine.pull(f"{address}/mine/copy:latest")
    assert HELLO in engine.run(f"{address}/mine/copy:latest")


def test_docker(short_path, breakwater, address, outage):
    with Dockerd(short_path / "dockerd", f"http://{address}") as engine:
        engine.pull(f"{address}/{NAME}/team/hello:1")
        outage()
        engine.remove_all()
        push_pull_and_run(engine, address)
    assert Repository(breakwater, "mine/hello").tags().json["tags"] == ["1.0"]


def test_podman(short_path, breakwater, address):
    with Podman(short_path / "podman") as engine:
        push_pull_and_run(engine, address)
    assert Repository(breakwater, "mine/hello").tags().json["tags"] == ["1.0"]


def test_buildah(short_path, breakwater, address):
    with Buildah(short_path / "buildah") as engine:
        cached, mine = f"{address}/{NAME}/team/hello:1", f"{address}/mine/hello:1.0"
        engine.pull(cached)
        engine.push(cached, mine)
        engine.remove_all()
        engine.pull(mine)
    assert Repository(breakwater, "mine/hello").tags().json["tags"] == ["1.0"]


# ---- skopeo -----------------------------------------------------------------


def test_skopeo(tmp_path, breakwater, hello, pushed, address):
    source = f"docker://{address}/team/hello:1"
    skopeo_copy(source, f"docker://{address}/copy/hello:2")
    skopeo_copy(f"docker://{address}/copy/hello:2", f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out/manifest.json").read_bytes() == hello.body
    assert skopeo_inspect(source)["Digest"] == pushed.digest
    skopeo_copy(source, f"docker://{address}/copy/hello:3")
    listed = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{address}/copy/hello"))
    assert listed["Tags"] == ["2", "3"]
    run("skopeo", "delete", "--tls-verify=false", f"docker://{address}/copy/hello:2")
    with pytest.raises(Failed):
        skopeo_inspect(f"docker://{address}/copy/hello:2")
    assert skopeo_inspect(source)["Digest"] == pushed.digest


def test_skopeo_copies_all_of_an_index(breakwater, address):
    index = images.index([images.image([1000], seed=seed) for seed in range(3)])
    Repository(breakwater, "team/multi").push(index, "1")
    skopeo_copy(f"docker://{address}/team/multi:1", f"docker://{address}/copy/multi:1", "--all",
                "--preserve-digests")
    Repository(breakwater, "copy/multi").assert_pulls(index, "1")


def test_skopeo_copies_from_the_cache(breakwater, hello, address, outage):
    """An upstream's image becomes one's own."""
    skopeo_copy(f"docker://{address}/{NAME}/team/hello:1", f"docker://{address}/mine/hello:1")
    outage()
    Repository(breakwater, "mine/hello").assert_pulls(hello, "1")


def test_skopeo_converts(breakwater, pushed, address):
    """Compressed anew and as an OCI image: blobs that only the push can tell the digests of."""
    skopeo_copy(f"docker://{address}/team/hello:1", f"docker://{address}/oci/hello:1", "--format", "oci",
                "--dest-compress-format", "zstd")
    found = Repository(breakwater, "oci/hello").manifest("1")
    assert found.headers["content-type"] == images.OCI_MANIFEST
    skopeo_copy(f"docker://{address}/oci/hello:1", f"docker://{address}/oci/again:1")
    assert Repository(breakwater, "oci/again").manifest("1").digest == found.digest


# ---- crane ------------------------------------------------------------------


def test_crane(breakwater, pushed, address, crane):
    source, copy = f"{address}/team/hello", f"{address}/copy/hello"
    assert crane.crane("digest", f"{source}:1").strip() == pushed.digest
    crane.crane("copy", f"{source}:1", f"{copy}:1")
    crane.crane("tag", f"{copy}:1", "latest")
    assert crane.crane("ls", copy).split() == ["1", "latest"]
    assert crane.crane("catalog", address).split() == ["copy/hello", "team/hello"]
    assert crane.crane("manifest", f"{copy}:latest").encode().strip() == pushed.body.strip()
    layer = crane.folder / "layer.tar"
    crane.crane("export", f"{copy}:1", layer)
    assert layer.stat().st_size > 3 << 20
    crane.crane("validate", "--remote", f"{copy}:1")
    crane.crane("append", "--base", f"{copy}:1", "--new_layer", layer, "--new_tag", f"{copy}:more")
    crane.crane("validate", "--remote", f"{copy}:more")
    crane.crane("delete", f"{copy}:latest")
    assert crane.crane("ls", copy).split() == ["1", "more"]
    crane.crane("delete", f"{copy}@{pushed.digest}")
    with pytest.raises(Failed, match="MANIFEST_UNKNOWN"):
        crane.crane("manifest", f"{copy}:1")
    crane.crane("validate", "--remote", f"{source}:1")


def test_crane_lists_in_pages(breakwater, pushed, address, crane):
    repository = Repository(breakwater, "team/hello")
    tags = sorted(["1", *(f"v{number}" for number in range(30))])
    for tag in tags:
        assert repository.put_manifest(tag, pushed.body, pushed.media_type).status == 201
    assert crane.crane("ls", f"{address}/team/hello").split() == tags


def test_crane_is_told_that_an_upstream_is_not_to_be_pushed_to(pushed, address, crane):
    with pytest.raises(Failed, match="DENIED"):
        crane.crane("copy", f"{address}/team/hello:1", f"{address}/{NAME}/team/hello:2")


# ---- oras -------------------------------------------------------------------


def test_oras(breakwater, address, oras):
    """Any files, pushed and pulled; listed and deleted."""
    (oras.folder / "note.txt").write_text("a note")
    (oras.folder / "data.bin").write_bytes(images.random_bytes(300_000, "oras"))
    target = f"{address}/files/notes"
    oras.oras("push", "--plain-http", "--artifact-type", "test/notes", f"{target}:1,2,latest",
              "note.txt:text/plain", "data.bin")
    out = oras.folder / "out"
    oras.oras("pull", "--plain-http", f"{target}:2", "--output", out)
    assert (out / "note.txt").read_text() == "a note"
    assert (out / "data.bin").read_bytes() == (oras.folder / "data.bin").read_bytes()
    assert oras.oras("repo tags", "--plain-http", target).split() == ["1", "2", "latest"]
    assert oras.oras("repo ls", "--plain-http", address).split() == ["files/notes"]
    oras.oras("tag", "--plain-http", f"{target}:1", "tagged")
    assert "tagged" in oras.oras("repo tags", "--plain-http", target).split()
    found = json.loads(oras.oras("manifest fetch", "--plain-http", f"{target}:1"))
    assert found["artifactType"] == "test/notes"
    oras.oras("manifest delete", "--plain-http", "--force", f"{target}:1")
    with pytest.raises(Failed, match="not found"):
        oras.oras("manifest fetch", "--plain-http", f"{target}:1")


def test_oras_blobs(breakwater, address, oras):
    (oras.folder / "blob").write_bytes(b"a blob")
    digest = images.digest_of(b"a blob")
    target = f"{address}/files/blobs"
    oras.oras("blob push", "--plain-http", target, "blob")
    oras.oras("blob fetch", "--plain-http", "--output", oras.folder / "got", f"{target}@{digest}")
    assert (oras.folder / "got").read_bytes() == b"a blob"
    oras.oras("blob delete", "--plain-http", "--force", f"{target}@{digest}")
    with pytest.raises(Failed, match="not found"):
        oras.oras("blob fetch", "--plain-http", "--output", "-", f"{target}@{digest}")


def attached(oras, image):
    return {(entry["artifactType"], entry["digest"]): entry.get("annotations")
            for entry in oras.json("discover", "--plain-http", image)["referrers"]}


def attach(oras, image):
    """An SBOM of the image, and a signature of that."""
    Path(oras.folder / "sbom.json").write_text("{\"sbom\": true}")
    Path(oras.folder / "signature").write_text("signed")
    sbom = oras.json("attach", "--plain-http", "--artifact-type", "application/spdx+json",
                     "--annotation", "org.example.by=me", image, "sbom.json")
    repository = image.rpartition(":")[0]
    oras.oras("attach", "--plain-http", "--artifact-type", "test/signature",
              f"{repository}@{sbom['digest']}", "signature")
    return sbom["digest"]


def test_oras_attaches(breakwater, pushed, address, oras):
    image = f"{address}/team/hello:1"
    sbom = attach(oras, image)
    (artifact_type, digest), = attached(oras, image)
    assert (artifact_type, digest) == ("application/spdx+json", sbom)
    filtered = oras.json("discover", "--plain-http", "--artifact-type", "test/other", image)
    assert not filtered["referrers"]
    # the registry keeps the list: no client has made a tag for it
    assert Repository(breakwater, "team/hello").tags().json["tags"] == ["1"]


def test_what_is_attached_is_copied(breakwater, pushed, address, oras):
    """To another repository, to a folder, and back: with everything below it."""
    source, target, back = (f"{address}/{name}:1" for name in ("team/hello", "copy/hello", "back/hello"))
    attach(oras, source)
    oras.oras("cp", "-r", "--from-plain-http", "--to-plain-http", source, target)
    oras.oras("cp", "-r", "--from-plain-http", "--to-oci-layout", target, f"{oras.folder}/layout:1")
    oras.oras("cp", "-r", "--from-oci-layout", "--to-plain-http", f"{oras.folder}/layout:1", back)
    for image in (target, back):
        assert attached(oras, image).keys() == attached(oras, source).keys()
        sbom = next(iter(attached(oras, image)))[1]
        assert [kind for kind, _ in attached(oras, f"{image.rpartition(':')[0]}@{sbom}")] == [
            "test/signature"]
        Repository(breakwater, image.partition("/")[2].rpartition(":")[0]).assert_pulls(pushed, "1")


def test_signatures_as_cosign_pushes_them(breakwater, pushed, address, oras):
    """An image manifest with a subject, pushed by its digest alone."""
    repository = Repository(breakwater, "team/hello")
    bundle = images.artifact(pushed, "application/vnd.dev.sigstore.bundle.v0.3+json", b"{\"bundle\": 1}")
    repository.push(bundle)
    source, target = f"{address}/team/hello:1", f"{address}/copy/hello:1"
    assert ("application/vnd.dev.sigstore.bundle.v0.3+json", bundle.digest) in attached(oras, source)
    oras.oras("cp", "-r", "--from-plain-http", "--to-plain-http", source, target)
    copied = Repository(breakwater, "copy/hello")
    assert [entry["digest"] for entry in copied.referrers(pushed.digest).json["manifests"]] == [bundle.digest]
    copied.assert_pulls(bundle)


def test_the_old_signature_tags_are_tags(breakwater, pushed, address, crane):
    """cosign's sha256-<digest>.sig."""
    repository = Repository(breakwater, "team/hello")
    tag = f"{pushed.digest.replace(':', '-')}.sig"
    signature = repository.push(images.image([b"signed"], seed="sig"), tag)
    crane.crane("copy", f"{address}/team/hello:{tag}", f"{address}/copy/hello:{tag}")
    Repository(breakwater, "copy/hello").assert_pulls(signature, tag)
