"""A search as seen by Optuna: asked and told over the store, which alone keeps its state."""

import json
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from statistics import fmean, median
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from lip_ray import __version__
from lip_ray.records import Outcome, PointRecord, PointState, ScoreRecord
from lip_ray.rng import keyed
from lip_ray.store import Reader, StoreError, Writer
from lip_ray.sweep import Sweep, SweepError
from lip_ray.sweep.search import (
    AbstractDomain,
    Choice,
    FloatRange,
    IntRange,
    Last,
    Nsga2,
    Numbered,
    Objective,
    Params,
    RandomPoints,
    Sampler,
    Tpe,
    key_of,
    nearest,
)
from lip_ray.trials import AbstractTrial, from_json

optuna.logging.set_verbosity(optuna.logging.WARNING)

TRIES = 10
"""How often a sampler may propose a point that has been drawn before, until one is drawn at
random."""
UNUSABLE = (Outcome.DIVERGED, Outcome.FAILED)
"""Outcomes of a level whose numbers mean nothing."""

STATES: dict[PointState, TrialState] = {
    "complete": TrialState.COMPLETE,
    "collapsed": TrialState.COMPLETE,  # and beyond a constraint, so that it is on no front
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the space to evaluate, and its trials."""

    number: int
    params: Params
    trials: tuple[AbstractTrial, ...]


class Study:
    r"""Chooses the next point of a search from the results in the store.

    A process that is killed resumes with the same points: points without a score come first, and
    what the sampler draws for a point depends on its number and on the store, never on the process.
    """

    def __init__(self, sweep: Sweep, reader: Reader, writer: Writer) -> None:
        if sweep.search is None:
            raise ValueError(f"{sweep.name} is not a search")
        self._sweep, self._search = sweep, sweep.search
        self._reader, self._writer = reader, writer
        self._start = [self._outer(self._inner(point)) for point in self._search.start]
        self._points: dict[int, PointRecord] = {}
        self._scores: dict[int, ScoreRecord] = {}
        self._shared = False
        """Whether another process was seen to draw points of this search too."""
        self._handed: set[int] = set()
        """Numbers of the points that this process was given."""
        self._places: dict[str, tuple[int, int]] = {}
        """For each trial, the number of its point and its index among the point's trials."""
        self._reached: dict[tuple[int, int], list[float]] = defaultdict(list)
        """By index of a trial and level, the selected PSNRs of completed points."""
        self._read()
        self._waiting = deque(self._untold())
        if self._search.stop_hopeless:
            self._learn([n for n, score in self._scores.items() if score.state == "complete"])

    @property
    def total(self) -> int:
        """The number of points of the search."""
        return self._search.total

    @property
    def asked(self) -> int:
        """The number of points that have been drawn."""
        return sum(number < self.total for number in self._points)

    @property
    def told(self) -> int:
        """The number of points that have a score."""
        return sum(number < self.total for number in self._scores)

    def ask(self) -> Point | None:
        r"""The next point to evaluate; None when all have been drawn.

        Stored points without a score come first. A point whose values do not go together is
        recorded as failed and skipped.
        """
        while self._waiting:
            point = self._opened(self._waiting.popleft())
            if point:
                return point
        while len(self._points) < self.total:
            number = max(self._points, default=-1) + 1
            record = self._record(number, self._params(number))
            if not self._writer.write_point(record):
                self._shared = True
                self._read()
                continue
            self._points[number] = record
            point = self._opened(number)
            if point:
                return point
        return self._left_over() if self._shared else None

    def tell(self, number: int, *, problem: str = "", stopped: str = "") -> ScoreRecord:
        r"""Score a point by the results of its trials, all of which must be complete in the store.

        With `problem` it failed for that reason, with `stopped` it was stopped for that one. Raises
        StoreError where a level is missing.
        """
        if problem:
            return self._score(number, "failed", reason=problem)
        if stopped:
            return self._score(number, "stopped", reason=stopped)
        found = self._found(self._points[number])
        score = self._score(number, found.state, values=found.values, reason=found.reason)
        if self._search.stop_hopeless and score.state == "complete":
            self._learn([number])
        return score

    def hopeless(self, trial_id: str, level: int, psnr_selected_db: float | None) -> str | None:
        r"""Why a trial is to be stopped after a level; None where it may continue.

        `psnr_selected_db` is the mean over its images. Starting points, which the search is
        compared with, and the sources of a point's trials always continue.
        """
        rule, place = self._search.stop_hopeless, self._places.get(trial_id)
        if rule is None or place is None or psnr_selected_db is None:
            return None
        point, position = self._points[place[0]], place[1]
        if not rule.from_level <= level < point.levels[position] - 1:
            return None
        reached = self._reached[position, level]
        if len(reached) < rule.after or any(_agrees(point, start) for start in self._start):
            return None
        usual = median(reached)
        if psnr_selected_db >= usual - rule.margin_db:
            return None
        return (
            f"{psnr_selected_db:.2f} dB at level {level} is more than {rule.margin_db:g} dB below "
            f"{usual:.2f} dB, the median of {len(reached)} points there"
        )

    def before(self, number: int, attempt: int = 0) -> optuna.Study:
        r"""The Optuna study of all other points, from which the point with this number is drawn.

        Unscored points are running; collapsed ones are complete and violate a constraint.
        """
        seed = _seed(self._search.sampler.seed, number, attempt)
        study = optuna.create_study(
            directions=[objective.direction for objective in self._search.objectives],
            sampler=_sampler(self._search.sampler, seed),
        )
        for point in sorted(self._points.values(), key=lambda point: point.number):
            study.add_trial(self._known(point, self._scores.get(point.number)))
        return study

    def _read(self) -> None:
        """Read all points and scores of this search from the store."""
        key = self._sweep.name, self._sweep.search_id
        self._points = {point.number: point for point in self._reader.points(*key)}
        self._scores = self._reader.scores(*key)

    def _untold(self) -> list[int]:
        wanted = range(self.total)
        return [n for n in self._points if n in wanted and n not in self._scores]

    def _left_over(self) -> Point | None:
        """A point that another process drew and has not scored, as that process may be dead."""
        self._read()
        left = (self._opened(n) for n in self._untold() if n not in self._handed)
        return next((point for point in left if point), None)

    def _opened(self, number: int) -> Point | None:
        """The point, after registering its trials; None where it has none."""
        record = self._points[number]
        self._handed.add(number)
        if record.problem:
            self._score(number, "failed", reason=record.problem)
            return None
        self._places |= {trial_id: (number, i) for i, trial_id in enumerate(record.trial_ids)}
        trials = tuple(from_json(spec) for spec in record.specs)
        return Point(number=number, params=json.loads(record.params), trials=trials)

    def _record(self, number: int, params: Params) -> PointRecord:
        problem, trials = "", tuple[AbstractTrial, ...]()
        try:
            trials = self._sweep.trials_at(params)
        except SweepError as error:
            problem = "; ".join(map(str, error.problems))
        return PointRecord(
            search=self._sweep.name,
            search_id=self._sweep.search_id,
            number=number,
            params=key_of(params),
            objectives=json.dumps([o.model_dump(mode="json") for o in self._search.objectives]),
            trial_ids=tuple(trial.id for trial in trials),
            kinds=tuple(trial.kind for trial in trials),
            specs=tuple(trial.model_dump_json() for trial in trials),
            levels=tuple(trial.levels for trial in trials),
            problem=problem,
            lip_ray_version=__version__,
            asked_at=_now(),
        )

    def _score(
        self, number: int, state: PointState, *, values: Sequence[float] = (), reason: str = ""
    ) -> ScoreRecord:
        """Write the score of a point, unless another process wrote one before."""
        score = ScoreRecord(
            search=self._sweep.name,
            search_id=self._sweep.search_id,
            number=number,
            state=state,
            values=tuple(values),
            reason=reason,
            told_at=_now(),
        )
        if self._writer.write_score(score):
            self._scores[number] = score
        else:
            self._read()
        return self._scores[number]

    def _params(self, number: int) -> Params:
        """A point that has not been drawn before: a starting point, or one from the sampler."""
        asked = {point.params for point in self._points.values()}
        fixed = next((start for start in self._start if not self._started(start)), {})
        for attempt in count():
            guided = attempt < TRIES
            study = self.before(number, attempt) if guided else self._by_chance(number, attempt)
            if fixed and guided:
                study.enqueue_trial(self._inner(fixed))
            params = self._outer(study.ask(self._distributions()).params)
            if key_of(params) not in asked:
                return params
        raise AssertionError  # no more points are asked for than there are

    def _started(self, start: Params) -> bool:
        """Whether a starting point has been drawn."""
        return any(_agrees(point, start) for point in self._points.values())

    def _by_chance(self, number: int, attempt: int) -> optuna.Study:
        seed = _seed(self._search.sampler.seed, number, attempt)
        return optuna.create_study(sampler=RandomSampler(seed=seed))

    def _known(self, point: PointRecord, score: ScoreRecord | None) -> FrozenTrial:
        """A point as an Optuna trial."""
        state = STATES[score.state] if score else TrialState.RUNNING
        complete = score is not None and state == TrialState.COMPLETE
        return create_trial(
            state=state,
            params=self._inner(json.loads(point.params)),
            distributions=self._distributions(),
            values=score.values if score and complete else None,
            constraints={"collapsed": float(score.state == "collapsed")}
            if score and complete
            else None,
        )

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {path: _distribution(domain) for path, domain in self._search.space.items()}

    def _inner(self, params: Params) -> Params:
        """A point in Optuna's values: for choices, the index in the list."""
        return {
            path: domain.values.index(value) if isinstance(domain, Choice) else value
            for path, value in params.items()
            for domain in [self._search.space[path]]
        }

    def _outer(self, params: Params) -> Params:
        return {path: _value(self._search.space[path], drawn) for path, drawn in params.items()}

    def _found(self, point: PointRecord) -> "_Found":
        """The result of a point, from the rows of its trials."""
        rows = self._rows([point])
        ladders = [_Ladder(trial_id, rows[trial_id]) for trial_id in point.trial_ids]
        for ladder, levels in zip(ladders, point.levels, strict=True):
            ladder.refuse_incomplete(levels)
        values: list[float] = []
        collapsed: list[str] = []
        for objective in self._search.objectives:
            try:
                levels_used = [ladder.level(objective) for ladder in ladders]
                parts = [ladder.value(objective) for ladder in ladders]
            except _UnusableError as error:
                return _Found("failed", reason=str(error))
            collapsed += [
                f"level {level} of {ladder.trial_id} collapsed"
                for ladder, level in zip(ladders, levels_used, strict=True)
                if ladder.collapsed(level)
            ]
            values.append(fmean(parts))
        reason = "; ".join(dict.fromkeys(collapsed))
        return _Found("collapsed" if collapsed else "complete", tuple(values), reason)

    def _learn(self, numbers: Iterable[int]) -> None:
        """Add the selected PSNRs of completed points to `_reached`."""
        points = [self._points[number] for number in numbers]
        rows = self._rows(points)
        for point in points:
            for position, trial_id in enumerate(point.trial_ids):
                ladder = _Ladder(trial_id, rows[trial_id])
                for level in ladder.levels:
                    psnrs = [row["psnr_selected_db"] for row in ladder.levels[level]]
                    if None not in psnrs:
                        self._reached[position, level].append(fmean(psnrs))

    def _rows(self, points: Sequence[PointRecord]) -> Mapping[str, list[Row]]:
        """The rows of the points' levels in the store, by trial."""
        ids = sorted({trial_id for point in points for trial_id in point.trial_ids})
        rows = defaultdict(list)
        if ids:
            listed = ", ".join(f"'{trial_id}'" for trial_id in ids)
            for row in self._reader.sql(f"from levels where trial_id in ({listed})").to_pylist():
                rows[row["trial_id"]].append(row)
        return rows


@dataclass(frozen=True)
class _Found:
    """The result of a point."""

    state: PointState
    values: tuple[float, ...] = ()
    reason: str = ""


class _UnusableError(Exception):
    """A trial has no number for an objective; the message says why."""


class _Ladder:
    """The rows of one trial in the store, by level."""

    def __init__(self, trial_id: str, rows: Sequence[Row]) -> None:
        self.trial_id = trial_id
        self.levels: dict[int, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: int(row["level"])):
            self.levels[row["level"]].append(row)

    def refuse_incomplete(self, levels: int) -> None:
        """Raise StoreError where a level is missing."""
        missing = next((level for level in range(levels) if level not in self.levels), None)
        if missing is not None:
            raise StoreError(f"the store lacks level {missing} of trial {self.trial_id}")

    def level(self, objective: Objective) -> int:
        """The level that an objective is about."""
        wanted = objective.level
        if isinstance(wanted, Last):
            return max(self.levels)
        if isinstance(wanted, Numbered):
            return wanted.number
        densities = [rows[0]["density"] for rows in self.levels.values()]
        place = nearest(densities, wanted.density)
        if place is None:
            raise _UnusableError(
                f"no level of {self.trial_id} has a density within 10 % of {wanted.density:g}"
            )
        return list(self.levels)[place]

    def value(self, objective: Objective) -> float:
        """The value of an objective: the mean over images, or all seconds up to its level."""
        level, column = self.level(objective), objective.column
        rows = self.levels[level]
        for row in rows:
            if row["outcome"] in UNUSABLE:
                raise _UnusableError(
                    f"level {level} of {self.trial_id} {row['outcome']}: {row['reason']}"
                )
        if column == "fit_s":
            return math.fsum(
                r["fit_s"] for n, part in self.levels.items() if n <= level for r in part
            )
        numbers = [row[column] for row in rows]
        if any(number is None or not math.isfinite(number) for number in numbers):
            raise _UnusableError(f"level {level} of {self.trial_id} has no {column}")
        return fmean(numbers)

    def collapsed(self, level: int) -> bool:
        """Whether the fit of one of the level's images collapsed."""
        return any(row["outcome"] == Outcome.COLLAPSED for row in self.levels[level])


class _Generations(NSGAIISampler):
    """NSGA-II whose generations follow from the order of the points alone, so that none is lost
    with a killed process."""

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The number of full generations."""
        return len(_complete(study)) // self._size

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The points of a generation, in their order."""
        return _complete(study)[generation * self._size : (generation + 1) * self._size]

    @property
    def _size(self) -> int:
        assert self.population_size is not None
        return self.population_size


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _sampler(spec: Sampler, seed: int) -> BaseSampler:
    if isinstance(spec, Tpe):
        return TPESampler(seed=seed, n_startup_trials=spec.startup, constant_liar=True)
    if isinstance(spec, Nsga2):
        return _Generations(population_size=spec.population, seed=seed)
    assert isinstance(spec, RandomPoints)
    return RandomSampler(seed=seed)


def _seed(seed: int, number: int, attempt: int) -> int:
    """The seed of the draws for one point; Optuna takes 32 bits."""
    drawn = keyed(seed, "search", image=str(attempt), level=number)
    return drawn.initial_seed() % 2**32


def _distribution(domain: AbstractDomain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(tuple(range(domain.size)))
    if isinstance(domain, FloatRange):
        return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    assert isinstance(domain, IntRange)
    return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _value(domain: AbstractDomain, drawn: Any) -> Any:
    """A value that a sampler drew, as the field takes it."""
    if isinstance(domain, Choice):
        return domain.values[drawn]
    return domain.rounded(drawn) if isinstance(domain, FloatRange) else drawn


def _agrees(point: PointRecord, start: Params) -> bool:
    """Whether a point has all the values that a starting point gives."""
    params = json.loads(point.params)
    return all(params[path] == value for path, value in start.items())


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
