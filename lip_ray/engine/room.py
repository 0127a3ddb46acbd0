"""How many trials fit on this machine at once, and on what."""

from dataclasses import dataclass
from typing import Literal, Self

from lip_ray.engine.runtime import available_cpus, available_gpus
from lip_ray.errors import UserError
from lip_ray.running import Run


class LaunchError(UserError):
    """The machine lacks what the sweep's `run` block asks for."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """The device of all trials, and how many of them run beside each other."""

    device: Literal["cpu", "cuda"]
    trials_at_once: int

    @classmethod
    def of(cls, run: Run) -> Self:
        """What there is for a `run` block here. Raises LaunchError where that is nothing."""
        cpus, gpus = available_cpus(), available_gpus()
        if run.cpus > cpus:
            raise LaunchError(f"run.cpus: a trial asks for {run.cpus} cores, but there are {cpus}")
        if run.device == "cuda" and not gpus:
            raise LaunchError(
                "run.device: cuda is asked for, but there is no GPU here; allowed: auto, cpu"
            )
        if run.device == "cpu" or not gpus:
            return cls(device="cpu", trials_at_once=_at_most(run, cpus // run.cpus))
        if run.gpus > gpus:
            raise LaunchError(f"run.gpus: a trial asks for {run.gpus:g} GPUs, but there are {gpus}")
        # A trial never has parts of two GPUs, so two trials of 0.4 share one and 0.2 lies idle.
        sharing = gpus * int(1 / run.gpus) if run.gpus <= 1 else int(gpus / run.gpus)
        return cls(device="cuda", trials_at_once=_at_most(run, min(sharing, cpus // run.cpus)))

    @property
    def line(self) -> str:
        """The room in words."""
        return f"{self.trials_at_once} trials at once on {self.device}"

    def resources(self, run: Run) -> dict[str, float]:
        """What Ray is to reserve for one trial."""
        gpus = {"gpu": run.gpus} if self.device == "cuda" else {}
        return {"cpu": float(run.cpus)} | gpus


def _at_most(run: Run, trials: int) -> int:
    return min(trials, run.concurrent or trials)
