"""Steps that are replayed on a GPU: the CPU says once what a step does, and then only how often."""

import logging
from collections.abc import Callable, Sequence

import torch

_log = logging.getLogger(__name__)

Step = Callable[[], None]

WARM_UP = 3
"""Steps before one is captured, in which libraries choose their algorithms and claim memory."""
WORTH_CAPTURING = 50
"""The steps from which on a fit is captured; shorter ones end before it has paid."""


def repeated(
    step: Step, *, times: int, device: torch.device, draws: Sequence[torch.Generator]
) -> Step:
    r"""A step that will be taken so many times: on CUDA a replayed one, elsewhere the step itself.

    The step must be the same work each time, and never make the host wait. It may draw from `draws`
    and from no other generator.
    """
    if device.type != "cuda" or times < WORTH_CAPTURING:
        return step
    return Replay(step, draws)


class Replay:
    """A step as a CUDA graph, captured after some real steps.

    Where it cannot be captured a warning says why, and all steps are launched one by one. A graph
    does what the step does, so results are the same.
    """

    def __init__(self, step: Step, draws: Sequence[torch.Generator]) -> None:
        self._step = step
        self._draws = draws
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._launches = 0
        self._refused = False

    def __call__(self) -> None:
        """Take the next step."""
        if self._graph is None and self._launches >= WARM_UP and not self._refused:
            self._graph = self._captured()
        if self._graph is None:
            self._launch()
        else:
            self._graph.replay()

    def _launch(self) -> None:
        """Take a step without a graph, on the stream on which it will be captured."""
        present = torch.cuda.current_stream()
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            self._step()
        present.wait_stream(self._stream)
        self._launches += 1

    def _captured(self) -> "torch.cuda.CUDAGraph | None":
        """The graph of a step, which is not taken; None where there can be none."""
        graph = torch.cuda.CUDAGraph()
        for draws in self._draws:
            graph.register_generator_state(draws)
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._step()
        except RuntimeError as error:
            self._refused = True
            _log.warning("steps are launched one by one, since none can be captured: %s", error)
            return None
        return graph
