"""The process behind harness.balancer."""

import asyncio
import itertools
import sys

from harness.fault_proxy_server import Proxy, read_message


class Balancer(Proxy):
    """A proxy without faults, that connects anew for each request."""

    def __init__(self, targets):
        super().__init__(None, "http")
        self.targets = itertools.cycle(targets)

    async def serve_http(self, reader, writer):
        while (request := await read_message(reader)) is not None:
            upstream = await asyncio.open_connection("127.0.0.1", next(self.targets), limit=1 << 20)
            try:
                if not await self.forward(request, reader, writer, upstream, None):
                    break
            finally:
                upstream[1].close()


async def main():
    port, *targets = map(int, sys.argv[1:])
    balancer = Balancer(targets)
    await asyncio.start_server(balancer.serve, "127.0.0.1", port, limit=1 << 20, backlog=512)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
