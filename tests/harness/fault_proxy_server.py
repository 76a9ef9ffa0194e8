"""The process behind harness.fault_proxy: see there for what it can do."""

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import sys

PIECE = 64 * 1024
KINDS = {"http": {"latency", "status", "truncate", "reset", "reset-after", "hang", "swallow", "error-200"},
         "tcp": {"latency", "reset", "hang"}}


class Cut(Exception):
    """The connection ends here, with a RST."""


class Message:
    """The head of a request or an answer, and how its body is framed."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")
        self.first = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                self.headers[name.strip().lower()] = value.strip()
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.length = int(self.headers.get("content-length") or 0)
        self.until_close = False

    def frame_answer(self, method):
        status = self.status
        if method == "HEAD" or status < 200 or status in (204, 304):
            self.chunked, self.length = False, 0
        elif not self.chunked and "content-length" not in self.headers:
            self.until_close = True

    @property
    def status(self):
        return int(self.first[1])


async def read_message(reader):
    try:
        return Message(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Cut from None
        return None


async def copy_exactly(reader, writer, length):
    while length:
        piece = await reader.read(min(length, PIECE))
        if not piece:
            raise Cut
        length -= len(piece)
        if writer:
            writer.write(piece)
            await writer.drain()


async def copy_chunked(reader, writer):
    """The coding goes along as it came. How many bytes it stood for."""
    total = 0
    while True:
        line = await reader.readline()
        if writer:
            writer.write(line)
        size = int(line.split(b";")[0], 16)
        if not size:
            break
        await copy_exactly(reader, writer, size + 2)
        total += size
    while True:      # trailers
        line = await reader.readline()
        if writer:
            writer.write(line)
        if line in (b"\r\n", b""):
            return total


async def copy_body(message, reader, writer):
    if message.chunked:
        return await copy_chunked(reader, writer)
    if message.until_close:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        return 0
    await copy_exactly(reader, writer, message.length)
    return message.length


def reset(writer):
    """RST instead of FIN."""
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                   struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    def __init__(self, target_port, mode):
        self.target_port, self.mode = target_port, mode
        self.faults, self.requests = [], []
        self.done = 0
        self.healed = asyncio.Event()
        self.writers = set()

    # Which faults a request meets

    def pick(self, method, target, kinds=None):
        """What applies now: the latencies, and the first fault of another kind."""
        delay, chosen = 0.0, None
        for fault in self.faults:
            if fault["method"] not in (None, method) or fault["times"] == 0 \
                    or kinds and fault["kind"] not in kinds \
                    or not re.search(fault["match"] or "", target) \
                    or chosen and fault["kind"] != "latency" or random.random() >= fault["rate"]:
                continue
            if fault["times"]:
                fault["times"] -= 1
            self.done += 1
            if fault["kind"] == "latency":
                delay += fault["seconds"]
            else:
                chosen = fault
        return delay, chosen

    async def hang(self):
        await self.healed.wait()
        raise Cut

    # HTTP

    async def serve_http(self, reader, writer):
        upstream = None
        try:
            while (request := await read_message(reader)) is not None:
                method, target = request.first[0], request.first[1]
                delay, fault = self.pick(method, target)
                self.requests.append([method, target, request.length, fault and fault["kind"]])
                await asyncio.sleep(delay)
                if fault and await self.instead(fault, request, reader, writer):
                    continue
                if upstream is None:
                    upstream = await asyncio.open_connection("127.0.0.1", self.target_port, limit=1 << 20)
                if not await self.forward(request, reader, writer, upstream, fault):
                    break
        finally:
            if upstream:
                upstream[1].close()

    async def instead(self, fault, request, reader, writer):
        """True when it was answered here."""
        kind = fault["kind"]
        if kind == "reset":
            raise Cut
        if kind == "hang":
            await self.hang()
        if kind not in ("status", "swallow", "error-200"):
            return False
        if request.headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await copy_body(request, reader, None)
        status, body = 200, b"<CompleteMultipartUploadResult><ETag>&quot;0&quot;</ETag>" \
                            b"</CompleteMultipartUploadResult>"
        if kind != "swallow":
            status = fault.get("status", 500) if kind == "status" else 200
            body = f"<Error><Code>{fault.get('code', 'InternalError')}</Code>" \
                   "<Message>as the test wanted it</Message></Error>".encode()
        head = f"HTTP/1.1 {status} Proxy\r\nContent-Type: application/xml\r\nETag: \"0\"\r\n" \
               f"Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + (b"" if request.first[0] == "HEAD" else body))
        await writer.drain()
        return True

    async def forward(self, request, reader, writer, upstream, fault):
        """False when the connection must not be used again."""
        up_reader, up_writer = upstream
        up_writer.write(request.raw)
        sending = asyncio.create_task(copy_body(request, reader, up_writer))
        try:
            while True:
                answer = await read_message(up_reader)
                if answer is None:
                    raise Cut
                answer.frame_answer(request.first[0])
                if answer.status >= 200:
                    break
                writer.write(answer.raw)
            if fault and fault["kind"] == "reset-after":
                await sending
                raise Cut
            writer.write(answer.raw)
            if fault and fault["kind"] == "truncate":
                await copy_exactly(up_reader, writer, int(answer.length * fault.get("share", 0.5)))
                return False
            await copy_body(answer, up_reader, writer)
            await writer.drain()
            # An answer may come before the body was read; then nobody will read the rest.
            if not sending.done():
                await asyncio.wait([sending], timeout=1)
            again = sending.done() and not answer.until_close \
                and answer.headers.get("connection", "").lower() != "close"
            if sending.done():
                sending.result()
            return again
        finally:
            sending.cancel()

    # TCP

    async def serve_tcp(self, reader, writer):
        _, fault = self.pick("", "", {"reset", "hang"})
        self.requests.append(["", "", 0, fault and fault["kind"]])
        if fault:
            if fault["kind"] == "reset":
                raise Cut
            await self.hang()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        pumps = [asyncio.create_task(self.pump(reader, up_writer)),
                 asyncio.create_task(self.pump(up_reader, writer))]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in done:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            up_writer.close()

    async def pump(self, reader, writer):
        while piece := await reader.read(PIECE):
            delay, fault = self.pick("", "")
            await asyncio.sleep(delay)
            if fault and fault["kind"] == "reset":
                raise Cut
            if fault:
                await self.hang()
            writer.write(piece)
            await writer.drain()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            await (self.serve_http if self.mode == "http" else self.serve_tcp)(reader, writer)
        except (Cut, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            reset(writer)
        finally:
            self.writers.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()

    # Control

    def obey(self, question):
        what = question["do"]
        if what == "fail":
            fault = question["fault"]
            if fault["kind"] not in KINDS[self.mode]:
                return f"{self.mode} knows no fault {fault['kind']!r}"
            self.faults.append(fault)
        elif what == "heal":
            self.faults.clear()
            self.healed.set()
            self.healed = asyncio.Event()
        elif what == "forget":
            self.requests.clear()
            self.done = 0
        elif what == "requests":
            return self.requests
        elif what == "count":
            return self.done
        return "ok"

    async def control(self, reader, writer):
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.obey(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


async def main():
    port, target_port, control_port = map(int, sys.argv[1:4])
    proxy = Proxy(target_port, sys.argv[4])
    await asyncio.start_server(proxy.serve, "127.0.0.1", port, limit=1 << 20, backlog=512)
    await asyncio.start_server(proxy.control, "127.0.0.1", control_port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
