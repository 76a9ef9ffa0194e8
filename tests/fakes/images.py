"""Images of random content, made without a network or a container engine."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass, field

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def random_bytes(size, seed):
    """The same for the same seed, so that a failure can be repeated."""
    return random.Random(seed).randbytes(size)


@dataclass
class Manifest:
    """A manifest or an index: its exact bytes, and the content it lists."""
    body: bytes
    media_type: str
    blobs: dict = field(default_factory=dict)      # digest -> bytes: config and layers
    children: list = field(default_factory=list)   # of an index: Manifests
    algorithm: str = "sha256"

    @property
    def digest(self):
        return digest_of(self.body, self.algorithm)

    @property
    def document(self):
        return json.loads(self.body)

    @property
    def layers(self):
        return [layer["digest"] for layer in self.document["layers"]]

    @property
    def config(self):
        return self.document["config"]["digest"]


def descriptor(data, media_type, algorithm="sha256", **more):
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data), **more}


def image(layers=(1024,), seed=0, docker=False, algorithm="sha256", config=None, **more):
    """An image whose layers are sizes (random bytes of that many) or bytes.

    `more` are further keys of the manifest (subject, artifactType, annotations).
    """
    contents = [layer if isinstance(layer, bytes) else random_bytes(layer, f"{seed}/{number}")
                for number, layer in enumerate(layers)]
    if config is None:
        config = json.dumps({"architecture": "amd64", "os": "linux", "seed": seed, "config": {},
                             "rootfs": {"type": "layers", "diff_ids": list(map(digest_of, contents))},
                             }).encode()
    layer_type = DOCKER_LAYER if docker else OCI_LAYER
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config, DOCKER_CONFIG if docker else OCI_CONFIG, algorithm),
        "layers": [descriptor(content, layer_type, algorithm) for content in contents],
        **more,
    }
    # Odd white space on purpose: whoever re-writes the document changes its digest.
    body = json.dumps(document, indent=3).encode() + b"\n"
    blobs = {digest_of(content, algorithm): content for content in [config, *contents]}
    return Manifest(body, media_type, blobs, algorithm=algorithm)


def index(children, docker=False, missing=()):
    """An index of images; `missing` are descriptors of images that are nowhere."""
    platforms = [{"os": "linux", "architecture": architecture}
                 for architecture in ("amd64", "arm64", "s390x", "riscv64", "ppc64le", "arm")]
    listed = [descriptor(child.body, child.media_type, child.algorithm, platform=platform)
              for child, platform in zip(children, platforms)]
    media_type = DOCKER_LIST if docker else OCI_INDEX
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type,
                       "manifests": listed + list(missing)}, indent=1).encode()
    return Manifest(body, media_type, children=list(children))


def artifact(subject, artifact_type, content):
    """Something that refers to an image: a signature, an SBOM."""
    return image([content], config=b"{}", artifactType=artifact_type,
                 subject=descriptor(subject.body, subject.media_type, subject.algorithm))


def runnable(files, command):
    """An image with one layer that holds `files` (path -> bytes), all executable."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    layer = gzip.compress(raw.getvalue(), mtime=0)
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": command, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(raw.getvalue())]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "the tests"}],
    }).encode()
    return image([layer], config=config, docker=True)
