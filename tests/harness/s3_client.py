"""S3 as tests ask it: signed (V4), one request a call, standard library only.

It looks at what a store holds from the outside, so it shares nothing with the
code under test.
"""

import hashlib
import hmac
import http.client
import time
import urllib.parse
import xml.etree.ElementTree
from dataclasses import dataclass

REGION = "us-east-1"


@dataclass
class Answer:
    status: int
    headers: dict      # names in lower case
    body: bytes

    @property
    def code(self):
        """S3's word for the error, or ""."""
        try:
            return xml.etree.ElementTree.fromstring(self.body).findtext("Code") or ""
        except xml.etree.ElementTree.ParseError:
            return ""

    def ok(self):
        assert 200 <= self.status < 300, (self.status, self.body[:500])
        return self


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3Client:
    def __init__(self, endpoint, access_key, secret_key, region=REGION, timeout=30, tls=None):
        """`tls`: the ssl.SSLContext for an endpoint with https."""
        self.place = urllib.parse.urlsplit(endpoint)
        self.access_key, self.secret_key = access_key, secret_key
        self.region, self.timeout, self.tls = region, timeout, tls

    def request(self, method, path, query=None, body=b"", headers=None):
        """path is /bucket/key, not escaped; query a dictionary."""
        path = urllib.parse.quote(path, safe="/-_.~")
        query = "&".join(f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}"
                         for name, value in sorted((query or {}).items()))
        headers = self._signed(method, path, query, body, headers or {})
        connection = self._connection()
        try:
            connection.request(method, f"{path}?{query}" if query else path, body, headers)
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()},
                          reply.read())
        except http.client.HTTPException as error:
            raise OSError(f"no answer that is HTTP: {error}") from error
        finally:
            connection.close()

    def _connection(self):
        where = (self.place.hostname, self.place.port)
        if self.place.scheme == "https":
            return http.client.HTTPSConnection(*where, timeout=self.timeout, context=self.tls)
        return http.client.HTTPConnection(*where, timeout=self.timeout)

    def _signed(self, method, path, query, body, headers):
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        content = hashlib.sha256(body).hexdigest()
        headers = {**headers, "Host": self.place.netloc, "x-amz-date": now, "x-amz-content-sha256": content}
        signed = sorted((name.lower(), value.strip()) for name, value in headers.items())
        names = ";".join(name for name, _ in signed)
        canonical = "\n".join([method, path, query, *(f"{name}:{value}" for name, value in signed),
                               "", names, content])
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret_key).encode()
        for part in scope.split("/"):
            key = _hmac(key, part)
        signature = _hmac(key, text).hex()
        return {**headers, "Authorization": f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
                                            f"SignedHeaders={names}, Signature={signature}"}

    # What tests want to know

    def make_bucket(self, bucket):
        answer = self.request("PUT", f"/{bucket}")
        assert answer.status == 200 or answer.code == "BucketAlreadyOwnedByYou", answer
        return bucket

    def put(self, bucket, key, body, **headers):
        return self.request("PUT", f"/{bucket}/{key}", None, body, headers).ok()

    def get(self, bucket, key):
        return self.request("GET", f"/{bucket}/{key}")

    def head(self, bucket, key):
        return self.request("HEAD", f"/{bucket}/{key}")

    def delete(self, bucket, key):
        return self.request("DELETE", f"/{bucket}/{key}").ok()

    def list(self, bucket, prefix=""):
        """{key: size} of everything below the prefix."""
        found, token = {}, None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            root = xml.etree.ElementTree.fromstring(self.request("GET", f"/{bucket}", query).ok().body)
            for entry in root.iterfind("{*}Contents"):
                found[entry.findtext("{*}Key")] = int(entry.findtext("{*}Size"))
            token = root.findtext("{*}NextContinuationToken")
            if root.findtext("{*}IsTruncated") != "true":
                return found

    def uploads(self, bucket):
        """Multipart uploads that nobody has completed: [(key, upload id)]."""
        root = xml.etree.ElementTree.fromstring(
            self.request("GET", f"/{bucket}", {"uploads": ""}).ok().body)
        return [(entry.findtext("{*}Key"), entry.findtext("{*}UploadId"))
                for entry in root.iterfind("{*}Upload")]
