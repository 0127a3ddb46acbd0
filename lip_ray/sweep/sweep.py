"""A sweep: a named, ordered set of trials, or a search whose points are trials."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lip_ray.mistakes import SweepError
from lip_ray.spec import ID_DIGITS
from lip_ray.sweep.draft import Draft
from lip_ray.sweep.draft import document as read_document
from lip_ray.sweep.expansion import Expansion
from lip_ray.sweep.run import Run
from lip_ray.sweep.search import Params, Search
from lip_ray.sweep.searched import checked_search, point_choices, search_id
from lip_ray.trials import AbstractTrial


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A named, ordered set of trials and how to run them; or a search, whose points are trials."""

    name: str
    trials: tuple[AbstractTrial, ...]
    """The trials in order. A search has none yet: its points decide which trials there will be."""
    run: Run
    search: Search | None = None
    search_id: str = ""
    """The first 16 hexadecimal digits of SHA-256 over what the values of a search depend on: the
    trial, what is tried in every point, the space and the objectives. A search goes on under the
    same id with more points, others to start from, or another sampler."""
    _expansion: Expansion | None = field(default=None, repr=False, compare=False)
    """What the points of a search are expanded from."""

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the ids of its trials, in order; of a
        search, its own id."""
        ids = ",".join(trial.id for trial in self.trials)
        return self.search_id or hashlib.sha256(ids.encode()).hexdigest()[:ID_DIGITS]

    @property
    def store(self) -> str:
        """Where its results go."""
        return self.run.store or f"results/{self.name}"

    @classmethod
    def from_yaml(cls, path: Path, *, overrides: Iterable[str] = (), quick: bool = False) -> Self:
        """The sweep in a file, after its `quick` block if asked and `dotted.path=value` overrides.

        Raises SweepError with every problem found.
        """
        return cls.build(
            read_document(path),
            source=str(path),
            folder=path.parent,
            overrides=overrides,
            quick=quick,
        )

    @classmethod
    def build(
        cls,
        document: object,
        *,
        source: str = "sweep",
        folder: Path = Path(),
        overrides: Iterable[str] = (),
        quick: bool = False,
    ) -> Self:
        """The sweep that a mapping like the YAML file's describes; its trial may be a spec.

        The sweep that it names as its sources is looked for from `folder`.

        Raises SweepError with every problem found.
        """
        draft = Draft.read(document, source, folder)
        if quick:
            draft.apply_quick()
        for override in overrides:
            draft.apply(override)
        expansion = Expansion(draft, draft.mistakes)
        search = checked_search(expansion)
        trials = () if search else expansion.trials()
        run = draft.checked_run()
        draft.mistakes.refuse()
        if not search:
            return cls(name=draft.name, trials=trials, run=run)
        return cls(
            name=draft.name,
            trials=(),
            run=run,
            search=search,
            search_id=search_id(search, expansion),
            _expansion=expansion,
        )

    def typical_trials(self) -> tuple[AbstractTrial, ...]:
        """Its trials; of a search, those of the first point to start from whose values go together,
        or where there is none, of one at an end of the space.
        """
        if self.search is None:
            return self.trials
        points = iter(self.search.bases())
        while True:
            try:
                return self.trials_at(next(points))
            except SweepError:
                continue  # one of them is right, or the search would have been refused

    def trials_at(self, params: Params) -> tuple[AbstractTrial, ...]:
        """The trials of a point of the search: each case with each point of the grid, in order.

        Raises SweepError where the values do not go together.
        """
        if self._expansion is None:
            raise ValueError(f"{self.name} is not a search")
        expansion = self._expansion.aside()
        trials = expansion.trials(point_choices(params))
        expansion.mistakes.refuse()
        return trials
