"""What the tests of all kinds of trials share."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("ladders")

from ladders import Start  # noqa: E402

from lip_ray.fits import Fit  # noqa: E402


@pytest.fixture
def starts(monkeypatch) -> Iterator[list[Start]]:
    """What every fit was given, in order."""
    seen: list[Start] = []
    fit = Fit.run

    def watched(self, subjects, mask, **options):
        for subject in subjects:
            seen.append(
                Start(
                    weights=subject.prior.snapshot(),
                    latent=subject.prior.latent.clone(),
                    clean=subject.problem.clean.clone(),
                    measured=subject.problem.measured.clone(),
                    mask=mask,
                    draws=subject.draws.initial_seed(),
                )
            )
        return fit(self, subjects, mask, **options)

    monkeypatch.setattr(Fit, "run", watched)
    return seen
