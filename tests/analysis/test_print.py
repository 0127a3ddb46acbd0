"""Figures as files: found by name, their buttons pressed, drawn at the size that was asked for."""

import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from browsers import needs_chromium
from PIL import Image

from lip_ray.analysis import named, report_sections
from lip_ray.analysis.named import figure_names, figure_of
from lip_ray.analysis.page.section import Section
from lip_ray.analysis.print import FigureError, write_figure


@pytest.fixture(scope="module", autouse=True)
def _pages_are_made_once() -> Iterator[None]:
    """The stores of these tests live as long as all of them, and never change."""
    made: dict[int, list[Section]] = {}

    def parts(store: Any, name: str) -> list[list[Section]]:
        if id(store) not in made:
            made[id(store)] = report_sections(store)
        return [made[id(store)]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named, "report_parts", parts)
        yield


@pytest.fixture
def line() -> go.Figure:
    """One line that a legend names, with a menu above."""
    figure = go.Figure(go.Scatter(x=[1, 2], y=[1, 3], name="a <b>line</b>", showlegend=True))
    return figure.update_layout(updatemenus=[{"buttons": [{"label": "A button"}]}])


class TestNames:
    def test_figures_have_the_names_of_what_they_show(self, study: Any, travelled: Any) -> None:
        assert figure_names(study)["frontier"] == ["Frontier"]
        assert figure_names(study)["grid"] == ["astronaut: denoising, σ = 25"]
        assert {"frontier", "transfer"} <= set(figure_names(travelled))

    def test_a_wrong_name_gets_the_nearest_and_all(self, study: Any) -> None:
        with pytest.raises(FigureError, match=r"no figure 'fronteir'.*'frontier'.*there are: "):
            figure_of(study, "fronteir")

    @pytest.mark.parametrize("part", [7, -1, "nothing like it"])
    def test_a_wrong_part_gets_the_list(self, study: Any, part: Any) -> None:
        with pytest.raises(FigureError, match=r"is no part.*0: astronaut"):
            figure_of(study, "grid", part=part)

    def test_a_part_may_be_named(self, travelled: Any) -> None:
        camera = figure_of(travelled, "grid", part="camera:")
        assert camera == figure_of(travelled, "grid", part=1) != figure_of(travelled, "grid")
        with pytest.raises(FigureError, match="fits several parts"):
            figure_of(travelled, "grid", part="denoising")


class TestButtons:
    @pytest.mark.parametrize(("which", "psnr_db"), [("selected", 27.4), ("peak", 27.9)])
    def test_which_psnr(self, study: Any, which: str, psnr_db: float) -> None:
        figure = figure_of(study, "frontier", which=which)
        line = next(trace for trace in figure.data if trace.name == "IMP (magnitude)")
        assert line.y[2] == pytest.approx(psnr_db + 0.05)
        assert which in figure.layout.yaxis.title.text.casefold()
        assert figure.layout.updatemenus == ()

    def test_an_unknown_psnr(self, study: Any) -> None:
        with pytest.raises(FigureError, match=r"no PSNR 'best'.*selected, peak, final"):
            figure_of(study, "frontier", which="best")

    def test_words_of_a_combined_menu(self, sensing: Any) -> None:
        figure = figure_of(sensing, "sensing", which="final", choose=["MSE", "measurements 100"])
        assert "MSE" in figure.layout.yaxis.title.text
        assert "PSNR" in figure_of(sensing, "sensing", which="final").layout.yaxis.title.text

    def test_words_of_a_second_menu(self, travelled: Any) -> None:
        figure = figure_of(travelled, "transfer", choose=["0.25"])
        assert [trace.visible for trace in figure.data] == [False, True, False]

    def test_words_of_the_frontier(self, travelled: Any) -> None:
        figure = figure_of(travelled, "frontier", which="peak", choose=["camera", "Kept weights"])
        assert figure.layout.xaxis.title.text == "Kept prunable weights"
        assert "Peak" in figure.layout.yaxis.title.text
        with pytest.raises(FigureError, match=r"no button here has coffee; there are: .*camera"):
            figure_of(travelled, "frontier", choose=["coffee"])

    def test_words_on_no_button(self, travelled: Any) -> None:
        with pytest.raises(
            FigureError, match=r"no button here has 0\.9; there are: Selected, Peak"
        ):
            figure_of(travelled, "transfer", choose=["0.9"])


@needs_chromium
class TestFiles:
    @pytest.fixture(autouse=True)
    def kaleido(self) -> None:
        """Drawn by it."""
        pytest.importorskip("kaleido", reason="kaleido is not installed")

    @pytest.mark.slow
    def test_a_pdf_has_its_size_and_its_font(self, line: go.Figure, tmp_path: Path) -> None:
        output = tmp_path / "line.pdf"
        write_figure(line, output, width_mm=85, height_mm=60)
        content = output.read_bytes()
        [box] = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content))
        assert [float(side) for side in box] == pytest.approx([240.9, 170.1], abs=0.5)
        assert b"/FontFile2" in content or b"/FontFile3" in content

    def test_an_svg_has_its_size_and_no_buttons(self, line: go.Figure, tmp_path: Path) -> None:
        output = tmp_path / "line.svg"
        write_figure(line, output, width_mm=85, height_mm=60, font="Liberation Serif")
        content = output.read_text(encoding="utf-8")
        width, height = re.findall(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', content)[0]
        assert [float(width), float(height)] == pytest.approx([321.26, 226.77], abs=0.1)
        assert "Liberation Serif" in content
        assert "line" in content
        assert "A button" not in content

    @pytest.mark.slow
    def test_a_png_has_its_resolution(self, line: go.Figure, tmp_path: Path) -> None:
        output = tmp_path / "line.png"
        write_figure(line, output, width_mm=50.8, height_mm=25.4, dpi=200)
        with Image.open(output) as image:
            assert image.size == (400, 200)
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)

    def test_a_browser_that_hangs_is_ended(
        self, line: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output, pid = tmp_path / "line.svg", tmp_path / "pid"
        monkeypatch.setenv("BROWSER_PATH", str(program(tmp_path, f"echo $$ > {pid}; sleep 600")))
        for timeout_s in (2, 20, 200):  # until the browser has begun, however slow the machine
            with pytest.raises(FigureError, match=f"silent for {timeout_s} s"):
                write_figure(line, output, timeout_s=timeout_s)
            if pid.exists() and pid.read_text().strip():
                break
        assert not output.exists()
        assert not Path("/proc", pid.read_text().strip()).exists()

    def test_a_browser_that_fails_is_named(
        self, line: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BROWSER_PATH", str(program(tmp_path, "exit 3")))
        with pytest.raises(FigureError, match="the browser that draws figures failed"):
            write_figure(line, tmp_path / "line.svg")

    def test_what_the_browsers_pipe_logs_is_not_shown(
        self,
        line: go.Figure,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Whether a message is cut off when a browser ends is chance."""
        cut_off = r"""printf '{"method": \0' >&4; sleep 1; exit 3"""
        monkeypatch.setenv("BROWSER_PATH", str(program(tmp_path, cut_off)))
        with pytest.raises(FigureError, match="the browser that draws figures failed"):
            write_figure(line, tmp_path / "line.svg")
        assert caplog.text == ""


def program(folder: Path, line: str) -> Path:
    """A shell script of one line."""
    path = folder / "browser"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class TestMistakes:
    @pytest.mark.parametrize("name", ["line.eps", "line", "line.jpeg"])
    def test_a_suffix(self, line: go.Figure, tmp_path: Path, name: str) -> None:
        with pytest.raises(FigureError, match=rf"{name}: .*\.pdf, \.svg, \.png"):
            write_figure(line, tmp_path / name)

    @pytest.mark.parametrize("size", ["width_mm", "height_mm", "font_size_pt", "dpi", "timeout_s"])
    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_size(self, line: go.Figure, tmp_path: Path, size: str, value: float) -> None:
        with pytest.raises(FigureError, match=rf"{size} must be positive"):
            write_figure(line, tmp_path / "line.svg", **{size: value})

    def test_a_folder(self, line: go.Figure, tmp_path: Path) -> None:
        with pytest.raises(FigureError, match="there is no folder"):
            write_figure(line, tmp_path / "none" / "line.svg")

    def test_no_kaleido(
        self, line: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "kaleido", None)
        with pytest.raises(FigureError, match=r"pip install 'lip-ray\[figures\]'"):
            write_figure(line, tmp_path / "line.svg")

    def test_no_browser(
        self, line: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("kaleido", reason="kaleido is not installed")
        monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
        with pytest.raises(FigureError, match=r"apt-get install chromium.*BROWSER_PATH"):
            write_figure(line, tmp_path / "line.svg")
