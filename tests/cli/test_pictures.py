"""`lip picture` and `lip restore`: whole images, at the size and depth of what came in."""

import io
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from lip_ray.analysis.statistics import rounding
from lip_ray.cli import app
from lip_ray.data.encoding import png_of
from lip_ray.data.images import _framed
from lip_ray.exchange import restoring
from lip_ray.exchange.restoring import Restoration, Wishes, prepared
from lip_ray.records import LevelRecord
from lip_ray.store import Writer
from lip_ray.trials import AnyTrial, Context, Trajectory, run

HEIGHT, WIDTH = 21, 33
MEASURED = Restoration.seconds_per_step
SPEC: dict[str, Any] = {
    "images": {"kind": "builtin", "name": "camera", "size": [HEIGHT, WIDTH]},
    "task": {"kind": "denoising", "sigma": 25},
    "prior": {"kind": "skip", "width": 4, "scales": 1, "input_channels": 2},
    "schedule": [1, 0.5],
    "fit": {"steps": 12, "stopping": {"kind": "wmv", "window": 6, "stride": 3}},
}


def lip(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def stored(store: Path, trial: AnyTrial, kept: str = "auto") -> list[LevelRecord]:
    """The rows of a trial, also written into a store."""
    from lip_ray.engine.trainable import trial_record

    writer = Writer.open(store)
    writer.write_trial(trial_record(trial, device="cpu"))
    context = Context(device=torch.device("cpu"), pictures=kept)  # type: ignore[arg-type]
    rows = list(run(trial, context))
    for _, level in groupby(rows, key=lambda row: row.level):
        writer.write_level(list(level))
    return rows


def trajectory(**changes: Any) -> Trajectory:
    return Trajectory.model_validate(SPEC | changes)


def noisy(height: int = HEIGHT, width: int = WIDTH, channels: int = 1, *, deep: bool = False):
    """A smooth picture with noise, (H, W) or (H, W, 3)."""
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = 0.5 + 0.3 * np.sin(rows / 5)[..., None] * np.cos(columns / 7)[..., None]
    values = (smooth + draws.normal(0, 0.08, (height, width, channels))).clip(0, 1)
    most, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return (values * most).round().astype(kind).squeeze(2 if channels == 1 else ())


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trajectory, list[LevelRecord]]:
    """A store whose pictures are small, its trial, and the rows of that with full ones."""
    folder, trial = tmp_path_factory.mktemp("stored"), trajectory()
    stored(folder / "small", trial, "small")
    return folder / "small", trial, stored(folder / "full", trial, "full")


def of_role(record: LevelRecord, role: str) -> np.ndarray[Any, Any]:
    """A picture of a row, as 8-bit pixels."""
    [picture] = [one for one in record.pictures if one.role == role]
    deep = np.asarray(Image.open(io.BytesIO(picture.png)))
    return (deep / 257).round().astype(np.uint8)


class TestPicture:
    def test_it_is_fitted_again_to_the_same_bits_and_checked(self, made) -> None:
        store, trial, rows = made
        shown = lip("picture", f"{trial.id[:6]}@1", "-o", "a.png", "--store", store)
        assert shown.exit_code == 0, shown.output
        found = np.asarray(Image.open("a.png"))
        assert found.dtype == np.uint8
        assert np.array_equal(found, of_role(rows[1], "selected"))
        assert "fitted again" in shown.stderr
        assert "another CPU" in shown.stderr
        assert f"{rows[1].psnr_selected_db:.2f} dB, stored are" in shown.stderr
        assert "warning" not in shown.stderr
        assert "step 0 of at most 12" in shown.stderr
        assert shown.stdout.startswith("a.png: selected of camera, level 1 of trial ")
        assert f"{WIDTH}×{HEIGHT}, 8 bits" in shown.stdout

    def test_stored_ones_are_not_fitted_again(self, made, monkeypatch) -> None:
        from lip_ray.exchange import pictures

        monkeypatch.delattr(pictures, "refit")
        store, trial, rows = made
        for which in ("selected", "peak", "final", "measured", "clean", "error"):
            full = store.parent / "full"
            shown = lip("picture", trial.id, "-o", "a.png", "--which", which, "--store", full)
            assert shown.exit_code == 0, shown.output
            assert shown.stderr == "level 1, the last\n"
            if which in ("selected", "peak", "final"):
                assert np.array_equal(np.asarray(Image.open("a.png")), of_role(rows[1], which))

    @pytest.mark.parametrize("which", ["measured", "clean"])
    def test_what_was_given_is_drawn_again_without_a_fit(self, made, monkeypatch, which) -> None:
        from lip_ray.exchange import pictures

        monkeypatch.delattr(pictures, "refit")
        store, trial, rows = made
        shown = lip("picture", f"{trial.id}@1", "-o", "a.png", "--which", which, "--store", store)
        assert shown.exit_code == 0, shown.output
        assert np.array_equal(np.asarray(Image.open("a.png")), of_role(rows[0], which))

    def test_an_error_map_states_its_range(self, made) -> None:
        store, trial, rows = made
        full = store.parent / "full"
        arguments = ("picture", f"{trial.id}@0", "--which", "error", "--store", full)
        shown = lip(*arguments, "-o", "a.png")
        assert shown.exit_code == 0, shown.output
        assert "black 0 to yellow 64 of 255 and above" in shown.stdout
        assert np.asarray(Image.open("a.png")).shape == (HEIGHT, WIDTH, 3)
        assert lip(*arguments, "-o", "a.npy").exit_code == 0
        clean, selected = (of_role(rows[0], role) for role in ("clean", "selected"))
        expected = np.abs(clean.astype(float) - selected) / 255
        assert np.load("a.npy") == pytest.approx(expected, abs=1.01 / 255)

    @pytest.mark.parametrize("ending", [".tif", ".npy"])
    def test_other_formats(self, made, ending) -> None:
        store, trial, rows = made
        output = f"a{ending}"
        shown = lip("picture", f"{trial.id}@1", "-o", output, "--store", store.parent / "full")
        assert shown.exit_code == 0, shown.output
        if ending == ".tif":
            assert np.array_equal(tifffile.imread(output), of_role(rows[1], "selected"))
        else:
            found = np.load(output)
            assert found.shape == (HEIGHT, WIDTH)
            assert found * 255 == pytest.approx(of_role(rows[1], "selected"), abs=0.51)

    def test_sixteen_bits_where_the_input_had_them(self, tmp_path: Path) -> None:
        (tmp_path / "deep.png").write_bytes(png_of(noisy(channels=3, deep=True)))
        image = {"kind": "file", "path": "deep.png", "white": 65535, "measured": True}
        trial = trajectory(images=image, task={"kind": "denoising"}, schedule=[1])
        stored(tmp_path / "store", trial)
        for output in ("a.png", "a.tif"):
            shown = lip("picture", trial.id, "-o", output, "--store", "store")
            assert shown.exit_code == 0, shown.output
            assert "16 bits" in shown.stdout
        assert Path("a.png").read_bytes()[24] == 16
        assert tifffile.imread("a.tif").dtype == np.uint16

    def test_a_fit_that_differs_by_more_than_rounding_is_told(self, made, monkeypatch) -> None:
        store, trial, _ = made
        monkeypatch.setattr(rounding, "ROUNDING_SD_DB", -1.0)
        shown = lip("picture", f"{trial.id}@1", "-o", "a.png", "--store", store)
        assert shown.exit_code == 0
        assert "warning: fitted again" in shown.stderr
        assert "more than rounding" in shown.stderr

    def test_one_of_several_images(self, tmp_path: Path) -> None:
        coins = {"kind": "builtin", "name": "coins", "size": [20, 24]}
        trial = trajectory(images=[SPEC["images"], coins], schedule=[1])
        rows = stored(tmp_path / "store", trial, "full")
        shown = lip("picture", trial.id, "-o", "a.png", "--store", "store")
        assert shown.exit_code == 2
        assert "has 2 images, choose one: 0 (camera), 1 (coins)" in shown.stderr
        for chosen in ("1", "coins"):
            shown = lip("picture", trial.id, "-o", "a.png", "--image", chosen, "--store", "store")
            assert shown.exit_code == 0, shown.output
            assert np.array_equal(np.asarray(Image.open("a.png")), of_role(rows[1], "selected"))
        shown = lip("picture", trial.id, "-o", "a.png", "--image", "2", "--store", "store")
        assert "has no image '2'; allowed: 0 (camera), 1 (coins)" in shown.stderr

    def test_a_photo_without_truth(self, tmp_path: Path) -> None:
        Image.fromarray(noisy()).save("photo.png")
        image = {"kind": "file", "path": "photo.png", "measured": True}
        trial = trajectory(images=image, task={"kind": "denoising"}, schedule=[1])
        stored(tmp_path / "store", trial, "small")
        arguments = ("picture", trial.id, "-o", "a.png", "--store", "store")
        for which, why in (("peak", "has no peak: no clean image"), ("clean", "no clean image")):
            shown = lip(*arguments, "--which", which)
            assert shown.exit_code == 2
            assert why in shown.stderr.splitlines()[-1]
            assert "fitted again" not in shown.stderr
        shown = lip(*arguments)
        assert shown.exit_code == 0
        assert "as stored" in shown.stderr
        Path("photo.png").unlink()
        _framed.cache_clear()
        shown = lip(*arguments)
        assert shown.exit_code == 2
        assert "cannot read image" in shown.stderr.splitlines()[-1]

    def test_masks_that_are_gone(self, made, tmp_path: Path) -> None:
        import shutil

        store, trial, _ = made
        copy = shutil.copytree(store, tmp_path / "copy")
        (copy / "masks" / f"{trial.id}-001.parquet").unlink()
        shown = lip("picture", f"{trial.id}@1", "-o", "a.png", "--store", copy)
        assert shown.exit_code == 2
        assert "cannot be fitted again: its mask is not in the store" in shown.stderr
        assert len(shown.stderr.splitlines()) == 1
        assert not Path("a.png").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("xyz", "-o", "a.png"), "'xyz' is no level of a trial: allowed are TRIAL_ID@LEVEL"),
            (("{id}@7", "-o", "a.png"), "has no level 7; levels there are: 0, 1"),
            (("{id}", "-o", "a.jpg"), "--output: the name must end in .png, .tif, .tiff, .npy"),
            (("{id}", "-o", "a.png", "--which", "best"), "--which: unknown image 'best'; allowed"),
            (("ffffffff", "-o", "a.png"), "no trial ffffffff"),
        ],
    )
    def test_wrong_input_is_one_line(self, made, arguments, message) -> None:
        store, trial, _ = made
        given = [argument.format(id=trial.id) for argument in arguments]
        shown = lip("picture", *given, "--store", store)
        assert shown.exit_code == 2
        assert message in shown.stderr
        assert len(shown.stderr.splitlines()) == 1
        assert not Path("a.png").exists()

    def test_kinds_that_restore_nothing(self, tmp_path: Path, level_of_a_generator: None) -> None:
        shown = lip("picture", "a" * 16, "-o", "a.png", "--store", "store")
        assert shown.exit_code == 2
        assert "is a generator, which restores no image" in shown.stderr


@pytest.fixture
def level_of_a_generator(tmp_path: Path) -> None:
    from tests.store.conftest import make_level, make_trial

    writer = Writer.open(tmp_path / "store")
    writer.write_trial(make_trial(kind="generator"))
    writer.write_level([make_level()])


Save = Callable[..., Path]


@pytest.fixture
def photo(tmp_path: Path) -> Save:
    """Writes a degraded picture."""

    def saved(name: str = "photo.png", **options: Any) -> Path:
        pixels = noisy(**options)
        if pixels.dtype == np.uint16:
            Path(name).write_bytes(png_of(pixels))
        else:
            Image.fromarray(pixels).save(name)
        return Path(name)

    return saved


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "WIDTHS", ())
    monkeypatch.setattr(restoring, "NARROWEST", 2)
    monkeypatch.setattr(restoring, "available_cpus", lambda: 1)
    monkeypatch.setattr(Restoration, "seconds_per_step", lambda self: 0.25)


def restored(*arguments: object, steps: int = 3) -> Result:
    return lip("restore", *arguments, "-o", "out.png", "--steps", steps)


class TestRestore:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("deep", [False, True])
    def test_size_colour_and_depth_are_kept(self, photo: Save, channels, deep) -> None:
        shown = restored(photo(channels=channels, deep=deep))
        assert shown.exit_code == 0, shown.output
        header = Path("out.png").read_bytes()[16:26]
        assert [int.from_bytes(header[at : at + 4]) for at in (0, 4)] == [WIDTH, HEIGHT]
        assert header[8] == (16 if deep else 8)
        assert header[9] == (0 if channels == 1 else 2)

    def test_what_it_does_is_told_beforehand(self, photo: Save) -> None:
        shown = restored(photo())
        first, network, forecast, *_ = shown.stderr.splitlines()
        assert first.startswith(f"photo: {WIDTH}×{HEIGHT}, grey, 8 bits, noise of about σ = ")
        assert network.startswith("task denoising; skip network of width 2 with 1 scales")
        assert forecast.startswith("at most about 1 s: 3 steps of 0.25 s, as measured now")
        assert shown.stdout.startswith(f"out.png: {WIDTH}×{HEIGHT}, 8 bits; step ")

    def test_the_estimated_noise_is_about_that_of_the_photo(self, photo: Save) -> None:
        shown = restored(photo(height=64, width=65))
        assert float(shown.stderr.split("σ = ")[1].split()[0]) == pytest.approx(20.4, rel=0.15)

    def test_it_is_nearer_to_the_truth_than_the_photo(self, photo: Save, monkeypatch) -> None:
        monkeypatch.setattr(restoring, "NARROWEST", 8)
        path = photo(height=40, width=44)
        shown = restored(path, steps=150)
        assert shown.exit_code == 0, shown.output
        rows, columns = np.mgrid[0:40, 0:44]
        truth = 255 * (0.5 + 0.3 * np.sin(rows / 5) * np.cos(columns / 7))
        before, after = (
            np.square(np.asarray(Image.open(name)) - truth).mean() for name in (path, "out.png")
        )
        assert after < before / 2

    def test_the_same_seed_makes_the_same_file(self, photo: Save) -> None:
        restored(photo())
        first = Path("out.png").read_bytes()
        restored(photo())
        assert Path("out.png").read_bytes() == first
        restored(photo(), "--seed", 1)
        assert Path("out.png").read_bytes() != first

    def test_a_density_is_reached_in_levels_that_prune_half_at_most(self, photo: Save) -> None:
        shown = restored(photo(), "--density", 0.2)
        assert shown.exit_code == 0, shown.output
        assert "4 fits at densities 1, 0.585, 0.342, 0.2" in shown.stderr
        assert "level 3 of 3: step 0 of at most 3" in shown.stderr
        assert "density 0.2" in shown.stdout

    def test_orientation_is_applied(self) -> None:
        picture, exif = Image.fromarray(noisy(channels=3)), Image.Exif()
        exif[0x0112] = 6
        picture.save("turned.jpg", exif=exif)
        assert restored("turned.jpg").exit_code == 0
        assert Image.open("out.png").size == (HEIGHT, WIDTH)

    def test_the_stated_noise_ends_a_fit_by_its_residual(self, photo: Save) -> None:
        path = photo(height=40, width=44)
        strong = restored(path, "--noise", 90, steps=60)
        weak = restored(path, "--noise", 1, steps=60)
        steps = [int(one.stdout.split("; step ")[1].split()[0]) for one in (strong, weak)]
        assert steps[0] < steps[1]

    @pytest.mark.parametrize("task", ["poisson", "salt_and_pepper", "{kind: denoising}"])
    def test_other_noise(self, photo: Save, task: str) -> None:
        assert restored(photo(), "--task", task).exit_code == 0

    def test_super_resolution_makes_it_larger(self, photo: Save) -> None:
        assert restored(photo(), "--task", "super_resolution").exit_code == 0
        assert Image.open("out.png").size == (2 * WIDTH, 2 * HEIGHT)
        given = restored(photo(), "--task", "{kind: super_resolution, factor: 4}")
        assert given.exit_code == 0
        assert Image.open("out.png").size == (4 * WIDTH, 4 * HEIGHT)

    def test_inpainting_by_a_mask(self, photo: Save) -> None:
        mask = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        mask[5:9, 6:12] = 0
        Image.fromarray(mask).save("mask.png")
        shown = restored(photo(), "--task", "inpainting", "--mask", "mask.png")
        assert shown.exit_code == 0, shown.output

    @pytest.mark.parametrize("deep", [False, True])
    def test_inpainting_takes_transparent_pixels_as_missing(self, photo: Save, deep) -> None:
        colours = noisy(channels=3)
        alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
        alpha[5:9, 6:12] = 0
        whole = np.concatenate([colours, alpha], 2)
        if deep:
            from tests.pictures import png_of as with_alpha

            Path("holes.png").write_bytes(with_alpha(whole.astype(np.uint16) * 257, colour=6))
        else:
            Image.fromarray(whole).save("holes.png")
        shown = restored("holes.png", "--task", "inpainting")
        assert shown.exit_code == 0, shown.output
        assert shown.stderr.startswith(f"holes: {WIDTH}×{HEIGHT}, colour, {16 if deep else 8} bits")
        header = Path("out.png").read_bytes()[16:26]
        assert (header[8], header[9]) == (16 if deep else 8, 2)

    def test_transparent_pixels_are_refused_for_other_tasks(self) -> None:
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 4), np.uint8)).save("holes.png")
        shown = restored("holes.png")
        assert shown.exit_code == 2
        assert "holes.png has transparent pixels" in shown.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gone.png"], "cannot read image gone.png"),
            (["notes.txt"], "notes.txt is not an image that can be read"),
            (["cut.png"], "cut.png is not an image that can be read"),
            (["photo.png", "--density", 0], "density must be in (0, 1], got 0"),
            (["photo.png", "--density", 1e-9], "schedule: level "),
            (["photo.png", "--task", "denoizing"], "unknown kind 'denoizing'"),
            (["photo.png", "--task", "[1]"], "task must be a kind of task or a mapping, got '[1]'"),
            (["photo.png", "--task", "inpainting"], "inpainting needs a mask"),
            (["photo.png", "--mask", "photo.png"], "a mask is for the task inpainting"),
            (
                ["photo.png", "--task", "inpainting", "--mask", "small.png"],
                "mask: is 2×9, photo",
            ),
            (["photo.png", "--task", "poisson", "--noise", 20], "noise is stated for the task"),
            (["photo.png", "--task", "{kind: denoising, sigma: 25}"], "is measured already"),
            (["photo.png", "--white", 4], "must have values from 0 to its white, 4"),
            (["small.png"], "needs at least 3×3"),
        ],
    )
    def test_wrong_input_is_one_line(self, photo: Save, arguments, message) -> None:
        whole = photo().read_bytes()
        Path("cut.png").write_bytes(whole[:-400])
        Path("notes.txt").write_text("no picture")
        Image.fromarray(noisy(2, 9)).save("small.png")
        shown = restored(*arguments)
        assert shown.exit_code == 2, shown.output
        assert message in shown.stderr
        assert len(shown.stderr.splitlines()) == 1
        assert not Path("out.png").exists()

    def test_what_no_memory_suffices_for_is_refused(self, photo: Save, monkeypatch) -> None:
        monkeypatch.setattr(restoring, "BYTES_A_PIXEL", 10**15)
        shown = restored(photo())
        assert shown.exit_code == 2
        assert f"an image of {HEIGHT * WIDTH} pixels takes about" in shown.stderr
        assert "make it smaller" in shown.stderr

    def test_the_photo_is_never_written_over(self, photo: Save) -> None:
        path = photo()
        before = path.read_bytes()
        shown = lip("restore", path, "-o", path)
        assert shown.exit_code == 2
        assert "is the photo itself" in shown.stderr
        assert path.read_bytes() == before

    def test_an_interrupt_leaves_nothing(self, photo: Save, monkeypatch, tmp_path: Path) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        path = photo()
        monkeypatch.setattr(Restoration, "run", interrupted)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
        (tmp_path / "scratch").mkdir()
        shown = restored(path)
        assert shown.exit_code == 130
        assert shown.stderr.splitlines()[-1] == "interrupted"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["photo.png", "scratch"]
        assert list((tmp_path / "scratch").iterdir()) == []

    def test_an_old_file_stays_where_the_disk_is_full(self, photo: Save, monkeypatch) -> None:
        Path("out.png").write_bytes(b"before")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        shown = restored(photo())
        assert shown.exit_code == 2
        assert Path("out.png").read_bytes() == b"before"


class TestProgress:
    def test_a_terminal_has_one_line_that_is_cleared(self, capsys, monkeypatch) -> None:
        from lip_ray.cli import pictures
        from lip_ray.records import Standing

        monkeypatch.setattr(pictures.sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "30")
        with pictures._progress() as report:
            for step in (0, 5):
                report(Standing(trial_id="a", level=0, step=step, steps=10, psnr_db=21.5))
        shown = capsys.readouterr().err
        assert "\n" not in shown
        lines = shown.split("\r\x1b[K")
        assert lines[-1] == ""
        assert all(len(line) < 30 for line in lines)
        assert lines[1].startswith("step 0 of at most 10")


def test_what_is_measured_is_a_step(photo: Save) -> None:
    with prepared(photo(), Wishes(steps=50), torch.device("cpu")) as restoration:
        assert 0 < MEASURED(restoration) < 5
