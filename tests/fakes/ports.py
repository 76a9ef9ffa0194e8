"""Ports that nobody else will take.

Below the range from which the kernel gives out ports by itself, so that a port
stays ours while its listener is down (that is how an outage is played).
Between processes of tests, an abstract socket named after the port says whose
it is, until the process ends.
"""

import itertools
import os
import socket

FIRST, LAST = 16000, 32000

_candidates = itertools.count(os.getpid() * 37)
_claims = []


def _claim(port):
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0breakwater-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    while True:
        port = FIRST + next(_candidates) % (LAST - FIRST)
        if _is_free(port) and _claim(port):
            return port
