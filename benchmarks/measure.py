"""Rounds, medians and tables: how everything here is compared."""

import statistics
import sys

import clients

SERVER_CORE, CLIENT_CORE = 0, 1


def median(values):
    return statistics.median(values) if values else float("nan")


def medians(samples):
    """{name: [{key: value}]} to {name: {key: median}}."""
    return {name: {key: median([sample[key] for sample in found]) for key in found[0]}
            for name, found in samples.items()}


def table(title, header, rows):
    print(f"\n{title}")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        print("  " + "  ".join(cell.ljust(width) if number == 0 else cell.rjust(width)
                               for number, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def touch_memory(run, size):
    """Makes sure that so much of the free memory is really there.

    A virtual machine gives free memory back to its host, and the first write into a page
    that has to come from there again costs eight times what the write itself does. A
    server that has run for a while has no such pages; who writes files here must not be
    the one to pay for them.
    """
    piece = bytes(1 << 20)
    path = run.folder / "touched"
    with path.open("wb", buffering=0) as file:
        for _ in range(size // len(piece) + 64):
            file.write(piece)
    path.unlink()


def under_load(run, server, path, connections):
    """One round: requests and bytes a second, and what of the server's CPU they took."""
    before = server.cpu_seconds()
    requests, received, seconds = clients.wrk(CLIENT_CORE, server.url(path), connections,
                                              run.seconds, run.script)
    cpu = server.cpu_seconds() - before
    return {"requests": requests / seconds, "GB": received / seconds / 1e9,
            "cpu_per_GB": cpu * 1e9 / received, "cpu_us": cpu * 1e6 / max(requests, 1)}


def compare(run, servers, path, connections):
    """Interleaved rounds over the servers; medians by server's name."""
    samples = {server.name: [] for server in servers}
    for _ in range(run.rounds):
        for server in servers:
            samples[server.name].append(under_load(run, server, path, connections))
    return medians(samples)
