"""The ladder of a trial that finds tickets: the weights each level begins with, and the masks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from lip_ray.pruning import AbstractPruner, Mask, UnrankableError
from lip_ray.records import LevelRecord
from lip_ray.trials.context import Context
from lip_ray.trials.recording import machine_columns, with_found
from lip_ray.trials.rewinding import FineTune, Reinit, Rewind, ToInit, ToStep


class AbstractLadder(ABC):
    """Prunes and rewinds between the fits of a trial, whatever network is fitted."""

    def __init__(
        self,
        trial_id: str,
        context: Context,
        *,
        pruner: AbstractPruner,
        rewind: Rewind,
        levels: int,
    ) -> None:
        self._trial_id = trial_id
        self._context = context
        self._pruner = pruner
        self._rewind = rewind
        self._last = levels - 1
        self._masks: dict[int, Mask] = {}
        self._later: Mapping[str, Tensor] | None = None
        """The weights that levels below the dense one begin with, where they result from a fit."""

    @property
    @abstractmethod
    def dense(self) -> Mask:
        """The mask that keeps everything."""

    @property
    @abstractmethod
    def initial(self) -> Mapping[str, Tensor]:
        """The weights that level 0 begins with."""

    @abstractmethod
    def fresh(self, level: int) -> Mapping[str, Tensor]:
        """Weights drawn anew for a level, from the distribution of the initial ones."""

    @abstractmethod
    def cut(self, level: int, mask: Mask) -> Mask:
        r"""The mask of a level, from the mask of the level above and the present weights.

        Raises UnrankableError where the weights have no order.
        """

    def mask(self, level: int) -> Mask | None:
        """The mask of a level, found in this run or stored; None where the level above left
        none."""
        if level == 0:
            return self.dense
        if level not in self._masks:
            stored = self._context.mask(self._trial_id, level)
            if stored is None:
                return None
            self._masks[level] = stored
        return self._masks[level]

    @property
    def snapshot_at(self) -> int | None:
        """The step of the dense fit whose weights later levels begin with; None without late
        rewinding."""
        return self._rewind.step if isinstance(self._rewind, ToStep) else None

    def start(self, level: int) -> Mapping[str, Tensor]:
        """The weights that a level begins with, before its mask."""
        if level == 0 or isinstance(self._rewind, ToInit):
            return self.initial
        if isinstance(self._rewind, Reinit):
            return self.fresh(level)
        if self._later is None:
            self._later = self._context.weights(self._trial_id, level)
        if self._later is None:
            raise LookupError(f"the weights that level {level} begins with are not stored")
        return self._later

    def fitted(
        self,
        level: int,
        weights: Callable[[], Mapping[str, Tensor]],
        snapshot: Mapping[str, Tensor] | None,
    ) -> None:
        """Keep what later levels begin with: the fitted weights, or those after step
        `snapshot_at`."""
        if isinstance(self._rewind, FineTune):
            self._later = weights()
        elif isinstance(self._rewind, ToStep) and level == 0:
            self._later = snapshot

    def prune(self, level: int, mask: Mask) -> dict[int, Mask]:
        r"""The masks that follow from this level's fit: the next one or, for one-shot pruning, all.

        Empty after the last level, and where the weights cannot be ranked or rewound to.
        """
        if level == 0 and isinstance(self._rewind, ToStep) and self._later is None:
            return {}
        following = range(level + 1, min(level + 1, self._last) + 1)
        if self._pruner.scores_at == "dense":
            following = range(1, self._last + 1) if level == 0 else range(0)
        found: dict[int, Mask] = {}
        for below in following:
            try:
                mask = self.cut(below, mask)
            except UnrankableError:
                break
            found[below] = mask
        self._masks |= found
        return found

    def completed(
        self, level: int, rows: Sequence[LevelRecord], masks: Mapping[int, Mask]
    ) -> tuple[LevelRecord, ...]:
        r"""The rows of a level with the masks and weights that were found with it.

        Rows are read off the network before it is pruned, as a pruner may change the network. The
        columns of the machine are read again, because the time and memory of a level include its
        pruning.
        """
        cost = machine_columns(self._context.device)
        known = {0: self.dense} | dict(masks) if level == 0 else masks
        return with_found(
            [replace(row, **cost) for row in rows], masks=known, weights=self.weights_known(level)
        )

    def weights_known(self, level: int) -> dict[int, Mapping[str, Tensor]]:
        """The weights that must be stored for later levels, by level; none where the seed draws
        them."""
        late = isinstance(self._rewind, FineTune) or (
            isinstance(self._rewind, ToStep) and level == 0
        )
        ended = level == self._last
        return {level + 1: self._later} if late and not ended and self._later is not None else {}
