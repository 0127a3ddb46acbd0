"""The process that speaks to Weights & Biases: events come in as lines of JSON, answers go out.

An event is `["begin" | "record" | "end", id of a trial, what the client is told]`, its answer what
went wrong, or "". Runs that have ended are sent side by side, as each may take a while.
"""

import json
import os
import sys
import threading
import time
from typing import Any

SETTINGS = {
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "console": "off",
}
"""It is not told the host's programs, arguments, hardware and output, only levels."""


class Runs:
    """The runs that are open, by id of their trial."""

    def __init__(self, client: Any) -> None:
        """`client` is the module `wandb`."""
        self._client = client
        self._open: dict[str, Any] = {}
        self._ending: list[threading.Thread] = []

    def begin(self, trial_id: str, told: dict[str, Any]) -> None:
        """Open a trial's run, or resume that of another day; one that is open stays."""
        if trial_id not in self._open:
            self._open[trial_id] = self._client.init(
                id=trial_id,
                resume="allow",
                reinit="create_new",
                allow_val_change=True,
                settings=SETTINGS,
                **told,
            )

    def record(self, trial_id: str, told: dict[str, Any]) -> None:
        """Log a step. A run that could not be opened has none: that was an answer already."""
        if run := self._open.get(trial_id):
            run.log(**told)

    def end(self, trial_id: str, told: dict[str, Any]) -> None:
        """Begin to send what is left of a run."""
        if run := self._open.pop(trial_id, None):
            self._ending.append(threading.Thread(target=run.finish, daemon=True))
            self._ending[-1].start()

    def close(self, wait_s: float) -> None:
        """End all runs, and wait so long for what is left."""
        until = time.monotonic() + wait_s
        for trial_id in list(self._open):
            self.end(trial_id, {})
        for thread in self._ending:
            thread.join(max(0.0, until - time.monotonic()))


def main() -> None:
    """Serve one run of lip-ray, until it closes this process's input or ends."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the client prints as it likes
    os.dup2(nowhere, 2)
    import wandb

    runs = Runs(wandb)
    for line in sys.stdin:
        event, trial_id, told = json.loads(line)
        problem = ""
        try:
            getattr(runs, event)(trial_id, told)
        except Exception as error:
            problem = str(error) or repr(error)
        print(json.dumps(problem), file=answers, flush=True)
    runs.close(float(sys.argv[1]))
    os._exit(0)  # the client would wait for what it could not send


if __name__ == "__main__":
    main()
