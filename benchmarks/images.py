"""Images of random bytes, and the folder in which nginx finds them."""

import hashlib
import json
import os
from dataclasses import dataclass

from servers import MANIFEST_TYPE

KB, MB = 1 << 10, 1 << 20


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def distinct_blobs(size, count):
    """(digest, bytes), no two of them alike."""
    filling = os.urandom(size - 16)
    contents = [os.urandom(16) + filling for _ in range(count)]
    return [(digest_of(content), content) for content in contents]


@dataclass
class Image:
    name: str
    tag: str
    manifest: bytes
    blobs: dict     # digest -> bytes, in the manifest's order

    def sized(self, size):
        """The digest of the blob of that size."""
        return next(digest for digest, content in self.blobs.items() if len(content) == size)

    @property
    def manifest_digest(self):
        return digest_of(self.manifest)

    @property
    def size(self):
        return sum(map(len, self.blobs.values()))


def make_image(name, sizes, tag="latest", manifest_size=None):
    """An image with layers of these sizes; its manifest padded to `manifest_size`."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "name": f"{name}:{tag}"}).encode()
    layers = [os.urandom(size) for size in sizes]

    def descriptor(content, kind):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(content),
                "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(config, "config.v1+json"),
        "layers": [descriptor(layer, "layer.v1.tar") for layer in layers],
    }
    if manifest_size:
        document["annotations"] = {"padding": ""}
        missing = manifest_size - len(json.dumps(document))
        document["annotations"]["padding"] = "x" * missing
    return Image(name, tag, json.dumps(document).encode(),
                 {digest_of(content): content for content in [config, *layers]})


def publish(folder, image):
    """Files as a registry's paths, for nginx."""
    base = folder / "v2" / image.name
    for kind in ("manifests", "blobs"):
        (base / kind).mkdir(parents=True, exist_ok=True)
    (folder / "v2/index.html").touch()
    for reference in (image.tag, image.manifest_digest):
        (base / "manifests" / reference).write_bytes(image.manifest)
    for digest, content in image.blobs.items():
        (base / "blobs" / digest).write_bytes(content)
