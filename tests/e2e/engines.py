"""Real clients, each with folders, sockets and settings of its own.

Nothing of the machine's own engines is used or touched, and nothing is left
behind: every engine lives in one folder and ends with its `with`.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from harness.tools import tool

# Some other docker may come first in PATH.
DOCKER = "/usr/bin/docker"


class Failed(AssertionError):
    pass


def run(*command, timeout=90, environment=None, folder=None):
    """Its output; Failed, with everything it said, when it did not exit with 0."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, check=False, cwd=folder,
                          env={**os.environ, "NO_COLOR": "1", **(environment or {})})
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Daemon:
    """A daemon that is up when `alive` says so."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.process = None

    def command(self):
        raise NotImplementedError

    def alive(self):
        raise NotImplementedError

    def __enter__(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        end = time.monotonic() + 60
        while True:
            try:
                self.alive()
                return self
            except Failed:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    raise Failed(f"{self.command()[0]}: {(self.folder / 'log').read_text()}") from None
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        release_mounts(self.folder)


def release_mounts(folder):
    """What a container that failed may have left mounted below the folder."""
    mounts = [line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if mount.startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", mount], check=False)


class Containerd(Daemon):
    """containerd, its mirrors configured by hosts.toml files below `hosts`."""

    def __init__(self, folder):
        super().__init__(folder)
        self.hosts = self.folder / "hosts"
        self.socket = self.folder / "socket"
        (self.folder / "config.toml").write_text(f"""\
version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
[ttrpc]
  address = "{self.socket}.ttrpc"
""")

    def command(self):
        return ["containerd", "--config", self.folder / "config.toml"]

    def ctr(self, *words):
        return run("ctr", "--address", self.socket, *words)

    def alive(self):
        self.ctr("version")

    def mirror(self, registry, url, server="http://127.0.0.1:1"):
        """For `registry` ("_default": all) ask url; the registry itself is out of reach."""
        folder = self.hosts / registry
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts.toml").write_text(
            f'server = "{server}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')

    def pull(self, image):
        return self.ctr("images", "pull", "--hosts-dir", self.hosts, image)

    def run(self, image):
        return self.ctr("run", "--rm", "--snapshotter", self.snapshotter(), image, "a-test")

    def snapshotter(self):
        return "overlayfs"

    def remove(self, image):
        self.ctr("images", "remove", "--sync", image)
        left = self.ctr("content", "list", "--quiet")
        assert left == "", f"content is left: {left}"


class Dockerd(Daemon):
    def __init__(self, folder, mirror, insecure=()):
        super().__init__(folder)
        self.mirror = mirror
        self.socket = self.folder / "socket"
        (self.folder / "client").mkdir()
        (self.folder / "daemon.json").write_text(json.dumps({
            "registry-mirrors": [mirror], "insecure-registries": list(insecure)}))

    def command(self):
        return ["dockerd", "--config-file", self.folder / "daemon.json",
                "--host", f"unix://{self.socket}", "--data-root", self.folder / "root",
                "--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid",
                "--storage-driver", "vfs", "--bridge", "none", "--iptables=false",
                "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]

    def docker(self, *words):
        return run(DOCKER, *words, environment={"DOCKER_HOST": f"unix://{self.socket}",
                                                "DOCKER_CONFIG": str(self.folder / "client")})

    def alive(self):
        self.docker("version")

    def pull(self, image):
        return self.docker("pull", image)

    def run(self, image):
        return self.docker("run", "--rm", "--pull", "never", "--network", "none", image)

    def push(self, source, target):
        """Gives what it has another name, and pushes that."""
        self.docker("tag", source, target)
        return self.docker("push", target)

    def remove(self, image):
        self.docker("image", "rm", "--force", image)
        assert self.docker("image", "ls", "--all", "--quiet") == ""

    def remove_all(self):
        """Whatever it is called: the next pull has to fetch everything."""
        for identifier in set(self.docker("image", "ls", "--all", "--quiet").split()):
            self.docker("image", "rm", "--force", identifier)
        assert self.docker("image", "ls", "--all", "--quiet") == ""


class Podman:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        release_mounts(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def podman(self, *words):
        return run("podman", "--root", self.folder / "root", "--runroot", self.folder / "run",
                   "--tmpdir", self.folder / "tmp", "--storage-driver", "vfs",
                   "--cgroup-manager", "cgroupfs", "--events-backend", "file", *words)

    def pull(self, image):
        return self.podman("pull", "--tls-verify=false", image)

    def run(self, image):
        # Limits below podman's own defaults, which not every machine may raise to.
        return self.podman("run", "--rm", "--pull", "never", "--network", "none",
                           "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", image)

    def push(self, source, target):
        self.podman("tag", source, target)
        return self.podman("push", "--tls-verify=false", target)

    def remove(self, image):
        self.podman("rmi", "--force", image)
        assert self.podman("images", "--all", "--quiet") == ""

    def remove_all(self):
        self.podman("rmi", "--all", "--force")
        assert self.podman("images", "--all", "--quiet") == ""


class Buildah:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        release_mounts(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def buildah(self, *words):
        return run("buildah", "--root", self.folder / "root", "--runroot", self.folder / "run",
                   "--storage-driver", "vfs", *words)

    def pull(self, image):
        return self.buildah("pull", "--tls-verify=false", image)

    def push(self, source, target):
        return self.buildah("push", "--tls-verify=false", source, f"docker://{target}")

    def remove_all(self):
        self.buildah("rmi", "--all", "--force")
        assert self.buildah("images", "--all", "--quiet") == ""


class Oras:
    """Without a login of somebody's."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)

    def oras(self, verb, *words):
        return run(tool("oras"), *verb.split(), *words, folder=self.folder,
                   environment={"HOME": str(self.folder), "DOCKER_CONFIG": str(self.folder)})

    def json(self, verb, *words):
        return json.loads(self.oras(verb, *words, "--format", "json"))


class Crane:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)

    def crane(self, *words):
        return run(tool("crane"), "--insecure", *words, folder=self.folder,
                   environment={"HOME": str(self.folder), "DOCKER_CONFIG": str(self.folder)})


def skopeo_copy(source, target, *options):
    return run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
               "--dest-tls-verify=false", *options, source, target)


def skopeo_inspect(source):
    return json.loads(run("skopeo", "inspect", "--tls-verify=false", source))
