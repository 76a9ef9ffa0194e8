"""With the blobs in S3 and the index in Redis, against registries that keep theirs
in the same MinIO."""

import contextlib
import dataclasses
import shutil
import time

import clients
import shared
from images import KB, MB, distinct_blobs, make_image, publish
from measure import CLIENT_CORE, SERVER_CORE, compare, median, medians, table, touch_memory

GB = 1 << 30
NAME = "bench/s3"

# How a push is made, blobs of what size, how many in a round, rounds at most.
WAYS = {"POST, PUT": clients.push_blob, "POST, PATCH, PUT": clients.push_streamed}
LOADS = (("POST, PUT", 10 * MB, 6, 7), ("POST, PUT", 100 * MB, 1, 7),
         ("POST, PATCH, PUT", 100 * MB, 1, 7), ("POST, PUT", GB, 1, 3))
CROWD = 8       # pushes of 100 MB at once


def size_name(size):
    return f"{size // GB} GB" if size >= GB else f"{size // MB} MB"


@contextlib.contextmanager
def registries(run):
    """Ours and its peers, over one MinIO; all that they stored is gone afterwards."""
    folder = run.new_folder("stores")
    with contextlib.ExitStack() as stack:
        stores = stack.enter_context(shared.Stores(folder))
        servers = [shared.BreakwaterOnS3(run.new_folder("breakwater"), SERVER_CORE, run.binary,
                                         stores), *shared.peers(run, SERVER_CORE, stores)]
        for server in servers:
            stack.enter_context(server)
        yield stores, servers
    for path in [folder, *(server.folder for server in servers)]:
        shutil.rmtree(path)


def ratio(value, reference):
    return f"{value / reference:.2f}"


# ---- pushes and pulls -------------------------------------------------------


def metered(run, stores, server, size, task):
    """One task over `size` bytes: MB/s, the server's CPU, requests to MinIO and bytes there
    for each of ours; and which requests."""
    touch_memory(run, size)
    before, cpu = stores.minio.count(), server.cpu_seconds()
    seconds = task()
    cpu = server.cpu_seconds() - cpu
    cost = shared.spent(before, stores.minio.count())
    return {"MB/s": size / 1e6 / seconds, "cpu_per_GB": cpu * 1e9 / size,
            "requests": sum(cost["requests"].values()),
            **{key: cost[key] / size for key in ("in", "out", "disk")}}, cost["requests"]


def one_load(run, push, size, count, rounds):
    """Medians of a round's pushes, and of pulls of what was just pushed, by server."""
    pushed, pulled, apis, peaks = {}, {}, {}, {}
    with registries(run) as (stores, servers):
        for server in servers:      # connections, buffers, code: nobody pays for being first
            clients.push_blobs(server, NAME, distinct_blobs(MB, 1), push)
        for _ in range(min(run.rounds, rounds)):
            for server in servers:
                blobs = distinct_blobs(size, count)
                sample, apis[server.name] = metered(
                    run, stores, server, count * size,
                    lambda: clients.push_blobs(server, NAME, blobs, push))
                pushed.setdefault(server.name, []).append(sample)
                sample, _ = metered(run, stores, server, count * size,
                                    lambda: clients.pull_blobs(server, NAME, blobs))
                pulled.setdefault(server.name, []).append(sample)
        peaks = {server.name: server.memory("VmHWM") / MB for server in servers}
    return medians(pushed), medians(pulled), apis, peaks


def speeds_row(what, found):
    ours = found["breakwater"]["MB/s"]
    return [what, *(f"{it['MB/s']:,.0f}" for it in found.values()),
            *(ratio(ours, it["MB/s"]) for name, it in found.items() if name != "breakwater")]


def transfers(run):
    results, pushes, pulls, costs, memory = {}, [], [], [], []
    for way, size, count, rounds in LOADS:
        if run.is_quick and size > 100 * MB:
            continue
        pushed, pulled, apis, peaks = one_load(run, WAYS[way], size, count, rounds)
        what = f"{size_name(size)}, {way}"
        names = list(pushed)
        pushes.append(speeds_row(what, pushed))
        pulls.append(speeds_row(what, pulled))
        costs += [[f"{what}: {name}", f"{pushed[name]['requests'] / count:.1f}",
                   *(f"{pushed[name][key]:.2f}" for key in ("in", "disk", "cpu_per_GB")),
                   f"{pulled[name]['requests'] / count:.1f}",
                   *(f"{pulled[name][key]:.2f}" for key in ("out", "cpu_per_GB"))]
                  for name in names]
        memory.append([what, *(f"{peaks[name]:.0f} MB" for name in names)])
        results[what] = {name: {"push": pushed[name], "pull": pulled[name], "blobs": count,
                                "requests of the last round": apis[name],
                                "peak_MB": peaks[name]} for name in names}
    others = [f"to {name}" for name in names[1:]]
    table("Pushes into S3, one connection: MB/s", ["blobs of", *names, *others], pushes)
    table("Pulls out of S3, of what nobody had pulled before: MB/s",
          ["blobs of", *names, *others], pulls)
    table("Requests to S3 for each blob, bytes there for each byte, the registry's CPU s/GB",
          ["", "push: requests", "received", "written to disk", "CPU", "pull: requests", "sent",
           "CPU"], costs)
    table("Resident memory at most, after these pushes and pulls", ["blobs of", *names], memory)
    return results


def crowd(run):
    """Several pushes at once: how long until the last is acknowledged, and in what memory."""
    size = 10 * MB if run.is_quick else 100 * MB
    samples, idle, peaks = {}, {}, {}
    with registries(run) as (_, servers):
        for server in servers:
            clients.push_blobs(server, NAME, distinct_blobs(MB, 1))
            idle[server.name] = server.memory("VmRSS") / MB
        for _ in range(min(run.rounds, 5)):
            for server in servers:
                blobs = distinct_blobs(size, CROWD)
                touch_memory(run, CROWD * size)
                seconds = clients.at_once(
                    [lambda blob=blob: clients.push_blobs(server, NAME, [blob])
                     for blob in blobs])
                samples.setdefault(server.name, []).append(seconds)
        peaks = {server.name: server.memory("VmHWM") / MB for server in servers}
    found = {name: median(seconds) for name, seconds in samples.items()}
    table(f"{CROWD} pushes of {size_name(size)} at once",
          ["", "until the last", "to breakwater", "memory when idle", "at most"],
          [[name, f"{seconds:.2f} s", ratio(seconds, found["breakwater"]),
            f"{idle[name]:.0f} MB", f"{peaks[name]:.0f} MB"] for name, seconds in found.items()])
    return {name: {"seconds": seconds, "idle_MB": idle[name], "peak_MB": peaks[name]}
            for name, seconds in found.items()}


# ---- what is warm -----------------------------------------------------------


def warm(server, image):
    """Pushed and pulled until all of it is where it is served from."""
    clients.push_images(server, [image])
    for _ in range(3):
        clients.pull(server, image)


def hot_cache(run):
    """Blobs from the hot cache, and from the filesystem store."""
    image = make_image("bench/warm", [MB, 100 * MB])
    results = {}
    with shared.Stores(run.new_folder("stores")) as stores, \
            shared.BreakwaterOnS3(run.new_folder("hot"), SERVER_CORE, run.binary, stores,
                                  "hot cache") as hot, \
            shared.BreakwaterOnDisk(run.new_folder("disk"), SERVER_CORE, run.binary) as disk:
        for server in (hot, disk):
            warm(server, image)
        for size, connections in ((MB, 8), (100 * MB, 4)):
            path = f"{image.name}/blobs/{image.sized(size)}"
            before = stores.minio.count()
            found = compare(run, [hot, disk], path, connections)
            asked = shared.spent(before, stores.minio.count())["requests"].get("GetObject", 0)
            reference = found["filesystem"]
            table(f"Warm blob of {size_name(size)}, {connections} kept connections",
                  ["", "GB/s", "to filesystem", "CPU s/GB", "to filesystem"],
                  [[name, f"{it['GB']:.2f}", ratio(it["GB"], reference["GB"]),
                    f"{it['cpu_per_GB']:.3f}", ratio(it["cpu_per_GB"], reference["cpu_per_GB"])]
                   for name, it in found.items()])
            print(f"  GETs to S3 meanwhile: {asked}")
            results[size_name(size)] = {**found, "GETs to S3": asked}
    return results


def one_round(run, stores, replicas, path):
    """All replicas at once, over 32 connections in all: requests a second, CPU of each,
    and what each cost index, Redis and S3."""
    def used():
        return {**stores.asked(), "index": sum(replica.index_actions() for replica in replicas),
                "cpu_us": 1e6 * sum(replica.cpu_seconds() for replica in replicas)}

    answers = []

    def load(url):
        answers.append(clients.wrk(CLIENT_CORE, url, 16, run.seconds, run.script))

    before = used()
    # always two clients, so that one replica is asked as two are
    clients.at_once([lambda url=url: load(url)
                     for url in [replicas[0].url(path), replicas[-1].url(path)]])
    after = used()
    requests = sum(answer[0] for answer in answers)
    return {"requests": sum(answer[0] / answer[2] for answer in answers),
            **{key: (after[key] - before[key]) / requests for key in before}}


def idle_rate(run, stores):
    """Commands and requests a second while nobody asks for anything."""
    before = stores.asked()
    time.sleep(run.seconds)
    return {key: (count - before[key]) / run.seconds for key, count in stores.asked().items()}


@contextlib.contextmanager
def two_replicas(run, image, cached):
    """Both with the image in their memory and hot caches: pushed, and fetched."""
    publish(run.files, image)
    with contextlib.ExitStack() as stack:
        stores = stack.enter_context(shared.Stores(run.new_folder("stores")))
        upstream = stack.enter_context(run.nginx(CLIENT_CORE))
        both = [stack.enter_context(shared.BreakwaterOnS3(
            run.new_folder("replica"), SERVER_CORE, run.binary, stores,
            upstream_port=upstream.port)) for _ in range(2)]
        clients.push_images(both[0], [image])
        for replica in both:
            for _ in range(3):
                clients.pull(replica, image)
                clients.pull(replica, cached)
        yield stores, both


def replicas(run):
    """What one replica and two serve with the server's one core, and what they ask for it."""
    image = make_image("bench/replicas", [KB, MB], manifest_size=KB)
    cached = dataclasses.replace(image, name=f"bench.test/{image.name}")
    paths = {f"{how}, {what}": f"{of.name}/{path}"
             for how, of in (("pushed", image), ("cached", cached))
             for what, path in (("manifest by tag", f"manifests/{image.tag}"),
                                ("by digest", f"manifests/{image.manifest_digest}"),
                                ("blob of 1 MB", f"blobs/{image.sized(MB)}"))}
    results, rows = {}, []
    with two_replicas(run, image, cached) as (stores, both):
        idle = results["idle, a second"] = idle_rate(run, stores)
        for what, path in paths.items():
            samples = {"one": [], "two": []}
            for _ in range(run.rounds):
                samples["one"].append(one_round(run, stores, both[:1], path))
                samples["two"].append(one_round(run, stores, both, path))
            found = results[what] = medians(samples)
            rows += [[f"{what}: {name}", f"{it['requests']:,.0f}",
                      ratio(it["requests"], found["one"]["requests"]), f"{it['cpu_us']:.1f}",
                      f"{it['index']:.3f}", f"{it['redis']:.4f}", f"{it['s3']:.4f}"]
                     for name, it in found.items()]
    table("Warm, 32 kept connections; one core for all replicas, one for the clients",
          ["replicas", "requests/s", "to one", "CPU us each", "of the index", "of Redis", "of S3"],
          rows)
    print("  the last three: asked for each request; of Redis and S3 also what two idle "
          f"replicas ask,\n  {idle['redis']:.0f} commands and {idle['s3']:.0f} requests a second")
    return results


SECTIONS = {"s3": transfers, "s3-crowd": crowd, "hot-cache": hot_cache, "replicas": replicas}
