"""Ports that nobody else will take.

Below the range from which the kernel gives out ports by itself, so that a port
stays ours while its listener is down (that is how an outage is played).
"""

import itertools
import os
import re
import socket

FIRST, LAST = 16000, 32000


def _candidates():
    """Each process of a parallel run has a slice of its own to begin with."""
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
    start = (os.getpid() * 37 + worker * 4000) % (LAST - FIRST)
    for step in itertools.count():
        yield FIRST + (start + step) % (LAST - FIRST)


_next = _candidates()


def free_port():
    while True:
        port = next(_next)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
