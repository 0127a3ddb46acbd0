"""Rolling back: when weights return, to which ones, and what it does not cost."""

from typing import Any

import pytest
import test_weights
import torch
import torch.nn.functional as F
from torch import Tensor

from lip_ray.fits import Fit
from lip_ray.fits.roll_back import RollBack
from lip_ray.fits.trace import LOSS
from lip_ray.spec import canonical

RESTLESS: dict[str, Any] = {"learning_rate": 3.0, "input_noise": 0.0, "average": 0.0}
"""A fit whose output becomes much worse now and then, on whatever machine."""


def loop(bench, *, steps: int, every: int, fall_db: float) -> tuple[list[float], int]:
    """The losses of the notebook's loop, written as it is there, and how often it fell back."""
    bench.prior.rewind(bench.initial, bench.mask.layers)
    net, measured = bench.prior.module, bench.problem.measured
    optimizer = torch.optim.Adam(net.parameters(), lr=RESTLESS["learning_rate"], fused=True)
    last_net: list[Tensor] = []
    psnr_noisy_last, losses, falls = 0.0, [], 0
    for step in range(steps):
        out = net(bench.prior.latent)
        loss = F.mse_loss(out, measured)
        loss.backward()
        psnr_noisy = float(-10 * torch.log10(F.mse_loss(out.detach(), measured)))
        if step % every == 0:
            if psnr_noisy - psnr_noisy_last < -fall_db:
                falls += 1
                for new, parameter in zip(last_net, net.parameters(), strict=True):
                    parameter.data.copy_(new)
            else:
                last_net = [parameter.detach().clone() for parameter in net.parameters()]
                psnr_noisy_last = psnr_noisy
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses, falls


@pytest.mark.parametrize(("every", "fall_db"), [(1, 1.0), (1, 5.0), (5, 0.5)])
def test_it_is_the_loop_of_the_notebooks(bench, short, every: int, fall_db: float) -> None:
    losses, falls = loop(bench, steps=80, every=every, fall_db=fall_db)
    assert falls > 0, "this fit gives no reason to fall back"
    rule = RollBack(every=every, fall_db=fall_db)
    rows = bench.fit(short(steps=80, roll_back=rule, **RESTLESS)).rows
    torch.testing.assert_close(rows[:, LOSS], torch.tensor(losses), rtol=1e-4, atol=1e-6)


def test_a_fit_that_never_falls_so_far_is_the_same_to_the_bit(bench, short) -> None:
    plain = bench.fit(short())
    watched = bench.fit(short(roll_back=RollBack(every=1, fall_db=1000.0)))
    assert torch.equal(plain.rows[:, LOSS], watched.rows[:, LOSS])


def test_pruned_weights_stay_zero(sparse, short) -> None:
    sparse.fit(short(roll_back=RollBack(every=2, fall_db=0.01), **RESTLESS))
    for name, weight in sparse.prior.prunable().items():
        assert not bool(weight[~sparse.mask.layers[name]].any())


def test_any_image_of_the_fit_is_enough(bench, short) -> None:
    """Both images share the weights: those of one alone never return."""
    rule = RollBack(every=1, fall_db=1.0)
    pair = [bench.subject(), bench.other()]
    free = bench.fit_all(short(steps=80, **RESTLESS), pair)
    pair = [bench.subject(), bench.other()]
    held = bench.fit_all(short(steps=80, roll_back=rule, **RESTLESS), pair)
    falls = [10 * (r.rows[1:, LOSS] / r.rows[:-1, LOSS]).log10() for r in free]
    first = int((torch.stack(falls) > 1.0).any(0).nonzero()[0]) + 1  # the first step that is bad
    for one, other in zip(free, held, strict=True):
        assert torch.equal(one.rows[: first + 1, LOSS], other.rows[: first + 1, LOSS])
        assert not torch.equal(one.rows[first + 1, LOSS], other.rows[first + 1, LOSS])


def test_it_costs_the_host_no_wait(bench, short, monkeypatch) -> None:
    waits = test_weights.TestSpeed().waits
    rule = RollBack(every=1, fall_db=1.0)
    plain = waits(bench, short(steps=80, **RESTLESS), monkeypatch)
    assert waits(bench, short(steps=80, roll_back=rule, **RESTLESS), monkeypatch) == plain > 0


def test_by_default_it_is_in_no_stored_spec() -> None:
    assert "roll_back" not in Fit().model_dump_json()
    unset, default = canonical(Fit()), canonical(Fit(roll_back=RollBack()))
    assert default == unset | {"roll_back": {}}
    assert Fit.model_validate_json(Fit(roll_back=RollBack()).model_dump_json()).roll_back
