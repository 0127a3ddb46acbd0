"""The check of each machine of a cluster before any trial is sent to it."""

from collections.abc import Iterator, Sequence

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lip_ray import __version__
from lip_ray.engine.node_report import NodeReport, node_report
from lip_ray.engine.resources import LaunchError
from lip_ray.store import Writer

SURVEY_S = 120.0
"""The seconds that a machine may take to answer: it starts a process and imports the store."""


def refuse_unready(store: str) -> list[str]:
    r"""The machines with an NVIDIA GPU on which CUDA MPS does not run.

    Every machine with cores for trials is asked. One that joins later checks itself with its first
    trial, which it then refuses. Raises LaunchError where a machine lacks this lip-ray, or does not
    see this very store.
    """
    with Writer.open(store).beacon() as name:
        reports = _node_reports(store, name)
    if problems := list(_problems(store, reports)):
        raise LaunchError("\n".join(problems))
    told = (report for report in reports.values() if isinstance(report, NodeReport))
    return [report.host for report in told if report.lacks_mps]


def _node_reports(store: str, beacon: str) -> dict[str, NodeReport | str]:
    """For each machine, its report, or why it did not answer. One that leaves the cluster
    meanwhile is left out: it may do so at any time, and checks itself when it is back."""
    nodes = _nodes_with_cores()
    reporting = ray.remote(num_cpus=0, max_retries=0)(node_report)
    asked = {
        node_id: reporting.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)
        ).remote(store, beacon)
        for node_id in nodes
    }
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=SURVEY_S)
    answers = {node_id: _answer(promise) for node_id, promise in asked.items()}
    there = _nodes_with_cores()
    return {
        nodes[node_id]: answer
        for node_id, answer in answers.items()
        if isinstance(answer, NodeReport) or node_id in there
    }


def _nodes_with_cores() -> dict[str, str]:
    """By id, host name and address of each machine that can have trials now."""
    return {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    }


def _answer(promise: "ray.ObjectRef[NodeReport]") -> NodeReport | str:
    try:
        return ray.get(promise, timeout=0)
    except GetTimeoutError:
        return f"no answer in {SURVEY_S:g} s"
    except RayError as error:
        return str(error).strip().splitlines()[-1]


def _problems(store: str, reports: dict[str, NodeReport | str]) -> Iterator[str]:
    for host, seen in reports.items():
        if isinstance(seen, str):
            yield f"{host} cannot run lip-ray: {seen}: install lip-ray {__version__} there"
        elif seen.version != __version__:
            yield (
                f"{host} has lip-ray {seen.version}, this machine {__version__}: "
                "install the same on all"
            )
    blind = [host for host, seen in reports.items() if not isinstance(seen, str) and seen.problem]
    if blind:
        yield (
            f"--store {store}: not shared with {_some(blind)}: give a folder that all machines of "
            "the cluster mount under this path, as NFS does"
        )


def _some(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    return ", ".join(hosts[:3]) + more
