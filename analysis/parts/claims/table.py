"""The table of claims: each with what its fits say by each PSNR, and the verdict."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from lip_ray.claims import Claim, Claims
from lip_ray.store import Reader

from ...statistics.claims import (
    NOTHING,
    Evidence,
    crossed_evidence,
    difference_evidence,
    share_evidence,
    verdicts_of,
)
from ...statistics.intervals import samples_of
from .fits import Fits, pairs_of, side_of


def claims_table(store: Reader, claims: Claims) -> pd.DataFrame:
    """One row per claim and PSNR that it is tested by.

    `claim` is its name, `says`, `source`, `test`, `margin_db` and `limits` are as in the file.
    `mean` is the mean difference first − second in dB, images averaged over seeds first, or the
    share of images of a claim tested as "works"; `low` and `high` are the bounds of its interval
    at the confidence of the file, each row by itself. `n` is the number of `unit`s. `failed`
    counts the pairs in which one fit is worse than its measurement and counts as the measurement;
    `neither` those that are left out since both are, and `unfinished` those that are left out since
    one of their fits is unfinished. `verdict` is "holds", "does not" or
    "cannot be told", from p-values adjusted over all rows (Holm 1979), also those of claims without
    fits, and `why` qualifies it. `rounding` is how far rounding alone may move the mean, in dB.

    Raises QueryError for a condition that is wrong, UserError for one that picks several fits
    where one is meant.
    """
    fits = Fits.of(store, claims)
    sides = {claim.name: _Sides.of(fits, claim) for claim in claims.claims}
    tested = [
        (claim, which, sides[claim.name].evidence(which, claims)) for claim, which in claims.tests()
    ]
    verdicts = verdicts_of([found for *_, (found, _) in tested], confidence=claims.confidence)
    rows = [
        _row(claim, which, claims)
        | {name: value for name, value in asdict(found).items() if name in EVIDENCE}
        | left_out
        | {"verdict": verdict.word, "why": verdict.why}
        | {"p_holds": verdict.p_holds, "p_fails": verdict.p_fails}
        for (claim, which, (found, left_out)), verdict in zip(tested, verdicts, strict=True)
    ]
    return pd.DataFrame(rows)


MOST = 0.5
"""The share of an image's seeds that have to be restored for the image to count as restored."""

PAIR = ("difference", "origin", "image_key")

EVIDENCE = ("mean", "low", "high", "n", "unit", "rounding", "deviation")


def _row(claim: Claim, which: str, claims: Claims) -> dict[str, object]:
    return {
        **{"claim": claim.name, "says": claim.says, "source": claim.source, "by": which},
        **{"test": claim.test, "margin_db": claims.margin_of(claim), "limits": claim.limits},
    }


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """The fits that a claim is about."""

    claim: Claim
    first: pd.DataFrame
    second: pd.DataFrame | None

    @classmethod
    def of(cls, fits: Fits, claim: Claim) -> "_Sides":
        first = side_of(fits, claim, "first")
        second = None if claim.second is None else side_of(fits, claim, "second")
        return cls(claim=claim, first=first, second=second)

    def evidence(self, which: str, claims: Claims) -> tuple[Evidence, dict[str, int]]:
        """What the fits say by one PSNR, and how many failed, or were left out, and why."""
        if self.second is None:
            failed = int(self.first["failed"].sum())
            return self._share(claims), {"unfinished": 0, "neither": 0, "failed": failed}
        pairs = pairs_of(self.first, self.second)
        unfinished = pairs["unfinished"] | pairs["unfinished_second"]
        neither = pairs["failed"] & pairs["failed_second"]
        fit = pairs[~unfinished & ~neither]
        against = f"psnr_{self.claim.against or which}_db_second"
        known = fit.assign(difference=fit[f"psnr_{which}_db"] - fit[against])
        known = known[known["difference"].notna()]
        return self._difference(known, claims), {
            "unfinished": int(unfinished.sum()),
            "neither": int((neither & ~unfinished).sum()),
            "failed": int((known["failed"] | known["failed_second"]).sum()),
        }

    def _difference(self, found: pd.DataFrame, claims: Claims) -> Evidence:
        if found.empty:
            return NOTHING
        confidence, margin = claims.confidence, claims.margin_of(self.claim)
        test: Any = self.claim.test
        if (found["origin"] != "").any():
            means = found.groupby(["origin", "image_key"])["difference"].mean().reset_index()
            values, sources, targets = (means[name].tolist() for name in PAIR)
            return crossed_evidence(
                values, sources, targets, test=test, margin_db=margin, confidence=confidence
            )
        samples = samples_of(found["difference"].tolist(), found["image_key"].tolist())
        return difference_evidence(samples, test=test, margin_db=margin, confidence=confidence)

    def _share(self, claims: Claims) -> Evidence:
        fits = self.first[self.first["psnr_measured_db"].notna()]
        if fits.empty:
            return NOTHING
        works = ~(fits["failed"] | fits["dead"])
        works = works.groupby(fits["image_key"]).mean() > MOST
        return share_evidence(works.tolist(), confidence=claims.confidence)
