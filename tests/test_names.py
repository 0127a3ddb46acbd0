"""Names of the field are answered with the right name, wrong ones with the nearest."""

import pytest

from lip_ray.mistakes import SweepError
from lip_ray.names import OF_THE_FIELD, called_here, hint, nearest
from lip_ray.reference import Place, shipped
from lip_ray.sweep import Sweep

TINY = {
    "name": "tiny",
    "trial": {
        "images": {"kind": "builtin", "name": "camera", "size": [16, 16]},
        "task": {"kind": "denoising", "sigma": 25},
        "schedule": [1, 0.5],
    },
}
"""A sweep that is right."""


def said(*overrides: str) -> str:
    """The message of the sweep with these overrides."""
    with pytest.raises(SweepError) as refused:
        Sweep.build(TINY, overrides=overrides)
    return str(refused.value)


@pytest.mark.parametrize(
    ("override", "path", "right"),
    [
        ("pruner=IMP", "trial.pruner", "magnitude"),
        ("pruner=Optimal Eye Surgeon", "trial.pruner", "oes"),
        ("pruner.kind=IMP", "trial.pruner.kind", "magnitude"),
        ("prior=DIP", "trial.prior", "skip"),
        ("task.kind=denoise", "trial.task.kind", "denoising"),
        ("task=SR", "trial.task", "super_resolution"),
        ("task.σ=25", "trial.task.σ", "sigma"),
        ("fit.lr=0.1", "trial.fit.lr", "learning_rate"),
        ("fit.stopping=ES-WMV", "trial.fit.stopping", "wmv"),
        ("criterion=snip", "trial.criterion", "pruner"),
        ("rewind=late rewinding", "trial.rewind", "step"),
        ("target=ground truth", "trial.target", "clean"),
        ("images=cameraman", "trial.images", "camera"),
    ],
)
def test_the_right_name_is_said(override: str, path: str, right: str) -> None:
    message = said(override)
    assert f"  {path}: unknown" in message
    assert f"it is called '{right}' here; allowed: " in message


@pytest.mark.parametrize(
    ("override", "right"),
    [
        ("pruner=SNIP", "snip"),
        ("pruner=GraSP", "grasp"),
        ("pruner=SynFlow", "synflow"),
        ("pruner=OES", "oes"),
        ("prior=deep decoder", "deep_decoder"),
        ("task.Sigma=25", "sigma"),
    ],
)
def test_the_same_name_otherwise_written_is_said(override: str, right: str) -> None:
    assert f"; did you mean '{right}'? allowed: " in said(override)


def test_dense_is_no_pruner() -> None:
    assert "the dense network is level 0 of every ladder" in said("pruner=dense")


def test_a_field_of_a_part_is_found() -> None:
    assert "unknown key 'sigma'; did you mean task.sigma? allowed: " in said("sigma=25")
    assert "did you mean pruner.learning_rate or fit.learning_rate? " in said("lr=0.1")


def test_case_is_no_difference_to_the_nearest() -> None:
    assert nearest("MAGNITUD", ["random", "magnitude"]) == ["magnitude"]
    assert hint("FRONTIR", ["frontier", "size"]) == "did you mean 'frontier'? "
    assert hint("zzz", ["frontier", "size"]) == ""


def test_a_name_of_two_things_is_the_allowed_one() -> None:
    assert called_here("noise", ["denoising", "inpainting"]) == "denoising"
    assert called_here("noise", ["sigma", "clip"]) == "sigma"
    assert called_here("noise", ["snip"]) is None


def kinds_at(place: Place) -> list[str]:
    """The kinds of the specs that may stand at a place."""
    return [spec.kind for spec in place.specs if spec.kind]


def test_every_name_is_of_something_that_there_is() -> None:
    found = list(shipped().places())
    known = {own.name for place in found for spec in place.specs for own in spec.every_field}
    known |= {kind for place in found for kind in kinds_at(place)}
    assert OF_THE_FIELD.keys() - known == {"camera", "mask_and_weights"}, "values"


def test_no_name_means_two_kinds_of_one_family() -> None:
    for place in shipped().places():
        names = [
            "".join(filter(str.isalnum, name.casefold()))
            for kind in dict.fromkeys(kinds_at(place))
            for name in (kind, *OF_THE_FIELD.get(kind, ()))
        ]
        assert len(names) == len(set(names)), place.path
