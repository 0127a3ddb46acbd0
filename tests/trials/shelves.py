"""What trials have left for each other, in memory."""

from collections.abc import Sequence

from lip_ray.records import LayerMask, LevelRecord, StoredTensor


class Shelved:
    """The masks and weights in records, as a store would give them back."""

    def __init__(self, records: Sequence[LevelRecord]) -> None:
        self._masks = {(r.trial_id, at): m for r in records for at, m in r.masks.items()}
        self._weights = {(r.trial_id, at): w for r in records for at, w in r.weights.items()}

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """Of that very level."""
        return self._masks.get((trial_id, level))

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """Of that level or the nearest above."""
        levels = [at for name, at in self._weights if name == trial_id and at <= level]
        return self._weights[trial_id, max(levels)] if levels else None


NOTHING = Shelved(())
