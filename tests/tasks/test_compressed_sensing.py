"""Compressed sensing: one A for all images of a trial, noise in its unit, outliers as counted."""

import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import TypeAdapter, ValidationError
from scipy.stats import kstest

from lip_ray.data.images import BuiltinImage, FileImage
from lip_ray.tasks import CompressedSensing, Problem, Task
from lip_ray.tasks.matrices import GaussianMatrix, OrthogonalRows
from lip_ray.tasks.outliers import CorruptedRows, SignFlips, StudentNoise

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(0, 20), columns=(100, 124))
OTHER = BuiltinImage(name="coffee", rows=(0, 20), columns=(100, 124))
SMALLER = BuiltinImage(name="astronaut", rows=(0, 20), columns=(100, 120))
COUNT = 20 * 24 * 3


def realised(image: BuiltinImage = IMAGE, *, seed: int = 0, m: int = 200, **fields) -> Problem:
    return CompressedSensing(m=m, **fields).realise(image, seed=seed, device=CPU)


def added(**fields) -> torch.Tensor:
    """What is measured beyond the image's own measurements, (m,)."""
    problem = realised(**fields)
    return (problem.measured - problem.operator(problem.clean))[0]


class TestMatrix:
    @pytest.mark.parametrize(
        ("name", "expected"), [("gaussian", GaussianMatrix), ("orthogonal", OrthogonalRows)]
    )
    def test_it_is_the_named_one(self, name: str, expected) -> None:
        problem = realised(matrix=name)
        assert problem.measured.shape == (1, 200)
        reference = expected(200, (3, 20, 24), seed=0)
        assert torch.equal(problem.measured, reference(problem.clean))

    def test_all_images_of_a_trial_are_measured_by_one(self) -> None:
        outliers = CorruptedRows(share=0.1)
        first, second = (realised(image, outliers=outliers).operator for image in (IMAGE, OTHER))
        assert first is second

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"image": SMALLER}, {"matrix": "orthogonal"}, {"m": 201}]
    )
    def test_another_seed_size_or_task_has_another(self, change) -> None:
        assert realised(**change).operator is not realised().operator

    def test_the_last_one_alone_is_kept(self) -> None:
        last = weakref.ref(realised().operator)
        assert last() is not None
        realised(seed=1)
        gc.collect()
        assert last() is None

    def test_a_gaussian_one_may_have_more_rows_than_the_image_has_values(self) -> None:
        assert list(CompressedSensing(m=COUNT + 1).conflicts(IMAGE)) == []

    def test_an_orthogonal_one_may_not(self) -> None:
        assert list(CompressedSensing(m=COUNT, matrix="orthogonal").conflicts(IMAGE)) == []
        task = CompressedSensing(m=COUNT + 1, matrix="orthogonal")
        message = "must be at most 1440 for orthogonal rows of astronaut, got 1441"
        assert list(task.conflicts(IMAGE)) == [("m", message)]
        with pytest.raises(ValueError, match="compressed_sensing, m: must be at most 1440"):
            task.realise(IMAGE, seed=0, device=CPU)


class TestNoise:
    def test_it_is_on_each_measurement_in_grey_levels(self) -> None:
        noise = added(m=5000, sigma=25.0)
        assert float(noise.std()) == pytest.approx(25 / 255, rel=0.04)
        assert float(noise.mean()) == pytest.approx(0, abs=4 * 25 / 255 / 5000**0.5)

    def test_seed_and_image_key_it(self) -> None:
        first, same, other, seeded = (
            added(image=image, seed=seed, sigma=25.0)
            for image, seed in ((IMAGE, 0), (IMAGE, 0), (OTHER, 0), (IMAGE, 1))
        )
        assert torch.equal(first, same)
        assert not torch.allclose(first, other, atol=1e-3)
        assert not torch.allclose(first, seeded, atol=1e-3)


class TestCorruptedRows:
    @pytest.mark.parametrize("matrix", ["gaussian", "orthogonal"])
    def test_as_many_as_said_are_ones_and_measure_the_value(self, matrix) -> None:
        problem = realised(matrix=matrix, outliers=CorruptedRows(share=0.02), sigma=25.0)
        sound = realised(matrix=matrix, sigma=25.0)
        hit = problem.operator.replaced
        assert int(hit.sum()) == 4
        assert problem.measured[0, hit].tolist() == [10_000.0] * 4
        assert torch.equal(problem.measured[0, ~hit], sound.measured[0, ~hit])
        expected = problem.operator(problem.clean)[0]
        assert torch.allclose(expected[hit], problem.clean.sum(), rtol=1e-5)
        assert torch.equal(expected[~hit], sound.operator(sound.clean)[0, ~hit])

    def test_their_value_may_be_another(self) -> None:
        outliers = CorruptedRows(share=0.5, value=-3.0)
        assert realised(outliers=outliers).measured.eq(-3).sum() == 100

    def test_their_places_are_keyed_by_seed_and_nested(self) -> None:
        few, many, seeded = (
            realised(seed=seed, outliers=CorruptedRows(share=share)).operator.replaced
            for seed, share in ((0, 0.1), (0, 0.3), (1, 0.1))
        )
        assert (int(few.sum()), int(many.sum())) == (20, 60)
        assert bool(many[few].all())
        assert not torch.equal(few, seeded)


class TestFlips:
    def test_as_many_as_said_have_the_opposite_sign(self) -> None:
        problem, sound = (
            realised(sigma=25.0, outliers=outliers) for outliers in (SignFlips(share=0.1), None)
        )
        turned = problem.measured == -sound.measured
        assert int(turned.sum()) == 20
        assert torch.equal(problem.measured[~turned], sound.measured[~turned])

    def test_they_are_the_same_of_all_images(self) -> None:
        turned = [
            realised(image, outliers=SignFlips(share=0.1)).measured == -realised(image).measured
            for image in (IMAGE, OTHER)
        ]
        assert torch.equal(*turned)


class TestStudent:
    @pytest.mark.parametrize("degrees", [1.0, 2.0, 5.0])
    def test_it_is_student_s_t_of_that_scale(self, degrees: float) -> None:
        outliers = StudentNoise(sigma=51.0, degrees=degrees)
        noise = added(m=5000, outliers=outliers).double().numpy() / 0.2
        assert kstest(noise, "t", args=(degrees,)).pvalue > 0.01

    def test_it_comes_on_top_of_white_noise(self) -> None:
        outliers = StudentNoise(sigma=51.0)
        both = added(sigma=25.0, outliers=outliers)
        assert torch.allclose(both, added(sigma=25.0) + added(outliers=outliers), atol=1e-4)

    def test_seed_and_image_key_it(self) -> None:
        first, same, other, seeded = (
            added(image=image, seed=seed, outliers=StudentNoise(sigma=51.0))
            for image, seed in ((IMAGE, 0), (IMAGE, 0), (OTHER, 0), (IMAGE, 1))
        )
        assert torch.equal(first, same)
        assert not torch.allclose(first, other, atol=1e-3)
        assert not torch.allclose(first, seeded, atol=1e-3)

    def test_no_draw_is_beyond_all_numbers(self, monkeypatch) -> None:
        monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape).double())
        noise = StudentNoise(sigma=51.0).hit(torch.zeros(1, 2), seed=0, image="")
        assert bool(torch.isfinite(noise).all())


class TestRefusals:
    @pytest.mark.parametrize("outliers", [CorruptedRows, SignFlips])
    @pytest.mark.parametrize(("m", "share", "refused"), [(40, 0.01, True), (60, 0.01, False),
                                                         (40, 0.0, True)])  # fmt: skip
    def test_a_share_of_less_than_one(self, outliers, m: int, share: float, refused) -> None:
        conflicts = list(CompressedSensing(m=m, outliers=outliers(share=share)).conflicts(IMAGE))
        message = f"is none of {m} measurements, got {share:g}: leave the outliers out"
        assert conflicts == ([("outliers.share", message)] if refused else [])

    def test_a_measured_photo(self, tmp_path) -> None:
        Pillow.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "photo.png")
        photo = FileImage(path=str(tmp_path / "photo.png"), measured=True)
        ((path, message),) = CompressedSensing(m=4).conflicts(photo)
        assert path == "kind"
        assert "is measured already" in message

    @pytest.mark.parametrize(
        ("path", "fields"),
        [
            ("m", {"m": 0}),
            ("matrix", {"matrix": "fourier"}),
            ("sigma", {"sigma": 0.1}),
            ("outliers", {"outliers": {"kind": "burst"}}),
            ("outliers.rows.share", {"outliers": "rows"}),
            ("outliers.rows.share", {"outliers": {"kind": "rows", "share": 1.0}}),
            ("outliers.flips.share", {"outliers": {"kind": "flips", "share": -0.1}}),
            ("outliers.rows.value", {"outliers": {"kind": "rows", "share": 0.1, "value": None}}),
            ("outliers.student.sigma", {"outliers": {"kind": "student", "sigma": 0.5}}),
            ("outliers.student.degrees",
             {"outliers": {"kind": "student", "sigma": 5.0, "degrees": 0.0}}),
        ],
    )  # fmt: skip
    def test_impossible_values(self, path: str, fields) -> None:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Task).validate_python({"kind": "compressed_sensing", "m": 9} | fields)
        (error,) = caught.value.errors()
        assert ".".join(map(str, error["loc"])) == f"compressed_sensing.{path}"


def test_what_is_written_is_told_apart_by_its_kind() -> None:
    written = {"kind": "compressed_sensing", "m": 9, "outliers": {"kind": "rows", "share": 0.5}}
    expected = CompressedSensing(m=9, outliers=CorruptedRows(share=0.5))
    assert TypeAdapter(Task).validate_python(written) == expected
    assert expected.id != CompressedSensing(m=9).id
