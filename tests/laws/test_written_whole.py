"""Whatever is written outside a store is written beside its place and moved there."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEARCHED = ("lip_ray", "analysis", "sweeps", "benchmarks", "docs", "examples", "tests/laws/pins.py")

WRITERS = {
    *("write_bytes", "write_text", "to_csv", "to_json", "to_parquet", "to_excel", "to_html"),
    *("write_html", "write_image", "write_table", "write_csv", "savez", "savez_compressed"),
    *("savefig", "save_file", "save", "dump", "copy", "copyfile", "copy2", "tofile"),
}
"""Names of methods and functions that may write a file, where they are given one."""

BESIDE = {
    "lip_ray/outputs.py": "it is how",
    "lip_ray/store/files.py": "the store's own way: beside and linked",
    "benchmarks/synthetic.py": "a whole store, in a folder that is new",
}
IN_MEMORY = {
    ("lip_ray/store/writer.py", "write_table"),
    ("lip_ray/store/upkeep/compact.py", "write_table"),
    ("lip_ray/store/formats.py", "write_table"),
    ("lip_ray/store/formats.py", "write_csv"),
    ("lip_ray/data/encoding.py", "save"),
    ("lip_ray/data/images.py", "save"),
    ("lip_ray/trials/ticketfile.py", "save"),
    ("lip_ray/priors/generators/file.py", "save"),
    ("lip_ray/fits/checkpoint.py", "save"),
    ("lip_ray/fits/adversarial.py", "save"),
    ("lip_ray/strict_yaml.py", "dump"),
    ("lip_ray/cli/common.py", "to_csv"),
    ("lip_ray/cli/common.py", "to_json"),
}
"""Calls that give bytes or text, or save into memory or the store."""

NO_OUTPUT = {
    ("lip_ray/trials/recording.py", "write_bytes"): "a switch of the kernel",
    ("lip_ray/scratch.py", "open"): "a lock in a folder of its own",
    ("lip_ray/engine/wandb_runs.py", "fdopen"): "a stream",
    ("benchmarks/engine.py", "open"): "a log that processes append to",
    ("lip_ray/fits/sparse/loading.py", "open"): "a lock, which stays empty",
}


def test_all_outputs_are_written_whole() -> None:
    found = {call for path in searched() for call in written_in(path)}
    strangers = {call for call in found if call[0] not in BESIDE} - IN_MEMORY - NO_OUTPUT.keys()
    assert not strangers, "write outputs with lip_ray.outputs"


def searched() -> Iterator[Path]:
    for name in SEARCHED:
        place = ROOT / name
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def written_in(path: Path) -> Iterator[tuple[str, str]]:
    """The file, and what may write there, of every call."""
    where = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if (name in WRITERS and (node.args or node.keywords)) or opens_for_writing(node, name):
                yield where, name


def opens_for_writing(node: ast.Call, name: str) -> bool:
    """`open` with a mode that is not for reading alone."""
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    modes = [one.value for one in given if isinstance(one, ast.Constant)]
    return name in ("open", "fdopen") and any(
        isinstance(mode, str) and set(mode) <= set("rwaxb+t") and set(mode) & set("wax+")
        for mode in modes
    )
