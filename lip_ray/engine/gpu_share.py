"""The share of a GPU that a trial has where `run.gpus` is auto."""

from lip_ray.trials import AbstractTrial

LIMITS = ((1 / 8, 4e9), (1 / 4, 16e9), (1 / 2, 64e9))
"""Shares of a GPU, each with the most multiply-adds of a step that has it; beyond the last a trial
has a whole GPU. A step of the study's network of 2.2 million weights takes 3.6 billion at 64×64
pixels, 14.4 at 128×128, 57.5 at 256×256 and 230 at 512×512."""

SHARES = (*(share for share, _ in LIMITS), 1.0)
"""All shares that there are, rising."""


def gpu_share(trial: AbstractTrial) -> float:
    r"""The share of a GPU for a trial: 1/8, 1/4, 1/2 or 1, by the multiply-adds of a step.

    A step computes one image after the other, so their mean counts. The multiply-adds grow with the
    network's width and with the pixels, as does the time in which a GPU would be busy, and they
    bound the memory: what a network keeps for the backward pass fits into that share of a card of
    24 GB. A trial whose multiply-adds are not counted, as of the Lasso, has a whole GPU.
    """
    macs = trial.whole_macs / trial.images_per_level
    if not macs:
        return 1.0
    return next((share for share, most in LIMITS if macs <= most), 1.0)
