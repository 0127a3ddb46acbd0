"""Sparse recovery without a generator: the baseline that CSGM compares with."""

import time
import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lip_ray.fits.latent import Measured, measured_by
from lip_ray.fits.result import FitResult, Snapshot
from lip_ray.records import Outcome
from lip_ray.spec import Spec, Steps
from lip_ray.tasks import Problem

MOST_BYTES = 2**30
"""The largest matrix from coefficients to measurements that is held in memory."""

BATCH = 256
"""Basis images that are measured at once."""

Doubles = np.ndarray[Any, np.dtype[np.float64]]


@final
class Lasso(Spec):
    """The image with few coefficients in a basis (Tibshirani 1996), by coordinate descent.

    What is minimised over the coefficients c is ‖A Φ c − y‖² / (2 m) + alpha · ‖c‖₁, with the
    basis images as the columns of Φ. The image is clipped to [0, 1].
    """

    kind: Literal["lasso"] = "lasso"
    alpha: Annotated[float, Field(gt=0)] = 1e-5
    """The weight of the sum of absolute coefficients."""
    basis: Literal["dct"] = "dct"
    """`dct`: the orthonormal two-dimensional cosine transform of each channel."""
    passes: Steps = 1000
    """The most passes over all coefficients."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """The duality gap at which the solver ends, as a share of ‖y‖² / m."""

    def conflicts(self, measurements: int, values: int) -> Iterator[tuple[str, str]]:
        """A conflict where the matrix for so many measurements and pixel values is too large."""
        size = measurements * values * 8
        if size > MOST_BYTES:
            yield (
                "kind",
                f"{measurements} measurements of {values} pixel values make a matrix of "
                f"{size / 2**30:.1f} GiB; the most is {MOST_BYTES / 2**30:g} GiB, which is "
                f"{MOST_BYTES // (8 * values)} measurements",
            )

    def run(self, problem: Problem) -> FitResult:
        r"""The result, of one step: the solution, or the last iterate with a reason where it did
        not converge.

        The loss is the objective before clipping. Raises ValueError for conflicts.
        """
        from sklearn.exceptions import ConvergenceWarning  # takes a second to import
        from sklearn.linear_model import Lasso as Descent

        measured, shape = measured_by(problem), problem.image_shape
        for name, message in self.conflicts(measured.count, int(np.prod(shape))):
            raise ValueError(f"{self.kind}, {name}: {message}")
        started = time.perf_counter()
        matrix, wanted = _matrix(measured, shape), measured.values[0].double().cpu().numpy()
        descent = Descent(
            alpha=self.alpha,
            fit_intercept=False,
            copy_X=False,
            max_iter=self.passes,
            tol=self.tolerance,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            descent.fit(matrix, wanted)
        short = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        coefficients = descent.coef_
        misfit = float(((matrix @ coefficients - wanted) ** 2).mean()) / 2
        loss = misfit + self.alpha * float(np.abs(coefficients).sum())
        image = _image(coefficients, shape, problem.measured).clamp(0, 1)
        seconds = time.perf_counter() - started
        psnr = float(problem.psnr(image))
        only = Snapshot(step=0, image=image)
        return FitResult(
            outcome=Outcome.BUDGET,
            reason=f"not converged after {self.passes} passes" if short else "",
            steps=1,
            seconds=seconds,
            rows=torch.tensor([[loss, psnr, psnr, torch.nan]]),
            peak=only if problem.clean is not None else None,
            selected=only,
            final=only,
        )


def _matrix(measured: Measured, shape: tuple[int, int, int]) -> Doubles:
    """The matrix A Φ, (m, n), with contiguous columns."""
    count = int(np.prod(shape))
    matrix = np.empty((measured.count, count), order="F")
    for first in range(0, count, BATCH):
        units = np.eye(min(BATCH, count - first), count, first)
        columns = measured(_image(units, shape, measured.values))
        matrix[:, first : first + len(units)] = columns.double().cpu().numpy().T
    return matrix


def _image(coefficients: Doubles, shape: tuple[int, int, int], like: Tensor) -> Tensor:
    """(n) or (N, n) coefficients → (1 or N, C, H, W), of the type and device of `like`."""
    from scipy.fft import idctn  # of all solvers, this one alone needs it

    pixels = idctn(coefficients.reshape(-1, *shape), axes=(2, 3), norm="ortho")
    return torch.from_numpy(pixels).to(like)
