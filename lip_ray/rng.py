"""Keyed randomness: every draw is keyed by its purpose, so that results do not depend on order."""

import hashlib

import torch


def keyed(
    seed: int,
    purpose: str,
    *,
    image: str = "",
    level: int = 0,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """A generator seeded by hashing (seed, purpose, image, level).

    Two methods that draw for the same purpose get the same numbers (paired comparisons), and any
    level can be rerun alone. The streams of the CPU and of CUDA differ.
    """
    key = "\x1f".join((str(seed), purpose, image, str(level)))
    digest = hashlib.sha256(key.encode()).digest()
    keyed = torch.Generator(device=device)
    keyed.manual_seed(int.from_bytes(digest[:8], "big") >> 1)  # torch takes 63 bits everywhere
    return keyed
