"""What puts load on a server: wrk for throughput, and pulls as a container
runtime does them, with every body hashed."""

import concurrent.futures
import hashlib
import http.client
import json
import subprocess
import threading
import time

from servers import MANIFEST_TYPE

# wrk prints rounded numbers; this prints exact ones.
WRK_SCRIPT = """
done = function(summary, latency, requests)
	local errors = summary.errors
	io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.bytes,
		summary.duration, errors.connect + errors.read + errors.write + errors.status))
end
"""


def wrk(core, url, connections, seconds, script):
    """Requests, bytes and seconds over kept connections. An error ends the run."""
    output = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
         "--timeout", "20s", "-s", script, "-H", f"Accept: {MANIFEST_TYPE}", url],
        capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    requests, received, microseconds, errors = map(int, line.split()[1:])
    if errors:
        raise SystemExit(f"wrk met {errors} errors at {url}:\n{output}")
    return requests, received, microseconds / 1e6


def connect(server):
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)


def start(connection, path):
    connection.request("GET", path, headers={"Accept": MANIFEST_TYPE})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"GET {path}: {response.status} {response.read()[:500]}")
    return response


def drain(response, digest=None):
    """Reads a body to its end and checks it; returns its length."""
    piece = memoryview(bytearray(1 << 20))
    hasher = hashlib.sha256()
    length = 0
    while count := response.readinto(piece):
        if digest:
            hasher.update(piece[:count])
        length += count
    if length != int(response.headers["Content-Length"]):
        raise SystemExit(f"a body ended after {length} bytes")
    if digest and digest != "sha256:" + hasher.hexdigest():
        raise SystemExit(f"the bytes are not those of {digest}")
    return length


def first_byte_ms(connection, path):
    """From the request to the body's first byte; the rest is read and forgotten."""
    began = time.perf_counter()
    response = start(connection, path)
    response.read(1)
    elapsed = time.perf_counter() - began
    response.read()
    return elapsed * 1000


def ask(connection, method, path, body=b"", headers=None):
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    text = response.read()
    if response.status not in (201, 202):
        raise SystemExit(f"{method} {path}: {response.status} {text[:500]}")
    return response


OCTETS = {"Content-Type": "application/octet-stream"}


def place_of(server, response):
    """Where an upload goes on; some say it with their address, some without."""
    location = response.headers["Location"]
    return location.partition(f":{server.port}")[2] or location


def finish(connection, path, digest, content=b""):
    ask(connection, "PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", content, OCTETS)


def push_blob(server, connection, name, digest, content):
    """POST, then all of it in one PUT, as most clients do."""
    path = place_of(server, ask(connection, "POST", f"/v2/{name}/blobs/uploads/"))
    finish(connection, path, digest, content)


def push_streamed(server, connection, name, digest, content):
    """POST, all of it in one PATCH, and a PUT that tells the digest, as Docker does."""
    path = place_of(server, ask(connection, "POST", f"/v2/{name}/blobs/uploads/"))
    path = place_of(server, ask(connection, "PATCH", path, content, OCTETS))
    finish(connection, path, digest)


def push_blobs(server, name, blobs, push=push_blob):
    """Seconds until the last of them was acknowledged, one after the other."""
    connection = connect(server)
    began = time.perf_counter()
    for digest, content in blobs:
        push(server, connection, name, digest, content)
    elapsed = time.perf_counter() - began
    connection.close()
    return elapsed


def pull_blobs(server, name, blobs):
    """Seconds until the last byte of the last of them, one after the other."""
    connection = connect(server)
    began = time.perf_counter()
    for digest, _ in blobs:
        drain(start(connection, server.path(f"{name}/blobs/{digest}")))
    elapsed = time.perf_counter() - began
    connection.close()
    return elapsed


def at_once(tasks):
    """Seconds until the last of them has ended."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(len(tasks)) as pool:
        for running in [pool.submit(task) for task in tasks]:
            running.result()
    return time.perf_counter() - began


def push_images(server, images):
    """The same of whole images."""
    connection = connect(server)
    began = time.perf_counter()
    for image in images:
        for digest, content in image.blobs.items():
            push_blob(server, connection, image.name, digest, content)
        ask(connection, "PUT", f"/v2/{image.name}/manifests/{image.tag}", image.manifest,
            {"Content-Type": MANIFEST_TYPE})
    elapsed = time.perf_counter() - began
    connection.close()
    return elapsed


def pull(server, image, parallel=3):
    """Seconds from the first request to the last byte. Three downloads at once,
    as containerd and Docker do unless told otherwise."""
    began = time.perf_counter()
    connection = connect(server)
    body = start(connection, server.path(f"{image.name}/manifests/{image.tag}")).read()
    connection.close()
    manifest = json.loads(body)
    digests = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]

    def fetch(digest):
        connection = connect(server)
        drain(start(connection, server.path(f"{image.name}/blobs/{digest}")), digest)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        list(pool.map(fetch, digests))
    return time.perf_counter() - began


def crowd(server, path, clients):
    """That many clients of one path, all at once; seconds until the last has it all."""
    barrier = threading.Barrier(clients + 1)
    failures = []

    def fetch():
        connection = connect(server)
        barrier.wait()
        try:
            drain(start(connection, path))
        except (OSError, SystemExit, http.client.HTTPException) as failure:
            failures.append(failure)
        connection.close()

    threads = [threading.Thread(target=fetch) for _ in range(clients)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"{len(failures)} of {clients} clients failed: {failures[0]}")
    return time.perf_counter() - began
