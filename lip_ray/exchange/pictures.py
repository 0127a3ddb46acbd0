"""Restored images of a store at full size: those that are stored, or fitted again from the seed."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lip_ray.allocator import keep_freed_memory
from lip_ray.data.decoding import decoded
from lip_ray.data.encoding import Bits
from lip_ray.data.images import Picture, is_deep
from lip_ray.errors import UserError
from lip_ray.exchange.tickets import stored_trial
from lip_ray.records import FullPicture, LevelRecord, Outcome, Standing
from lip_ray.store import Reader, trial_named
from lip_ray.trials import AnyTrial, Context, Trajectory, Transfer, refit
from lip_ray.trials.bench import AbstractRestoration
from lip_ray.trials.needed import TICKETS, needed_of_itself, needed_of_sources

Which = Literal["selected", "peak", "final", "measured", "clean", "error"]
"""What to see of a fit: `error` is the absolute difference between the selected image and the clean
one."""

REFERENCE = re.compile(r"([0-9a-f]{4,16})(?:@([0-9]{1,9}))?")
"""A reference to a fit: at least four digits of a trial's id and, if not the last one, a level."""

RESTORING = ("trajectory", "transfer", "reconstruction")
"""The kinds of trials that restore images."""

GIVEN = ("measured", "clean")
"""What a fit begins with: the same at all levels, and stored with level 0."""

WHITE = 65535
REPORT_EVERY_S = 0.5


class PictureError(UserError):
    """There is no such picture; the message says which there are, or why."""


@dataclass(frozen=True, kw_only=True)
class StoredFit:
    """One row of `levels` with what is needed to see its images."""

    trial_id: str
    level: int
    image: str
    kind: str
    outcome: str
    density: float
    device: str
    threads: int
    steps: int
    peak_step: int | None
    selected_step: int | None
    psnr_peak_db: float | None
    psnr_selected_db: float | None
    psnr_final_db: float | None
    is_last: bool
    """Whether no later level of its trial is stored."""

    @property
    def name(self) -> str:
        """The fit in words."""
        return f"level {self.level} of trial {self.trial_id}"

    def psnr_db(self, role: str) -> float | None:
        """The PSNR that is stored of an image; None for those that have none."""
        found: float | None = getattr(self, f"psnr_{role}_db", None)
        return found


@dataclass(frozen=True, kw_only=True)
class Found:
    """A picture of a fit."""

    image: Tensor
    """(C, H, W) in [0, 1]; an error map is (1, H, W), the mean over the channels."""
    bits: Bits
    """Bits a channel of the input."""
    again: LevelRecord | None
    """The row of the fit that was made again for it; None where it was stored or given."""


def fit_of(store: Reader, reference: str, image: str | None = None) -> StoredFit:
    r"""The fit of `TRIAL@LEVEL` to an image, which is named by its number or label; of the last
    level where none is named.

    The first digits of an id are enough, at least four, where no other id begins with them; numbers
    of images count from 0. A trial of one image needs none. Raises PictureError, or TicketError,
    with the alternatives.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise PictureError(
            f"{reference!r} is no level of a trial: allowed are TRIAL_ID@LEVEL and TRIAL_ID, with "
            "at least 4 digits of the id"
        )
    trial_id = trial_named(store, match[1])
    rows = store.sql(
        "select levels.*, trials.kind, trials.images from levels join trials using (trial_id) "
        f"where trial_id = '{trial_id}' and level is not null order by level"
    ).to_pylist()
    level = _level(trial_id, rows, match[2])
    of_level = {row["image"]: row for row in rows if row["level"] == level}
    chosen = of_level[_label(trial_id, list(rows[0]["images"] or of_level), image)]
    fit = _fit(chosen, is_last=level == rows[-1]["level"])
    _refuse_without_images(fit, chosen["reason"])
    return fit


def _level(trial_id: str, rows: Sequence[Mapping[str, Any]], asked: str | None) -> int:
    """The level that was asked for, or the last one. Raises PictureError where it is not there."""
    levels = list(dict.fromkeys(int(row["level"]) for row in rows))
    if not levels:
        raise PictureError(f"trial {trial_id} has no level yet")
    level = levels[-1] if asked is None else int(asked)
    if level not in levels:
        there = ", ".join(map(str, levels))
        raise PictureError(f"trial {trial_id} has no level {level}; levels there are: {there}")
    return level


def _label(trial_id: str, labels: Sequence[str], asked: str | None) -> str:
    """The label of the image that was asked for. Raises PictureError where that is not clear."""
    if asked is not None and asked in labels:
        return asked
    if asked is None and len(labels) == 1:
        return labels[0]
    if asked is not None and asked.isdecimal() and int(asked) < len(labels):
        return labels[int(asked)]
    choices = ", ".join(f"{number} ({label})" for number, label in enumerate(labels))
    if asked is None:
        raise PictureError(f"trial {trial_id} has {len(labels)} images, choose one: {choices}")
    raise PictureError(f"trial {trial_id} has no image {asked!r}; allowed: {choices}")


def _fit(row: Mapping[str, Any], *, is_last: bool) -> StoredFit:
    names = [one.name for one in fields(StoredFit) if one.name != "is_last"]
    return StoredFit(**{name: row[name] for name in names}, is_last=is_last)


def _refuse_without_images(fit: StoredFit, reason: str) -> None:
    """Raise PictureError for a fit that restored no image."""
    if fit.kind not in RESTORING:
        raise PictureError(
            f"trial {fit.trial_id} is a {fit.kind}, which restores no image; allowed: "
            f"{', '.join(RESTORING)}"
        )
    if fit.outcome == Outcome.FAILED:
        raise PictureError(f"{fit.name} has no image: {reason}")


@dataclass(frozen=True)
class Pictures:
    """The images of one fit, each stored or, where it is not, made again."""

    store: Reader
    fit: StoredFit
    announce: Callable[[], None] = field(default=lambda: None, kw_only=True)
    """Called before the fit is made again, once all that it needs is there."""
    report: Callable[[Standing], None] = field(default=lambda standing: None, kw_only=True)
    """Receives the progress of a fit that is made again."""

    def find(self, which: Which) -> Found:
        r"""An image of the fit, or its error map.

        Raises PictureError where there is none: without a clean image, after a fit that diverged,
        or where the files, masks or sources of the trial are gone.
        """
        self.refuse_missing(which)
        if which != "error":
            return self._found(self._image(which))
        clean = self._image("clean")  # before a fit is made again in vain
        return self._found((self._image("selected") - clean).abs().mean(0, keepdim=True))

    def refuse_missing(self, which: Which) -> None:
        """Raise PictureError where a fit is known to have no such image."""
        fit, diverged = self.fit, self.fit.outcome == Outcome.DIVERGED
        steps = {"peak": fit.peak_step, "final": None if diverged else fit.steps}
        if which in GIVEN or steps.get(which, fit.selected_step) is not None:
            return
        if which == "peak" and not diverged:
            raise PictureError(f"{fit.name} has no peak: no clean image of {fit.image} is known")
        raise PictureError(f"{fit.name} has no {which} image: its fit {fit.outcome}")

    def _found(self, image: Tensor) -> Found:
        again = self.__dict__.get("_again")
        return Found(image=image, bits=self._bits, again=again)

    def _image(self, role: str) -> Tensor:
        if role in self._stored:
            return tensor_of(self._stored[role])
        if self._is_given(role):
            return self._given(role)
        made = {picture.role: picture for picture in self._again.pictures}
        if role not in made:
            raise PictureError(f"{self.fit.name} has no {role} image of {self.fit.image}")
        return tensor_of(made[role])

    @cached_property
    def _stored(self) -> dict[str, FullPicture]:
        """The stored pictures by role; those of the problem are level 0's."""
        levels = dict.fromkeys((0, self.fit.level))
        found = [self.store.pictures(self.fit.trial_id, level) for level in levels]
        first, own = (of_image.get(self.fit.image, ()) for of_image in (found[0], found[-1]))
        given = [picture for picture in first if picture.role in GIVEN]
        return {picture.role: picture for picture in (*given, *own)}

    @cached_property
    def _trial(self) -> AnyTrial:
        return stored_trial(self.store, self.fit.trial_id)

    @cached_property
    def _picture(self) -> Picture | None:
        """The image of the spec; None for one that a generator draws."""
        trial = self._trial
        images = trial.setting.images if isinstance(trial, AbstractRestoration) else ()
        return next((image for image in images if image.label == self.fit.image), None)

    @cached_property
    def _bits(self) -> Bits:
        known = next(iter(self._stored.values()), None)
        if known is None and "_again" in self.__dict__ and self._again.pictures:
            known = self._again.pictures[0]
        if known is not None:
            return 16 if known.depth > 8 else 8
        return 16 if self._picture is not None and is_deep(self._picture) else 8

    def _is_given(self, role: str) -> bool:
        return role in GIVEN and isinstance(self._trial, AbstractRestoration)

    def _given(self, role: str) -> Tensor:
        """The measurement, drawn again from the seed, or the clean image, (C, H, W)."""
        trial, picture = self._trial, self._picture
        assert isinstance(trial, AbstractRestoration)
        assert picture is not None
        with _readable():
            problem = trial.setting.problem(picture, torch.device("cpu"))
        image = problem.clean if role == "clean" else problem.view
        if image is None:
            raise PictureError(f"no clean image of {self.fit.image} is known")
        return image[0].clamp(0, 1)

    @cached_property
    def _again(self) -> LevelRecord:
        """The row of the fit, made again with its images at full size."""
        fit, trial = self.fit, self._trial
        wanted = "cuda" if fit.device != "cpu" and torch.cuda.is_available() else "cpu"
        context = Context(
            device=torch.device(wanted),
            artifacts=self.store,
            pictures="full",
            report=self.report,
            report_every_s=REPORT_EVERY_S,
        )
        self._refuse_lost()
        self.announce()
        keep_freed_memory()
        with _readable(), _threads(fit.threads):
            rows = {row.image: row for row in refit(trial, fit.level, context)}
        row = rows[fit.image]
        if row.outcome == Outcome.FAILED:
            raise PictureError(f"{fit.name} cannot be fitted again: {row.reason}")
        return row

    def _refuse_lost(self) -> None:
        """Raise PictureError where the fit cannot be made again: a file or the mask is gone."""
        fit, trial = self.fit, self._trial
        with _readable():
            for image in trial.setting.images if isinstance(trial, AbstractRestoration) else ():
                image.load()
        self._refuse_left_out()
        if (
            isinstance(trial, Trajectory)
            and fit.level  # the mask of the dense network needs no file
            and not self.store.masks(fit.trial_id, fit.level)
        ):
            raise PictureError(f"{fit.name} cannot be fitted again: its mask is not in the store")

    def _refuse_left_out(self) -> None:
        """Raise PictureError where what the fit builds on was left out of a published store."""
        fit, trial = self.fit, self._trial
        dense = (trial.taken[fit.level] if isinstance(trial, Transfer) else fit.level) == 0
        needed = {
            trial.id: () if dense else needed_of_itself(trial),
            **{
                source.id: () if dense and isinstance(trial, Transfer) else needed_of_sources(trial)
                for source in trial.sources
            },
        }
        lacking = self.store.left_out(needed, TICKETS)
        for owner, tables in needed.items():
            for table in (table for table in tables if table in lacking.get(owner, ())):
                raise PictureError(
                    f"{fit.name} cannot be fitted again: the {table} of trial {owner} were left "
                    "out when the store was published; the full store has them"
                )


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what a trial raises where its files, masks or weights are gone into a PictureError."""
    try:
        yield
    except UserError:
        raise
    except (LookupError, ValueError) as error:
        raise PictureError(str(error)) from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads as the stored fit had, which its bits depend on."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensor_of(picture: FullPicture) -> Tensor:
    """A stored picture as (C, H, W) float32 in [0, 1]."""
    with _readable():
        pixels = np.atleast_3d(decoded(picture.png, f"the {picture.role} image", deep=True))
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / WHITE
