"""A sweep: a named, ordered set of trials, or a search whose points are trials."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lip_ray.mistakes import SweepError
from lip_ray.mistakes import document as read_document
from lip_ray.spec import ID_DIGITS
from lip_ray.sweep.draft import Draft
from lip_ray.sweep.expansion import Expansion, store_of_sources
from lip_ray.sweep.run import Run
from lip_ray.sweep.search import Params, Search
from lip_ray.sweep.searched import checked_search, point_choices, search_id
from lip_ray.trials import AbstractTrial


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A named, ordered set of trials and how to run them; or a search, whose points are trials."""

    name: str
    trials: tuple[AbstractTrial, ...]
    """The trials in order. A search has none at first, as its trials depend on its points."""
    run: Run
    sources_store: str | None = None
    """The store of the sweep that its `sources` come from; None without one."""
    search: Search | None = None
    search_id: str = ""
    """The first 16 hexadecimal digits of SHA-256 over what the scores of a search depend on: the
    trial, the axes of all points, the space and the objectives. More points, other starting points
    or another sampler leave it as it is."""
    _expansion: Expansion | None = field(default=None, repr=False, compare=False)
    """The expansion that the points of a search are made of."""

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the ids of its trials, in order; for a
        search, its own id."""
        ids = ",".join(trial.id for trial in self.trials)
        return self.search_id or hashlib.sha256(ids.encode()).hexdigest()[:ID_DIGITS]

    @property
    def store(self) -> str:
        """The store that its results are written to."""
        return self.run.store_of(self.name)

    @classmethod
    def from_yaml(cls, path: Path, *, overrides: Iterable[str] = (), quick: bool = False) -> Self:
        r"""The sweep in a file, after its `quick` block if asked and `dotted.path=value` overrides.

        Raises SweepError with every mistake found.
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
        r"""The sweep that a mapping like the YAML file's describes; its trial may be a spec.

        A sweep under `sources` is found relative to `folder`. Raises SweepError with every mistake
        found.
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
        sources_store = store_of_sources(draft)
        if not search:
            return cls(name=draft.name, trials=trials, run=run, sources_store=sources_store)
        return cls(
            name=draft.name,
            trials=(),
            run=run,
            sources_store=sources_store,
            search=search,
            search_id=search_id(search, expansion),
            _expansion=expansion,
        )

    def typical_trials(self) -> tuple[AbstractTrial, ...]:
        """Its trials. For a search, those of the first starting point whose values go together or,
        without one, of a point at an end of the space."""
        if self.search is None:
            return self.trials
        points = iter(self.search.bases())
        while True:
            try:
                return self.trials_at(next(points))
            except SweepError:
                continue  # one of them is right, or the search would have been refused

    def trials_at(self, params: Params) -> tuple[AbstractTrial, ...]:
        r"""The trials of a point of the search: each case with each point of the grid, in order.

        Raises SweepError where the values do not go together.
        """
        if self._expansion is None:
            raise ValueError(f"{self.name} is not a search")
        expansion = self._expansion.aside()
        trials = expansion.trials(point_choices(params))
        expansion.mistakes.refuse()
        return trials
