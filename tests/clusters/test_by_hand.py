"""The lines of docs/cluster.md for machines of one's own: a token, certificates, a firewall."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_sweep import SWEEP, Faults, hosts_of, levels
from hosts import HOME, IMPORTS, ROOT, STORE, Network, lacking, wait_until
from ssh_cluster import FIREWALL, NEEDED_BY_SSH, open_ports
from studies import assert_same

pytestmark = pytest.mark.clusters

PATIENCE_S = 400.0

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")

HOSTS = ("head", "w1")

NEEDED = {
    name: package
    for name, package in NEEDED_BY_SSH.items()
    if name not in ("sshd", "ssh", "ssh-keygen", "rsync")
}


def block(beginning: str) -> list[str]:
    """The lines of the page's block of commands whose first line begins so, without remarks."""
    [found] = [
        one
        for one in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
        if one.startswith(beginning)
    ]
    lines = found.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+# .*", "", line) for line in lines]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two hosts with a firewall that lets in the ports of the page."""
    if lacks := lacking(NEEDED):
        pytest.skip(f"no hosts can be had here: {lacks}")
    made = Network(tmp_path_factory.mktemp("hand") / "net", HOSTS)
    try:
        for name in HOSTS:
            rules = FIREWALL.format(ports=", ".join(open_ports(name)))
            made[name].run("nft", "-f", "-", root=True, text=rules)
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def tls(network: Network) -> dict[str, object]:
    """The settings of each host: its token, and the certificates that the page's lines make."""
    authority, *for_each = block("openssl req -x509")
    head, other = network["head"], network["w1"]
    head.shell(f"mkdir -p ~/tls && cd ~/tls && {authority}")
    for host in (head, other):
        lines = "\n".join(for_each).replace("ADDRESS", host.address)
        head.shell(f"cd ~/tls && {lines}")
        for name in ("node.crt", "node.key", "ca.crt"):
            made = (head.folder / "home" / "tls" / name).read_bytes()
            host.run("bash", "-c", f"mkdir -p ~/own && cat > ~/own/{name}", text=made.decode())
    token = "0123456789abcdef" * 4
    for host in (head, other):
        host.run(
            "bash",
            "-c",
            "mkdir -p ~/.ray && cat > ~/.ray/auth_token && chmod 600 ~/.ray/auth_token",
            text=token,
        )
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_USE_TLS": 1,
        "RAY_TLS_SERVER_CERT": HOME / "own" / "node.crt",
        "RAY_TLS_SERVER_KEY": HOME / "own" / "node.key",
        "RAY_TLS_CA_CERT": HOME / "own" / "ca.crt",
        "RAY_health_check_timeout_ms": 60_000,
        "PYTHONPATH": f"{ROOT}/tests/ray/faults:{IMPORTS}",
        "LIP_FAULTS": "/srv/shared/faults",
    }


def test_a_sweep(network: Network, tls: dict[str, object], undisturbed: Path) -> None:
    """It runs on the second host alone, as the head has no cores; nobody else is answered."""
    Faults(network).release()
    _, on_head, on_others = block("export RAY_AUTH_MODE=token")
    head, other = network["head"], network["w1"]
    (head.folder / "home" / "hosts.yaml").write_text(SWEEP)
    head.shell(on_head, environment=tls, timeout=PATIENCE_S)
    other.shell(on_others.replace("HEAD", head.address), environment=tls, timeout=PATIENCE_S)
    store = network.store / "hand"
    words = ("lip", "run", "hosts.yaml", "--address", "auto", "--store", STORE / "hand")
    running = head.start(*words, log="lip.log", environment=tls)
    wait_until(lambda: levels(store) >= 1, head.log("lip.log"), patience_s=PATIENCE_S)
    ask = f"import ray; ray.init('{head.address}:6379', log_to_driver=False); print('joined')"
    for without in ({"RAY_USE_TLS": 0}, {"RAY_AUTH_TOKEN": "f" * 64}):
        settings = tls | without
        refused = other.run(
            *("timeout", "60", "python", "-c", ask),
            environment=settings,
            check=False,
            timeout=PATIENCE_S,
        )
        assert "joined" not in refused.stdout, without
    assert running.wait(timeout=PATIENCE_S) == 0, head.log("lip.log")
    assert hosts_of(store) == {"w1"}
    assert_same(store, undisturbed)
    for host in (head, other):
        host.shell("ray stop", environment=tls)
        assert not host.processes(shlex.quote("raylet"))
