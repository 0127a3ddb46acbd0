"""Names: the nearest of those that are known, and what the field calls them elsewhere."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

OF_THE_FIELD = {
    "magnitude": ("IMP", "LTH", "iterative magnitude pruning", "lottery ticket", "mag"),
    "oes": ("Optimal Eye Surgeon",),
    "skip": ("DIP", "deep image prior", "skip net", "hourglass"),
    "deep_decoder": ("decoder",),
    "denoising": ("denoise", "Gaussian noise", "AWGN", "noise"),
    "poisson": ("shot noise", "Poisson noise"),
    "salt_and_pepper": ("impulse", "impulse noise", "salt pepper", "s&p"),
    "inpainting": ("inpaint", "holes"),
    "super_resolution": ("SR", "superres", "upscaling"),
    "deblurring": ("deblur", "blur", "deconvolution"),
    "compressed_sensing": ("CS", "sensing", "compressive sensing"),
    "held_out": ("self-validation", "validation"),
    "discrepancy": ("Morozov", "discrepancy principle"),
    "wmv": ("ES-WMV",),
    "emv": ("ES-EMV",),
    "erm": ("CSGM", "least squares"),
    "median_of_means": ("MOM",),
    "finetune": ("fine-tuning", "FT"),
    "step": ("late", "late rewinding"),
    "dcgan": ("GAN",),
    "pgan": ("progressive GAN", "ProGAN", "PGGAN"),
    "camera": ("cameraman",),
    "clean": ("ground truth", "gt"),
    "measured": ("noisy",),
    "init": ("reset", "original"),
    "mask_and_weights": ("ticket", "weights"),
    "sigma": ("σ", "noise", "noise level", "std"),
    "learning_rate": ("lr", "step size"),
    "steps": ("iterations", "iters", "num_iter", "epochs"),
    "schedule": ("sparsity", "sparsities", "density", "densities", "levels"),
    "pruner": ("pruning", "criterion", "method"),
    "prior": ("model", "network", "net", "architecture"),
    "images": ("image", "photo", "picture"),
    "task": ("problem", "degradation"),
    "input_noise": ("reg_noise_std",),
    "average": ("EMA", "exp_weight"),
    "factor": ("scale",),
    "m": ("measurements",),
    "stopping": ("early stopping",),
}
"""What else the field calls a kind or key of sweep files. A name of two things is that which is
allowed where it is given; upper case, spaces and signs make no difference."""

DENSE = (
    "the dense network is level 0 of every ladder, whatever the pruner: schedule: [1] is that alone"
)


def hint(name: str, allowed: Collection[str]) -> str:
    """What to say of an unknown name, with `; ` behind it: what it is called here, or the nearest;
    empty where nothing is near."""
    if _plain(name) == "dense" and "magnitude" in allowed:
        return f"{DENSE}; "
    own = called_here(name, allowed)
    if own is not None and _plain(own) != _plain(name):
        return f"it is called {own!r} here; "
    near = [own] if own else nearest(name, allowed)
    return f"did you mean {near[0]!r}? " if near else ""


def called_here(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name of what a name of the field means; None where it is no such name."""
    wanted = _plain(name)
    for own in allowed:
        if wanted in map(_plain, (own, *OF_THE_FIELD.get(own, ()))):
            return own
    return None


def nearest(name: str, known: Iterable[str], *, most: int = 1) -> list[str]:
    """The known names that are most like this one, whatever their case."""
    folded = {own.casefold(): own for own in known}
    return [folded[near] for near in get_close_matches(name.casefold(), folded, n=most)]


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
