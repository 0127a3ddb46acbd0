"""Four hosts that know one another by SSH alone: somebody's laptop, a head and two workers.

Each has a firewall that lets in what docs/cluster.md names, and nothing else.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from hosts import HOME, NEEDED, PATIENCE_S, ROOT, USER, USER_ID, Network

NEEDED_BY_SSH = NEEDED | {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
    "nft": "nftables",
    "openssl": "openssl",
}

WORKERS = ("w1", "w2")
RAY_HOSTS = ("head", *WORKERS)

SSHD_CONFIG = f"""
HostKey /srv/host/host_key
AuthorizedKeysFile {HOME}/.ssh/authorized_keys
PasswordAuthentication no
UsePAM no
PidFile /run/sshd.pid
"""

FIREWALL = """
table inet cluster {{
    chain input {{
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto icmp accept
        meta l4proto ipv6-icmp accept
        tcp dport {{ {ports} }} accept
        counter name refused
    }}
    counter refused {{ }}
}}
"""

BASHRC = """
export PYTHONPATH={faults} LIP_FAULTS=/srv/shared/faults RAY_USAGE_STATS_ENABLED=0
export RAY_health_check_timeout_ms=60000
"""
"""What a test adds: a busy machine's nodes answer late."""


def open_ports(host: str) -> list[str]:
    """The ports that docs/cluster.md says are open to other hosts, of the rows with fixed ones."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    found: list[str] = []
    for ports, on in re.findall(r"^\| ([\d,– ]+) \| (all|head) \|", page, re.MULTILINE):
        if on == "all" or host == "head":
            found += [port.strip().replace("–", "-") for port in ports.split(",")]
    return found


class SshCluster:
    """The hosts. Nothing of Ray or lip-ray runs before `ray up`, or whatever a test starts."""

    def __init__(self, folder: Path, *, faults: bool = True) -> None:
        self.network = Network(folder, ("laptop", *RAY_HOSTS))
        self.laptop, self.head = self.network["laptop"], self.network["head"]
        self._with_faults = faults
        key = self.network["laptop"].folder / "home" / ".ssh" / "id_ed25519"
        key.parent.mkdir(mode=0o700)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        for name in self.network.hosts:
            self._open_to(name, key.with_suffix(".pub").read_text())
        self._own(self.laptop.folder / "home")

    def serve(self, name: str) -> None:
        """Start the SSH server and the firewall of a host that has just been booted."""
        host = self.network[name]
        if name != "laptop":
            rules = FIREWALL.format(ports=", ".join(open_ports(name)))
            host.run("nft", "-f", "-", root=True, text=rules)
        host.start("/usr/sbin/sshd", "-D", "-f", "/srv/host/sshd_config", log="sshd.log", root=True)

    def refused(self, name: str) -> int:
        """How many packets the firewall of a host has kept out."""
        said = self.network[name].run(
            "nft", "list", "counter", "inet", "cluster", "refused", root=True
        )
        return int(re.search(r"packets (\d+)", said.stdout)[1])  # type: ignore[index]

    def check_out(self, sweep: str) -> None:
        """Give the laptop what the first steps of docs/cluster.md make there."""
        place = self.laptop.folder / "home" / "lip-ray"
        (place / "clusters").mkdir(parents=True)
        shutil.copy(ROOT / "constraints.txt", place)
        (place / "hosts.yaml").write_text(sweep)
        source = self.network.folder / "source"
        kept_out = shutil.ignore_patterns(".*", "build", "*.egg-info", "results", "dist")
        shutil.copytree(ROOT, source, ignore=kept_out)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "wheel",
                "-q",
                "--no-deps",
                "--wheel-dir",
                place / "dist",
                source,
            ],
            check=True,
        )
        edited = yaml.safe_load((ROOT / "clusters" / "on_premises.yaml").read_text())
        addresses = [self.network[name].address for name in WORKERS]
        edited["provider"] |= {"head_ip": self.head.address, "worker_ips": addresses}
        edited["max_workers"] = len(addresses)
        edited["auth"] = {"ssh_user": USER, "ssh_private_key": "~/.ssh/id_ed25519"}
        (place / "clusters" / "on_premises.yaml").write_text(
            yaml.safe_dump(edited, sort_keys=False)
        )
        self._own(self.laptop.folder / "home")

    def furnish(self) -> None:
        """Give each host of Ray an environment with all that lip-ray needs, but not lip-ray.

        There is no way from there to where it could be fetched.
        """
        made = self.network.folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
        [packages] = made.glob("lib/python*/site-packages")
        known = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "shared.pth").write_text("\n".join(known))
        for name, module in (("ray", "ray.scripts.scripts"), ("pip", "pip._internal.cli.main")):
            script = made / "bin" / name
            script.write_text(
                f"#!{HOME}/lip-ray/venv/bin/python\n"
                f"from {module} import main\nraise SystemExit(main())\n"
            )
            script.chmod(0o755)
        for name in RAY_HOSTS:
            place = self.network[name].folder / "home" / "lip-ray"
            shutil.copytree(made, place / "venv", symlinks=True)
            self._own(place)

    def up(self, script: str, *, timeout: float = PATIENCE_S) -> str:
        """Run lines of bash on the laptop, in its checkout, as the documentation has them."""
        lines = f"cd lip-ray; export RAY_AUTH_MODE=token; {script}"
        return self.laptop.shell(lines, timeout=timeout, environment={"PYTHONPATH": ""})

    def start(self, script: str, log: str) -> "subprocess.Popen[bytes]":
        """Start lines of bash likewise."""
        lines = f"cd lip-ray; export RAY_AUTH_MODE=token; {script}"
        return self.laptop.start("bash", "-c", lines, log=log, environment={"PYTHONPATH": ""})

    def shutdown(self) -> None:
        """End it with its hosts."""
        self.network.shutdown()

    def _open_to(self, name: str, key: str) -> None:
        host = self.network[name]
        home = host.folder / "home"
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        (home / ".ssh" / "authorized_keys").write_text(key)
        given = BASHRC.format(faults=ROOT / "tests" / "ray" / "faults") if self._with_faults else ""
        (home / ".bashrc").write_text(given + Path("/etc/skel/.bashrc").read_text())
        self._own(home)
        made = host.folder / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made], check=True)
        (host.folder / "sshd_config").write_text(SSHD_CONFIG)
        self.serve(name)

    def _own(self, folder: Path) -> None:
        words = ["chown", "-R", "--no-dereference", f"{USER_ID}:{USER_ID}", folder]
        subprocess.run(words, check=True)
