"""What a client that pushes does, step by step: any step can be done wrongly."""

import urllib.parse

from fakes.images import digest_of
from harness.client import path_with


def path_of(location):
    """Of a Location, which may be relative."""
    parts = urllib.parse.urlsplit(location)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def with_query(path, **query):
    return path + ("&" if "?" in path else "?") + urllib.parse.urlencode(query)


def content_range(first, length):
    return {"Content-Range": f"{first}-{first + length - 1}"}


class Upload:
    """A session, and where it was last said to be."""

    def __init__(self, client, location):
        self.client = client
        self.location = path_of(location)

    def _follow(self, response):
        if "location" in response.headers and response.status in (202, 204, 416):
            self.location = path_of(response.headers["location"])
        return response

    def patch(self, body, first=None, location=None, **headers):
        """`first`: where Content-Range says it begins; None: there is none."""
        headers = {"Content-Type": "application/octet-stream",
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        if first is not None:
            headers |= content_range(first, len(body))
        return self._follow(self.client.request("PATCH", location or self.location, headers, body))

    def put(self, digest, body=b"", first=None, location=None, **headers):
        headers = {"Content-Type": "application/octet-stream",
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        if first is not None:
            headers |= content_range(first, len(body))
        path = with_query(location or self.location, digest=digest)
        return self._follow(self.client.request("PUT", path, headers, body))

    def status(self, location=None):
        return self._follow(self.client.get(location or self.location))

    def cancel(self, location=None):
        return self.client.request("DELETE", location or self.location)

    @property
    def offset(self):
        """How many bytes it has, as the server says."""
        response = self.status()
        assert response.status == 204, response
        return offset_of(response)


def offset_of(response):
    first, _, last = response.headers["range"].partition("-")
    assert first == "0", response.headers
    return int(last) + 1 if int(last) else 0   # "0-0" is said of none and of one


class Repository:
    """A repository at a server, which anything that has client() is."""

    def __init__(self, server, name):
        self.name = name
        self.path = f"/v2/{name}"
        self.client = server.client()

    def close(self):
        self.client.close()

    # Blobs

    def post(self, body=None, headers=None, **query):
        return self.client.request("POST", path_with(f"{self.path}/blobs/uploads/", **query),
                                   headers or {}, body)

    def begin(self, **query):
        response = self.post(**query)
        assert response.status == 202, response
        return Upload(self.client, response.headers["location"])

    def push_blob(self, content, algorithm="sha256"):
        digest = digest_of(content, algorithm)
        response = self.begin().put(digest, content)
        assert response.status == 201, response
        return digest

    def push_chunked(self, content, size, algorithm="sha256"):
        query = {} if algorithm == "sha256" else {"digest-algorithm": algorithm}
        upload = self.begin(**query)
        for first in range(0, len(content), size):
            response = upload.patch(content[first:first + size], first)
            assert response.status == 202, response
        digest = digest_of(content, algorithm)
        response = upload.put(digest)
        assert response.status == 201, response
        return digest

    def mount(self, digest, source=None):
        return self.post(**{"mount": digest, "from": source})

    def blob(self, digest, method="GET", **headers):
        return self.client.request(method, f"{self.path}/blobs/{digest}",
                                   {name.replace("_", "-"): value for name, value in headers.items()})

    def delete_blob(self, digest):
        return self.blob(digest, "DELETE")

    # Manifests

    def put_manifest(self, reference, body, media_type=None, tags=(), headers=None):
        query = "?" + urllib.parse.urlencode([("tag", tag) for tag in tags]) if tags else ""
        headers = dict(headers or {})
        if media_type is not None:
            headers["Content-Type"] = media_type
        return self.client.request("PUT", f"{self.path}/manifests/{reference}{query}", headers, body)

    def push(self, image, tag=None):
        """All of it, an index's images first; by digest when there is no tag."""
        for child in image.children:
            self.push(child)
        for content in image.blobs.values():
            self.push_blob(content, image.algorithm)
        response = self.put_manifest(tag or image.digest, image.body, image.media_type)
        assert response.status == 201, response
        return image

    def manifest(self, reference, method="GET", **headers):
        return self.client.request(method, f"{self.path}/manifests/{reference}",
                                   {name.replace("_", "-"): value for name, value in headers.items()})

    def delete_manifest(self, reference):
        return self.manifest(reference, "DELETE")

    def tags(self, **query):
        return self.client.get(path_with(f"{self.path}/tags/list", **query))

    def referrers(self, digest, **query):
        return self.client.get(path_with(f"{self.path}/referrers/{digest}", **query))

    def assert_pulls(self, image, reference=None):
        """By digest, or by what is given: every byte of it."""
        response = self.manifest(reference or image.digest)
        assert (response.status, response.body) == (200, image.body), response
        assert response.headers["content-type"] == image.media_type
        for digest, content in image.blobs.items():
            response = self.blob(digest)
            assert (response.status, response.body) == (200, content), (response.status, digest)
        for child in image.children:
            self.assert_pulls(child)
