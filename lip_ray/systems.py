"""The systems that lip-ray runs on: those of the Unix family that Ray runs on too."""

import sys

from lip_ray.errors import UserError

SYSTEMS = {"linux": "Linux", "darwin": "macOS"}
"""By Python's name for it, each system in words."""


class WrongSystem(UserError):  # noqa: N818 (a state of the machine)
    """This system lacks what lip-ray needs of it: locks, signals and groups of processes."""


def require_known(system: str = sys.platform) -> None:
    """Raise WrongSystem, with what to do, where lip-ray does not run."""
    if system not in SYSTEMS:
        raise WrongSystem(
            f"lip-ray runs on {' and '.join(SYSTEMS.values())}, not on {system}; on Windows, "
            "install it in WSL 2, which is a Linux"
        )
