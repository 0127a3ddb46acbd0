"""What the weights that survive a cut are set to before the next fit."""

from typing import Annotated, Literal, final

from lip_ray.spec import Family, Spec, Steps


@final
class ToInit(Spec):
    """The initial weights, as in Frankle & Carbin 2019 (arXiv 1803.03635)."""

    kind: Literal["init"] = "init"


@final
class ToStep(Spec):
    """The weights after the first steps of the dense fit: late rewinding.

    Frankle, Dziugaite, Roy & Carbin 2020 (arXiv 1912.05671).
    """

    kind: Literal["step"] = "step"
    step: Steps
    """How many steps of the dense fit are kept."""


@final
class FineTune(Spec):
    """The weights as the level above left them: no rewinding."""

    kind: Literal["finetune"] = "finetune"


@final
class Reinit(Spec):
    """Weights drawn afresh for every level: what a ticket must beat for its weights to matter."""

    kind: Literal["reinit"] = "reinit"


def refuse_late(rewind: Spec, steps: int) -> None:
    """Raise ValueError where a fit of `steps` steps does not reach the step to rewind to."""
    if isinstance(rewind, ToStep) and rewind.step >= steps:
        raise ValueError(
            f"rewind.step must be less than the fit's steps: got step {rewind.step} "
            f"and steps {steps}"
        )


Rewind = Annotated[ToInit | ToStep | FineTune | Reinit, Family(default="init")]
