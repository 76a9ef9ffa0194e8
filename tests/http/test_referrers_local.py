"""What refers to a pushed manifest: signatures, SBOMs."""

import json
import urllib.parse

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository
from harness.server import NAME, in_parallel

SUBJECT = images.image([1000], seed="subject")


def referrer(subject=SUBJECT, seed=0, artifact_type="test/signature", annotations=None, algorithm="sha256",
             **more):
    if annotations is not None:
        more["annotations"] = annotations
    if artifact_type is not None:
        more["artifactType"] = artifact_type
    return images.image([f"referrer {seed}".encode()], config=b"{}", algorithm=algorithm,
                        subject=images.descriptor(subject.body, subject.media_type, subject.algorithm),
                        **more)


def listed(repository, digest, **query):
    """The descriptors, from all pages."""
    response = repository.referrers(digest, **query)
    found = []
    while True:
        assert response.status == 200, response
        assert response.headers["content-type"] == images.OCI_INDEX
        document = response.json
        assert document["schemaVersion"] == 2 and document["mediaType"] == images.OCI_INDEX
        found += document["manifests"]
        link = response.headers.get("link")
        if link is None:
            return found
        assert link.endswith('; rel="next"')
        response = repository.client.get(link[1:link.index(">")])


def digests(descriptors):
    return sorted(descriptor["digest"] for descriptor in descriptors)


def expected(image, **more):
    return {"mediaType": image.media_type, "digest": image.digest, "size": len(image.body), **more}


@pytest.fixture
def ready(repository):
    repository.push(SUBJECT, "1")
    return repository


def test_the_push_says_that_it_was_understood(ready):
    signature = referrer()
    for content in signature.blobs.values():
        ready.push_blob(content)
    response = ready.put_manifest("sig", signature.body, signature.media_type)
    assert (response.status, response.headers["oci-subject"]) == (201, SUBJECT.digest)
    plain = images.image([], seed=1)
    ready.push_blob(list(plain.blobs.values())[0])
    assert "oci-subject" not in ready.put_manifest("x", plain.body, plain.media_type).headers


def test_nothing_refers_to_it(ready):
    assert listed(ready, SUBJECT.digest) == []
    assert listed(ready, digest_of(b"nowhere")) == []
    assert listed(ready, digest_of(b"nowhere", "sha512")) == []


def test_of_a_repository_that_is_not_there(local):
    response = Repository(local, "no/where").referrers(SUBJECT.digest)
    assert response.status == 200 and response.json["manifests"] == []


@pytest.mark.parametrize("digest", ["x", "sha256:zz", "1", "sha256:" + "A" * 64, "md5:" + "0" * 32])
def test_what_is_no_digest(ready, digest):
    response = ready.referrers(digest)
    assert (response.status, response.error["code"]) == (400, "DIGEST_INVALID")


def test_descriptors(ready):
    """artifactType, or an image's config type; annotations as they are."""
    notes = {"org.example.a": "b", "quote": "\"\\\u00fc\n", "empty": ""}
    with_both = ready.push(referrer(seed=1, annotations=notes))
    plain = ready.push(referrer(seed=2, artifact_type=None))
    odd = ready.push(referrer(seed=3, artifact_type=""))
    found = {descriptor["digest"]: descriptor for descriptor in listed(ready, SUBJECT.digest)}
    assert found == {
        with_both.digest: expected(with_both, artifactType="test/signature", annotations=notes),
        plain.digest: expected(plain, artifactType=images.OCI_CONFIG),
        odd.digest: expected(odd, artifactType=images.OCI_CONFIG),
    }


def test_indexes_refer_too(ready):
    child = ready.push(images.image([10], seed="child"))
    index = images.index([child])
    document = {**index.document, "subject": images.descriptor(SUBJECT.body, SUBJECT.media_type)}
    found = []
    for more in ({}, {"artifactType": "test/list", "annotations": {"a": "b"}}):
        body = json.dumps({**document, **more}).encode()
        response = ready.put_manifest(digest_of(body), body, images.OCI_INDEX)
        assert response.headers["oci-subject"] == SUBJECT.digest
        found.append({"mediaType": images.OCI_INDEX, "digest": digest_of(body), "size": len(body), **more})
    assert sorted(listed(ready, SUBJECT.digest), key=str) == sorted(found, key=str)


def test_an_index_as_the_subject(repository):
    index = repository.push(images.index([images.image([10], seed=seed) for seed in range(2)]), "multi")
    signature = repository.push(referrer(index))
    assert digests(listed(repository, index.digest)) == [signature.digest]


def test_the_subject_may_come_later(repository):
    signature = repository.push(referrer())
    assert digests(listed(repository, SUBJECT.digest)) == [signature.digest]
    repository.push(SUBJECT, "1")
    assert digests(listed(repository, SUBJECT.digest)) == [signature.digest]


def test_sha512(ready):
    subject = images.image([10], seed="512", algorithm="sha512")
    ready.push(subject)
    signature = ready.push(referrer(subject, algorithm="sha512"))
    assert subject.digest.startswith("sha512:")
    assert digests(listed(ready, subject.digest)) == [signature.digest]


def test_filtered(ready):
    signatures = [ready.push(referrer(seed=seed)) for seed in range(3)]
    sbom = ready.push(referrer(seed=3, artifact_type="application/spdx+json"))
    response = ready.referrers(SUBJECT.digest, artifactType="application/spdx+json")
    assert response.headers["oci-filters-applied"] == "artifactType"
    assert digests(response.json["manifests"]) == [sbom.digest]
    assert digests(listed(ready, SUBJECT.digest, artifactType="test/signature")) == digests(
        [{"digest": signature.digest} for signature in signatures])
    for nothing in ("test/other", "test/sig", "TEST/SIGNATURE", "%", "\"", "'; --"):
        response = ready.referrers(SUBJECT.digest, artifactType=nothing)
        assert response.json["manifests"] == []
        assert response.headers["oci-filters-applied"] == "artifactType"
    assert "oci-filters-applied" not in ready.referrers(SUBJECT.digest).headers


def test_filtered_by_a_configs_type(ready):
    plain = ready.push(referrer(artifact_type=None))
    found = listed(ready, SUBJECT.digest, artifactType=images.OCI_CONFIG)
    assert digests(found) == [plain.digest]


def test_pushed_twice_and_listed_once(ready):
    signature = referrer()
    for tag in ("a", "b", None):
        ready.push(signature, tag)
    assert digests(listed(ready, SUBJECT.digest)) == [signature.digest]


def test_deleted_ones_are_gone(ready):
    kept, gone = ready.push(referrer(seed=1)), ready.push(referrer(seed=2), "sig")
    assert ready.delete_manifest("sig").status == 202     # the tag alone
    assert len(listed(ready, SUBJECT.digest)) == 2
    assert ready.delete_manifest(gone.digest).status == 202
    assert digests(listed(ready, SUBJECT.digest)) == [kept.digest]
    ready.push(gone)
    assert len(listed(ready, SUBJECT.digest)) == 2


def test_a_deleted_subject_leaves_its_referrers(ready):
    """They are manifests of their own; the subject may come back."""
    signature = ready.push(referrer())
    assert ready.delete_manifest(SUBJECT.digest).status == 202
    assert digests(listed(ready, SUBJECT.digest)) == [signature.digest]
    ready.assert_pulls(signature)


def test_repositories_have_their_own(local, ready):
    other = Repository(local, "team/other")
    other.push(SUBJECT, "1")
    mine, theirs = ready.push(referrer(seed=1)), other.push(referrer(seed=2))
    assert digests(listed(ready, SUBJECT.digest)) == [mine.digest]
    assert digests(listed(other, SUBJECT.digest)) == [theirs.digest]


def test_they_survive_a_kill_and_the_index(local, ready):
    pushed = [ready.push(referrer(seed=seed, annotations={"n": str(seed)})) for seed in range(5)]
    before = sorted(listed(ready, SUBJECT.digest), key=str)
    assert len(before) == len(pushed)
    local.kill()
    local.start()
    ready.close()
    assert sorted(listed(ready, SUBJECT.digest), key=str) == before
    assert local.stop() == 0
    for path in local.folder.glob("index.db*"):
        path.unlink()
    local.start()
    ready.close()
    assert sorted(listed(ready, SUBJECT.digest), key=str) == before


def test_many_at_once(local, ready):
    pushers = [Repository(local, "team/app") for _ in range(8)]
    pushed = [[referrer(seed=f"{number}/{seed}") for seed in range(5)] for number in range(8)]
    in_parallel([lambda pusher=pusher, ours=ours: [pusher.push(image) for image in ours]
                 for pusher, ours in zip(pushers, pushed)])
    assert digests(listed(ready, SUBJECT.digest)) == sorted(
        image.digest for ours in pushed for image in ours)


@pytest.mark.heavy
def test_more_than_fit_one_page(ready):
    """Together more than the 4 MiB that clients take as one manifest."""
    ready.push_blob(b"{}")
    pushed = []
    for number in range(12):
        document = {"schemaVersion": 2, "mediaType": images.OCI_MANIFEST,
                    "artifactType": "test/odd" if number % 2 else "test/even",
                    "config": images.descriptor(b"{}", images.OCI_EMPTY), "layers": [],
                    "subject": images.descriptor(SUBJECT.body, SUBJECT.media_type),
                    "annotations": {"padding": str(number) * 600_000}}
        body = json.dumps(document).encode()
        assert ready.put_manifest(digest_of(body), body, images.OCI_MANIFEST).status == 201
        pushed.append(digest_of(body))
    first = ready.referrers(SUBJECT.digest)
    assert "link" in first.headers and len(first.body) <= 4 << 20
    assert digests(listed(ready, SUBJECT.digest)) == sorted(pushed)
    odd = listed(ready, SUBJECT.digest, artifactType="test/odd")
    assert digests(odd) == sorted(pushed[1::2])


# ---- of cached images -------------------------------------------------------


def tag_of(digest):
    """The referrers tag schema."""
    return digest.replace(":", "-")


def test_the_tag_of_an_upstream_without_the_api(upstream, serve):
    """404 to /referrers/: what clients have put under the tag is the list."""
    subject = upstream.add("team/app", "1", SUBJECT)
    signature = upstream.add("team/app", None, referrer(annotations={"a": "b"}))
    described = [expected(signature, artifactType="test/signature", annotations={"a": "b"})]
    index = images.index([], missing=described)
    upstream.add("team/app", tag_of(subject.digest), index)
    upstream.referrers_api = False
    server = serve(upstream)
    repository = Repository(server, f"{NAME}/team/app")
    response = repository.referrers(subject.digest)
    assert (response.status, response.json["manifests"]) == (200, described)
    filtered = repository.referrers(subject.digest, artifactType="test/other")
    assert filtered.json["manifests"] == []
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert repository.manifest(signature.digest).body == signature.body
    upstream.refuse()
    assert repository.referrers(subject.digest).json["manifests"] == described


def test_no_tag_of_an_upstream_without_the_api(upstream, serve):
    subject = upstream.add("team/app", "1", SUBJECT)
    upstream.referrers_api = False
    repository = Repository(serve(upstream), f"{NAME}/team/app")
    assert listed(repository, subject.digest) == []


def test_a_tag_that_is_no_list(upstream, serve):
    """Somebody's image under that tag is not passed on as a list of referrers."""
    subject = upstream.add("team/app", "1", SUBJECT)
    upstream.add("team/app", tag_of(subject.digest), images.image([10], seed="odd"))
    upstream.referrers_api = False
    response = Repository(serve(upstream), f"{NAME}/team/app").referrers(subject.digest)
    if response.status == 200:
        assert response.json["manifests"] == []
    else:
        assert response.status in (502, 503)


def test_copied_with_what_refers_to_it(upstream, serve):
    """As cosign and oras copy: the image, the list, each of it."""
    image = upstream.add("team/app", "1", SUBJECT)
    signature = upstream.add("team/app", None, referrer())
    server = serve(upstream)
    source, target = Repository(server, f"{NAME}/team/app"), Repository(server, "copy/app")
    found = listed(source, image.digest)
    assert digests(found) == [signature.digest]
    for part in (image, signature):
        for digest in part.blobs:
            assert source.blob(digest).status == 200
            mounted = target.mount(digest, f"{NAME}/team/app")
            assert mounted.status in (201, 202)
            if mounted.status == 202:
                target.push_blob(part.blobs[digest])
        assert target.put_manifest(part.digest, part.body, part.media_type).status == 201
    upstream.refuse()
    assert listed(target, image.digest) == found
    target.assert_pulls(image)
    target.assert_pulls(signature)


def test_a_descriptor_too_large_for_a_list(ready):
    # a byte of the manifest, and an escape of six in the list
    signature = referrer(annotations={"note": "0"})
    for content in signature.blobs.values():
        ready.push_blob(content)
    body = signature.body.replace(b'"0"', b'"' + b"\x7f" * 2_000_000 + b'"')
    response = ready.put_manifest("large", body, signature.media_type)
    assert (response.status, response.error["code"]) == (413, "SIZE_INVALID"), response
    assert ready.manifest("large").status == 404
    assert ready.manifest(digest_of(body)).status == 404
    assert listed(ready, SUBJECT.digest) == []


def test_odd_queries(ready):
    signature = ready.push(referrer())
    for query in ("artifactType=", "last=", "last=x", "n=1", "x=y", "artifactType=a&artifactType=b",
                  "last=" + urllib.parse.quote(digest_of(b"")), "last=sha256%3Azz"):
        response = ready.client.get(f"{ready.path}/referrers/{SUBJECT.digest}?{query}")
        assert response.status in (200, 400), (query, response)
        if response.status == 200:
            assert set(digests(response.json["manifests"])) <= {signature.digest}


def test_a_type_that_no_artifact_can_have_is_refused(repository):
    response = repository.referrers("sha256:" + "0" * 64, artifactType="a/" + "x" * 9000)
    assert (response.status, response.error["code"]) == (400, "UNSUPPORTED")
