"""References: each is one that the docstring of its method names, and every method has its own."""

import json
import re
from pathlib import Path

import pytest
import yaml

from lip_ray.fits.adversarial import AdversarialFit
from lip_ray.fits.lasso import Lasso
from lip_ray.fits.latent import Solver
from lip_ray.fits.stopping import Stopping
from lip_ray.literature import CITED, OTHER_TITLES, PAPERS, TITLES, bibtex_of, displayed
from lip_ray.priors import Prior
from lip_ray.priors.generators.file import Architecture
from lip_ray.pruning import Pruner
from lip_ray.pruning.random import Random
from lip_ray.pruning.snip import Snip
from lip_ray.spec import Spec, kind_of, kinds_of, members
from lip_ray.trials import Reconstruction, Trajectory
from lip_ray.trials.rewinding import Rewind

FAMILIES = {
    "pruner": Pruner,
    "prior": Prior | Architecture,
    "stopping": Stopping,
    "solver": Solver | Lasso,
    "rewind": Rewind,
}
CLASSES: dict[tuple[str, str], type[Spec]] = {
    **{(field, kind_of(one)): one for field, family in FAMILIES.items() for one in members(family)},
    ("trial", "reconstruction"): Reconstruction,
    ("trial", "generator"): AdversarialFit,
    ("scope", "erk"): Random,
    ("pruner", "snip in rounds"): Snip,
}
"""The class of whose docstring a reference is, by field and kind."""

STUDY = {("trial", "trajectory"), ("trial", "transfer")}
"""The kinds of the study itself, which the README names."""

ROOT = Path(__file__).parents[1]

WRITTEN = [
    ROOT / "README.md",
    ROOT / "sweeps/paper/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "lip_ray").rglob("*.py")),
    *sorted((ROOT / "analysis").rglob("*.py")),
    ROOT / "analysis/statistics/published.csv",
]
"""Files that name papers by the numbers that arXiv gave them."""

METHODS = [
    "pruning",
    "priors",
    "fits/stopping",
    "fits/adversarial.py",
    "fits/lasso.py",
    "fits/latent.py",
    "fits/roll_back.py",
    "trials/rewinding.py",
]
"""Modules of methods: each paper that they name has an entry."""

NUMBER = re.compile(
    r"(?:((?:19|20)\d\d)\W+(?:https://arxiv\.org/)?)?(?:arXiv|abs/)\s*(\d{4}\.\d{5})\b"
)

REFERENCE = re.compile(r"[A-Z][\w ,&]+?(?: et\s+al\.)?,? (?:19|20)\d\d\b")


def surname(key: str) -> str:
    """The surname of a paper's first author."""
    return PAPERS[key].author.partition(",")[0]


@pytest.mark.parametrize("cited", sorted(CITED.keys() - STUDY), ids=".".join)
def test_the_docstring_names_the_papers(cited: tuple[str, str]) -> None:
    said = " ".join((CLASSES[cited].__doc__ or "").split())
    for key in CITED[cited]:
        paper = PAPERS[key]
        assert re.search(rf"{surname(key)}[\w ,.&]*? {paper.year}\b", said), key
        assert not paper.arxiv or "arXiv" not in said or paper.arxiv in said, key


@pytest.mark.parametrize("cited", sorted(CLASSES), ids=".".join)
def test_a_class_that_names_a_paper_is_cited(cited: tuple[str, str]) -> None:
    first = (CLASSES[cited].__doc__ or "").partition("\n\n")[2] or CLASSES[cited].__doc__ or ""
    if cited == ("pruner", "random"):  # names that of a scope
        assert cited not in CITED
    elif REFERENCE.search(" ".join(first.split())):
        assert cited in CITED


def test_the_registry_has_no_dead_ends() -> None:
    assert {key for keys in CITED.values() for key in keys} == PAPERS.keys()
    assert CITED.keys() - STUDY <= CLASSES.keys()
    assert TITLES.keys() == set(kinds_of(Pruner)), "every criterion has a name for people"
    for key, paper in PAPERS.items():
        assert key.startswith(surname(key).lower().replace(" ", "") + str(paper.year))
        assert paper.within or paper.entry == "misc"


def test_papers_in_modules_of_methods_have_entries() -> None:
    named = [(surname(key).split()[-1], str(paper.year)) for key, paper in PAPERS.items()]
    paths = [ROOT / "lip_ray" / one for one in METHODS]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    assert len(files) > 30
    unknown = [
        f"{file.name}: {found}"
        for file in files
        for found in REFERENCE.findall(" ".join(file.read_text(encoding="utf-8").split()))
        if not found.startswith("Xiv")  # a number of arXiv, not a name
        if not any(name in found and found.endswith(year) for name, year in named)
    ]
    assert unknown == []


def test_papers_are_named_with_the_years_of_their_entries() -> None:
    years = {paper.arxiv: str(paper.year) for paper in PAPERS.values() if paper.arxiv}
    found = [
        (path.name, year, number)
        for path in WRITTEN
        for year, number in NUMBER.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 50
    assert [one for one in found if years.get(one[2]) != (one[1] or years.get(one[2], ""))] == []


def test_the_study_is_cited_alike_everywhere() -> None:
    study = PAPERS["wu2023chasing"]
    assert study.bibtex("wu2023chasing") in (ROOT / "README.md").read_text(encoding="utf-8")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    preferred = cited["preferred-citation"]
    names = [f"{one['family-names']}, {one['given-names']}" for one in preferred["authors"]]
    assert " and ".join(names) == study.author
    assert (preferred["title"], preferred["journal"]) == (study.title, study.within)
    assert (preferred["type"], preferred["year"]) == (study.entry, study.year)


def trajectory(**changes: object) -> str:
    """A spec as it is stored."""
    fields = {
        "images": [{"kind": "builtin", "name": "camera", "size": [32, 32]}],
        "task": {"kind": "denoising", "sigma": 25},
        "prior": {"kind": "skip", "width": 8, "scales": 2},
    }
    return Trajectory.model_validate(fields | changes).model_dump_json()


def keys_in(bibtex: str) -> list[str]:
    return re.findall(r"^@\w+{(\w+),$", bibtex, re.MULTILINE)


def test_a_store_cites_what_its_trials_use() -> None:
    plain = trajectory(pruner={"kind": "magnitude"})
    assert {"ulyanov2018deep", "han2015learning", "wu2023chasing"} <= set(
        keys_in(bibtex_of([plain]))
    )
    assert "lee2019snip" not in bibtex_of([plain])
    several = bibtex_of([plain, plain, trajectory(pruner={"kind": "snip", "scope": "erk"})])
    assert "lee2019snip" in several
    assert "evci2020rigging" in several
    assert "verdenius2020pruning" not in several
    assert "verdenius2020pruning" in bibtex_of([trajectory(pruner={"kind": "snip", "rounds": 5})])
    assert len(keys_in(several)) == len(set(keys_in(several)))
    assert bibtex_of([]) == ""


def test_sources_and_lists_are_looked_into() -> None:
    spec = {
        "kind": "transfer",
        "source": {"kind": "consensus", "trajectories": [{"pruner": {"kind": "oes"}}]},
        "fit": {"stopping": {"kind": "emv"}},
    }
    found = keys_in(bibtex_of([json.dumps(spec)]))
    assert {"ghosh2024optimal", "wang2021early"} <= set(found)
    assert bibtex_of([json.dumps({"kind": "unheard of", "pruner": None})]) == ""


def test_entries_are_bibtex() -> None:
    entry = PAPERS["lee2019snip"].bibtex("lee2019snip")
    assert entry.startswith("@inproceedings{lee2019snip,\n  author = {Lee, Namhoon and ")
    assert "  eprint = {1810.02340},\n  archiveprefix = {arXiv},\n}\n" in entry
    assert "eprint" not in PAPERS["huber1964robust"].bibtex("huber1964robust")
    assert "  howpublished = {arXiv:2112.06074},\n}\n" in PAPERS["wang2021early"].bibtex(
        "wang2021early"
    )
    for key, paper in PAPERS.items():
        text = paper.bibtex(key)
        assert text.count("{") == text.count("}")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("magnitude", "IMP (magnitude)"),
        ("snip from camera, seed 0", "SNIP from camera, seed 0"),
        ("random (scope erk)", "random (scope erk)"),
        ("dense, clean target", "dense, clean target"),
        ("magnitudes", "magnitudes"),
        ("", ""),
        ("<b>", "<b>"),
    ],
)
def test_methods_are_named_for_people(name: str, shown: str) -> None:
    assert displayed(name) == shown


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ('{"pruner": {"kind": "magnitude", "at": "level"}}', "IMP (magnitude)"),
        ('{"pruner": {"kind": "magnitude", "at": "init"}}', "magnitude at init"),
        ('{"source": {"pruner": {"kind": "magnitude", "at": "dense"}}}', "one-shot magnitude"),
        ('{"parts": [{"pruner": {"kind": "magnitude", "at": "init"}}]}', "magnitude at init"),
        ('{"pruner": {"kind": "random", "at": "init"}}', "IMP (magnitude)"),
        ('{"pruner": "magnitude"}', "IMP (magnitude)"),
        ("[]", "IMP (magnitude)"),
    ],
)
def test_a_method_is_named_by_what_its_pruner_does(settings: str, shown: str) -> None:
    assert displayed("magnitude", settings) == shown
    assert displayed("magnitude from camera", settings) == f"{shown} from camera"


@pytest.mark.parametrize(("kind", "field", "value"), OTHER_TITLES, ids="-".join)
def test_other_titles_are_of_pruners_that_there_are(kind: str, field: str, value: str) -> None:
    pruner = next(one for one in members(Pruner) if kind_of(one) == kind)
    settings = pruner.model_validate({field: value}).model_dump_json()
    shown = displayed(kind, f'{{"pruner": {settings}}}')
    assert shown == OTHER_TITLES[kind, field, value] != displayed(kind)
