"""Compiling the kernels before many processes need them at once."""

from collections.abc import Callable

from numba.core import event

from lip_ray.fits.sparse.loading import loaded

Begins = Callable[[], None]
"""Called where the kernels are about to be compiled."""


def compile_ahead(begins: Begins) -> None:
    """Compile the kernels into this machine's cache, unless it has them already."""
    with event.install_listener("numba:compile", _First(begins)):
        loaded()


class _First(event.Listener):
    """Passes on that numba compiles, once; it says so for every function that one calls."""

    def __init__(self, begins: Begins) -> None:
        self._begins: Begins | None = begins

    def on_start(self, event: event.Event) -> None:
        """Call `begins`, if it was not called yet."""
        begins, self._begins = self._begins, None
        if begins:
            begins()

    def on_end(self, event: event.Event) -> None:
        """Do nothing."""
