"""Hosts on this machine: each has its own network, host name, processes and temporary files.

A host is a set of Linux namespaces. Its first process is what holds them, so whatever runs there is
gone with it, and with this process too. Nothing is left in the machine's own namespaces.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lip_ray

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(sys.prefix)

USER, USER_ID = "lip", 1000
"""The ordinary user of all hosts."""

KEPT = [str(path.resolve()) for path in (ROOT, VENV, Path(sys.base_prefix))]
"""What hosts see of this machine under the path that it has here, wherever that is."""

IMPORTS = ":".join(
    filter(None, (os.environ.get("PYTHONPATH"), str(Path(lip_ray.__file__).parents[1])))
)
"""Where hosts import from, as this process does."""

HOME = Path("/srv/home")
STORE = Path("/mnt/lip")
"""A folder that all hosts of a network share, as an NFS would be."""

SUBNET = "10.77.0"
"""The first three numbers of the addresses of hosts."""

PATIENCE_S = 120.0
"""For what must come, on a machine with much else to do."""

NEEDED = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}
"""Programs that hosts are made with, and their packages in Debian."""

FIRST_PROCESS = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever loses its parent here is reaped at once
while True:
    signal.pause()
"""

MOUNTS = """
set -eu
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir /srv/host /srv/shared /srv/home /srv/kept
mount --bind {folder} /srv/host
mount --bind {shared} /srv/shared
mount --bind {home} /srv/home
number=0
for path in {kept}; do
    number=$((number + 1))
    mkdir /srv/kept/$number
    mount --bind $path /srv/kept/$number
done
mount -t proc proc /proc
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /mnt
mount -t tmpfs tmpfs /tmp
mkdir /run/sshd /mnt/lip
mount --bind /srv/shared/store /mnt/lip
for name in passwd group hosts hostname; do mount --bind /srv/host/etc/$name /etc/$name; done
for path in {kept}; do  # a home of root's is closed to all others
    way=
    for part in $(echo $path | tr / ' '); do
        way=$way/$part
        [ -e $way ] || break  # a checkout under /tmp, which is another here
        [ $way = $path ] || [ "$(find $way -maxdepth 0 -perm -001)" ] || {{
            mount -t tmpfs -o mode=755 tmpfs $way
            break
        }}
    done
done
number=0
for path in {kept}; do
    number=$((number + 1))
    [ -e $path ] || {{ mkdir -p $path; mount --bind /srv/kept/$number $path; }}
done
{more}
hostname {name}
touch /srv/host/up
exec {python} -c {first}
"""


def lacking(programs: Mapping[str, str]) -> str:
    """Which of these programs a machine lacks, with their packages; "" where it has all."""
    if sys.platform != "linux":
        return "it is not a Linux"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if missing := [f"{name} ({package})" for name, package in programs.items() if not _has(name)]:
        return f"it has no {', '.join(missing)}"
    made = subprocess.run(
        ["unshare", "--net", "--uts", "--ipc", "--pid", "--mount", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"it makes no namespaces: {made.stderr.strip()}" if made.returncode else ""


def _has(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None


@dataclass
class Host:
    """One of them, which runs after `boot`."""

    name: str
    number: int
    folder: Path
    """What it has for itself; it sees this as /srv/host."""
    network: "Network"
    more: str = ""
    """Further lines of shell that prepare it."""
    _holder: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Its address in the network."""
        return f"{SUBNET}.{self.number}"

    @property
    def pid(self) -> int:
        """Its first process, as this machine counts them."""
        assert self._holder
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        return int(children.read_text().split()[0])

    def boot(self) -> None:
        """Start it, and join it to the network."""
        (self.folder / "up").unlink(missing_ok=True)
        script = MOUNTS.format(
            folder=self.folder,
            shared=self.network.shared,
            home=self.home,
            kept=" ".join(KEPT),
            name=self.name,
            more=self.more,
            python=Path(sys.executable).resolve(),
            first=shlex.quote(FIRST_PROCESS),
        )
        holds = ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child=KILL"]
        own = ["--net", "--uts", "--ipc", "--pid", "--mount", "--propagation", "private"]
        log = (self.folder / "boot.log").open("wb")
        self._holder = subprocess.Popen(
            [*holds, *own, "bash", "-c", script], stderr=log, stdout=log
        )
        wait_until(lambda: (self.folder / "up").exists(), f"{self.name}: {self.folder}/boot.log")
        self.network.plug(self)

    @property
    def home(self) -> Path:
        """The home of its user."""
        return self.network.shared / "home" if self.network.one_home else self.folder / "home"

    def command(
        self,
        words: Sequence[object],
        *,
        root: bool = False,
        environment: Mapping[str, object] | None = None,
    ) -> list[str]:
        """A command of this machine that runs a command there."""
        who = ["--reuid", str(USER_ID), "--regid", str(USER_ID), "--clear-groups"]
        settings = {
            "HOME": "/root" if root else HOME,
            "USER": "root" if root else USER,
            "LANG": "C.UTF-8",
            "PATH": f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": IMPORTS,
            "RAY_USAGE_STATS_ENABLED": 0,
            **(environment or {}),
        }
        enters = ["nsenter", f"--target={self.pid}", "--net", "--uts", "--ipc", "--pid", "--mount"]
        return [
            *enters,
            "--",
            *([] if root else ["setpriv", *who]),
            "env",
            "-i",
            f"--chdir={'/' if root else HOME}",
            *(f"{name}={value}" for name, value in settings.items()),
            *map(str, words),
        ]

    def run(
        self,
        *words: object,
        root: bool = False,
        check: bool = True,
        environment: Mapping[str, object] | None = None,
        timeout: float = PATIENCE_S,
        text: str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command there to its end."""
        done = subprocess.run(
            self.command(words, root=root, environment=environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            input=text,
        )
        said = done.stdout + done.stderr
        assert not (check and done.returncode), f"{self.name}: {words}: {done.returncode}: {said}"
        return done

    def shell(self, script: str, **options: object) -> str:
        """Run lines of bash there, and return what they print."""
        return self.run("bash", "-c", script, **options).stdout.strip()  # type: ignore[arg-type]

    def start(
        self,
        *words: object,
        log: str,
        root: bool = False,
        environment: Mapping[str, object] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a command there; what it prints is in a file of its folder."""
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                self.command(words, root=root, environment=environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def log(self, name: str) -> str:
        """What a command has printed so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """End it and all that runs there, at once and without a word, as a power cut does."""
        if self._holder and self._holder.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._holder.wait()

    def cut(self) -> None:
        """Pull the cable."""
        self.network.port(self, "down")

    def mend(self) -> None:
        """Put the cable back."""
        self.network.port(self, "up")

    def processes(self, mark: str) -> list[int]:
        """The processes there whose command lines have these words, by their numbers there."""
        found = self.run("pgrep", "-f", "--", mark, check=False).stdout.split()
        return [int(one) for one in found]


class Network:
    """A switch, and the hosts that are connected by it."""

    def __init__(
        self, folder: Path, names: Sequence[str], *, one_home: bool = False, more: str = ""
    ) -> None:
        """With `one_home` all hosts have the same home, as on most clusters with SLURM."""
        self.folder = folder
        self.shared = folder / "shared"
        """What all hosts see as /srv/shared; the store in it is at `STORE`, too."""
        self.one_home = one_home
        self.store = self.shared / "store"
        for made in (self.store, self.shared / "home"):
            made.mkdir(parents=True)
            os.chown(made, USER_ID, USER_ID)
        self.hosts = {
            name: Host(name, number, folder / name, self, more)
            for number, name in enumerate(names, start=2)
        }
        self._switch = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
        )
        wait_until(lambda: _net(self._switch.pid) != _net(os.getpid()), "the switch")
        self._of_switch("ip", "link", "add", "switch", "type", "bridge")
        self._of_switch("ip", "link", "set", "switch", "up")
        for host in self.hosts.values():
            self._furnish(host)
            host.boot()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def _furnish(self, host: Host) -> None:
        etc = host.folder / "etc"
        etc.mkdir(parents=True)
        (host.folder / "home").mkdir()
        os.chown(host.folder / "home", USER_ID, USER_ID)
        known = Path("/etc/passwd").read_text()
        (etc / "passwd").write_text(f"{USER}:*:{USER_ID}:{USER_ID}::{HOME}:/bin/bash\n{known}")
        groups = Path("/etc/group").read_text()
        (etc / "group").write_text(f"{USER}:x:{USER_ID}:\n{groups}")
        all_names = "".join(f"{one.address} {one.name}\n" for one in self.hosts.values())
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{all_names}")
        (etc / "hostname").write_text(f"{host.name}\n")

    def plug(self, host: Host) -> None:
        """Connect a host that has just been started."""
        port = f"to-{host.name}"
        self._of_switch("ip", "link", "del", port, check=False)
        cable = ["type", "veth", "peer", "name", "eth0", "netns", str(host.pid)]
        self._of_switch("ip", "link", "add", port, *cable)
        self._of_switch("ip", "link", "set", port, "master", "switch", "up")
        for words in (
            "ip link set lo up",
            f"ip addr add {host.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {SUBNET}.1",  # leads nowhere, but says which address is its
        ):
            host.run(*words.split(), root=True)

    def port(self, host: Host, state: str) -> None:
        """Switch the port of a host up or down."""
        self._of_switch("ip", "link", "set", f"to-{host.name}", state)

    def shutdown(self) -> None:
        """End all hosts and the switch."""
        for host in self.hosts.values():
            host.kill()
        self._switch.kill()
        self._switch.wait()

    def _of_switch(self, *words: str, check: bool = True) -> None:
        enters = ["nsenter", f"--target={self._switch.pid}", "--net", "--", *words]
        subprocess.run(enters, check=check, capture_output=not check)


def _net(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def wait_until(
    holds: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S, every_s: float = 0.2
) -> None:
    """Return once something holds."""
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, f"not in {patience_s:g} s: {what}"
        time.sleep(every_s)
