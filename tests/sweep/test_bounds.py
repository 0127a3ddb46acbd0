"""Sweeps that would make work without end are refused before any of it is done."""

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from lip_ray import strict_yaml
from lip_ray.strict_yaml import YamlError
from lip_ray.sweep import Sweep, SweepError

TINY: dict[str, Any] = {
    "name": "tiny",
    "trial": {
        "images": {"kind": "builtin", "name": "camera", "size": [32, 32]},
        "task": {"kind": "denoising", "sigma": 25},
        "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
        "schedule": [1, 0.5],
        "fit": {"steps": 100},
    },
}
QUICKLY_S = 10.0
"""Where the work itself would take hours."""


def faults(document: object, *overrides: str, folder: Path = Path()) -> str:
    begun = time.monotonic()
    with pytest.raises(SweepError) as caught:
        Sweep.build(document, overrides=overrides, folder=folder)
    assert time.monotonic() - begun < QUICKLY_S
    return str(caught.value)


class TestGrids:
    VAST: ClassVar[dict[str, Any]] = {
        path: list(range(100)) for path in ("seed", "fit.steps", "task.sigma")
    }

    def test_a_million_points_are_counted_and_refused(self) -> None:
        message = faults(TINY | {"grid": self.VAST})
        assert (
            "grid: makes 1,000,000 trials (100 × 100 × 100), more than run.most_trials, 10,000: "
            "raise that if so many are meant"
        ) in message

    def test_cases_count_too(self) -> None:
        cases = [{"task.sigma": sigma} for sigma in range(1, 301)]
        grid = {"seed": list(range(50))}
        message = faults(TINY | {"cases": cases, "grid": grid})
        assert "makes 15,000 trials (300 × 50)" in message

    def test_the_limit_can_be_moved(self) -> None:
        document = TINY | {"grid": {"seed": [0, 1, 2]}}
        message = faults(document, "run.most_trials=2")
        assert "makes 3 trials (3), more than run.most_trials, 2" in message
        assert len(Sweep.build(document, overrides=["run.most_trials=3"]).trials) == 3

    @pytest.mark.parametrize("limit", ["0", "many", "1e12", "1000000000000"])
    def test_a_wrong_limit_is_one_message_and_no_way_around(self, limit: str) -> None:
        message = faults(TINY | {"grid": self.VAST}, f"run.most_trials={limit}")
        assert "run.most_trials: must be " in message
        assert "makes 1,000,000 trials" in message

    def test_those_of_a_sweeps_sources_are_counted(self, tmp_path: Path) -> None:
        (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(TINY | {"grid": self.VAST}))
        ours = {
            "name": "moved",
            "trial": {"kind": "transfer", "images": "camera", "travels": "mask"},
            "sources": "theirs.yaml",
        }
        assert "makes 1,000,000 trials" in faults(ours, folder=tmp_path)

    def test_a_search_counts_what_it_would_check(self) -> None:
        search = {
            "space": {"fit.steps": list(range(1, 2001))},
            "objectives": [{"column": "psnr_peak_db", "direction": "maximize"}],
            "points": 3,
        }
        message = faults(TINY | {"search": search, "grid": {"seed": [0, 1, 2]}})
        assert "search: has 2,000 values to be checked with 2 points, in 3 trials each" in message


class TestCounts:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("schedule", {"kind": "rate", "rate": 1e-9, "steps": 10**9}),
            ("schedule", [1 - level / 20_000 for level in range(20_000)]),
            ("fit.steps", 10**12),
            ("fit.stopping", {"kind": "wmv", "window": 10**6, "stride": 1}),
            ("images.size", [10**6, 10**6]),
            ("images.size", [1, 10**12]),
            ("prior.width", 10**9),
            ("prior.scales", 10**9),
            ("task", {"kind": "deblurring", "kernel": {"kind": "gaussian", "std": 1e9}}),
            ("task", {"kind": "deblurring", "kernel": {"kind": "motion", "length": 1e9}}),
            ("task", {"kind": "compressed_sensing", "m": 10**12}),
            ("pruner", {"kind": "synflow", "rounds": 10**9}),
            ("pruner", {"kind": "oes", "steps": 10**12}),
        ],
    )
    def test_a_vast_one_is_refused_by_its_name(self, path: str, value: object) -> None:
        message = faults(
            TINY, f"{path}={yaml.safe_dump(value, default_flow_style=True, width=1e9)}"
        )
        field, _, inner = path.partition(".")
        assert f"trial.{field}" in message
        assert inner in message
        assert "must be" in message


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


class TestYaml:
    def test_a_billion_laughs(self) -> None:
        with pytest.raises(YamlError, match=r"line 7: it holds 5,380,840 values with its alias"):
            strict_yaml.parse(bomb(12))

    def test_as_mappings(self) -> None:
        text = "a0: &a0 {x: 1, y: 1}\n" + "\n".join(
            f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 60)
        )
        with pytest.raises(YamlError, match="values with its aliases, more than 1,000,000"):
            strict_yaml.parse(text)

    def test_in_a_sweep_and_an_override(self) -> None:
        assert "--set cases: line 1: it holds" in faults(
            TINY, f"cases={{{bomb(12)}}}".replace("\n", ", ")
        )

    def test_a_few_aliases_are_fine(self) -> None:
        assert strict_yaml.parse("a: &a [1, 2]\nb: [*a, *a]")["b"] == [[1, 2], [1, 2]]

    def test_a_long_text_and_a_long_number(self) -> None:
        with pytest.raises(YamlError, match="characters, more than 4,194,304"):
            strict_yaml.parse("#" * (2**22 + 1))
        for number in ("9" * 2000, "0x" + "f" * 2000, "0o" + "7" * 2000):
            with pytest.raises(YamlError, match=r"an int of 200[02] digits is too long"):
                strict_yaml.parse(f"a: {number}")
