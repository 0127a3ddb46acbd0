"""What methods are called where people read, and the papers that they are from.

Rows, ids and queries have a method's `kind`. Its docstring names the paper; a test holds the two
together.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TITLES = {
    "magnitude": "IMP (magnitude)",
    "random": "random",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "oes": "OES",
}
"""By kind of pruner what figures, tables and pages call it."""

OTHER_TITLES = {
    ("magnitude", "at", "init"): "magnitude at init",
    ("magnitude", "at", "dense"): "one-shot magnitude",
    ("random", "scope", "erk"): "random, ERK",
}
"""What they call it with this value of one of its fields: a method that papers name by itself."""

KIND = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A publication: what BibTeX has of it."""

    entry: str
    """The type of its entry: article, inproceedings or misc."""
    author: str
    title: str
    year: int
    within: str = ""
    """The journal or the proceedings; empty for a preprint."""
    arxiv: str = ""

    def bibtex(self, key: str) -> str:
        """Its entry; braces keep capitals in the title as they are.

        A preprint says where it is in a field that every style of BibTeX shows, unlike `eprint`.
        """
        place = "journal" if self.entry == "article" else "booktitle"
        preprint = self.entry == "misc"
        fields = {
            "author": self.author,
            "title": f"{{{self.title}}}",
            place: self.within,
            "year": str(self.year),
            "howpublished": f"arXiv:{self.arxiv}" if preprint else "",
            "eprint": "" if preprint else self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv and not preprint else "",
        }
        lines = "".join(f"  {name} = {{{text}}},\n" for name, text in fields.items() if text)
        return f"@{self.entry}{{{key},\n{lines}}}\n"


PAPERS: Mapping[str, Paper] = {
    "wu2023chasing": Paper(
        entry="article",
        author="Wu, Qiming and Chen, Xiaohan and Jiang, Yifan and Wang, Zhangyang",
        title="Chasing Better Deep Image Priors between Over- and Under-parameterization",
        within="Transactions on Machine Learning Research",
        year=2023,
        arxiv="2410.24187",
    ),
    "ulyanov2018deep": Paper(
        entry="inproceedings",
        author="Ulyanov, Dmitry and Vedaldi, Andrea and Lempitsky, Victor",
        title="Deep Image Prior",
        within="IEEE Conference on Computer Vision and Pattern Recognition",
        year=2018,
        arxiv="1711.10925",
    ),
    "heckel2019deep": Paper(
        entry="inproceedings",
        author="Heckel, Reinhard and Hand, Paul",
        title="Deep Decoder: Concise Image Representations from Untrained Non-convolutional "
        "Networks",
        within="International Conference on Learning Representations",
        year=2019,
        arxiv="1810.03982",
    ),
    "ghosh2024optimal": Paper(
        entry="inproceedings",
        author="Ghosh, Avrajit and Zhang, Xitong and Sun, Kenneth K. and Qu, Qing and "
        "Ravishankar, Saiprasad and Wang, Rongrong",
        title="Optimal Eye Surgeon: Finding Image Priors through Sparse Generators at "
        "Initialization",
        within="International Conference on Machine Learning",
        year=2024,
        arxiv="2406.05288",
    ),
    "maddison2017concrete": Paper(
        entry="inproceedings",
        author="Maddison, Chris J. and Mnih, Andriy and Teh, Yee Whye",
        title="The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables",
        within="International Conference on Learning Representations",
        year=2017,
        arxiv="1611.00712",
    ),
    "han2015learning": Paper(
        entry="inproceedings",
        author="Han, Song and Pool, Jeff and Tran, John and Dally, William J.",
        title="Learning both Weights and Connections for Efficient Neural Network",
        within="Advances in Neural Information Processing Systems",
        year=2015,
        arxiv="1506.02626",
    ),
    "frankle2019lottery": Paper(
        entry="inproceedings",
        author="Frankle, Jonathan and Carbin, Michael",
        title="The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks",
        within="International Conference on Learning Representations",
        year=2019,
        arxiv="1803.03635",
    ),
    "frankle2020linear": Paper(
        entry="inproceedings",
        author="Frankle, Jonathan and Dziugaite, Gintare Karolina and Roy, Daniel M. and Carbin, "
        "Michael",
        title="Linear Mode Connectivity and the Lottery Ticket Hypothesis",
        within="International Conference on Machine Learning",
        year=2020,
        arxiv="1912.05671",
    ),
    "lee2019snip": Paper(
        entry="inproceedings",
        author="Lee, Namhoon and Ajanthan, Thalaiyasingam and Torr, Philip H. S.",
        title="SNIP: Single-shot Network Pruning based on Connection Sensitivity",
        within="International Conference on Learning Representations",
        year=2019,
        arxiv="1810.02340",
    ),
    "verdenius2020pruning": Paper(
        entry="misc",
        author=r"Verdenius, Stijn and Stol, Maarten and Forr{\'e}, Patrick",
        title="Pruning via Iterative Ranking of Sensitivity Statistics",
        year=2020,
        arxiv="2006.00896",
    ),
    "dejorge2021progressive": Paper(
        entry="inproceedings",
        author="de Jorge, Pau and Sanyal, Amartya and Behl, Harkirat S. and Torr, Philip H. S. "
        r"and Rogez, Gr{\'e}gory and Dokania, Puneet K.",
        title="Progressive Skeletonization: Trimming more fat from a network at initialization",
        within="International Conference on Learning Representations",
        year=2021,
        arxiv="2006.09081",
    ),
    "wang2020picking": Paper(
        entry="inproceedings",
        author="Wang, Chaoqi and Zhang, Guodong and Grosse, Roger",
        title="Picking Winning Tickets Before Training by Preserving Gradient Flow",
        within="International Conference on Learning Representations",
        year=2020,
        arxiv="2002.07376",
    ),
    "tanaka2020pruning": Paper(
        entry="inproceedings",
        author="Tanaka, Hidenori and Kunin, Daniel and Yamins, Daniel L. K. and Ganguli, Surya",
        title="Pruning neural networks without any data by iteratively conserving synaptic flow",
        within="Advances in Neural Information Processing Systems",
        year=2020,
        arxiv="2006.05467",
    ),
    "evci2020rigging": Paper(
        entry="inproceedings",
        author="Evci, Utku and Gale, Trevor and Menick, Jacob and Castro, Pablo Samuel and Elsen, "
        "Erich",
        title="Rigging the Lottery: Making All Tickets Winners",
        within="International Conference on Machine Learning",
        year=2020,
        arxiv="1911.11134",
    ),
    "wang2021early": Paper(
        entry="misc",
        author="Wang, Hengkang and Li, Taihui and Zhuang, Zhong and Chen, Tiancong and Liang, "
        "Hengyue and Sun, Ju",
        title="Early Stopping for Deep Image Prior",
        year=2021,
        arxiv="2112.06074",
    ),
    "li2021self": Paper(
        entry="inproceedings",
        author="Li, Taihui and Zhuang, Zhong and Liang, Hengyue and Peng, Le and Wang, Hengkang "
        "and Sun, Ju",
        title="Self-Validation: Early Stopping for Single-Instance Deep Generative Priors",
        within="British Machine Vision Conference",
        year=2021,
        arxiv="2110.12271",
    ),
    "ding2025validation": Paper(
        entry="inproceedings",
        author="Ding, Lijun and Qin, Zhen and Jiang, Liwei and Zhou, Jinxin and Zhu, Zhihui",
        title="A Validation Approach to Over-parameterized Matrix and Image Recovery",
        within="Conference on Parsimony and Learning",
        year=2025,
        arxiv="2209.10675",
    ),
    "morozov1966solution": Paper(
        entry="article",
        author="Morozov, V. A.",
        title="On the solution of functional equations by the method of regularization",
        within="Soviet Mathematics Doklady",
        year=1966,
    ),
    "donoho1994ideal": Paper(
        entry="article",
        author="Donoho, David L. and Johnstone, Iain M.",
        title="Ideal Spatial Adaptation by Wavelet Shrinkage",
        within="Biometrika",
        year=1994,
    ),
    "bora2017compressed": Paper(
        entry="inproceedings",
        author="Bora, Ashish and Jalal, Ajil and Price, Eric and Dimakis, Alexandros G.",
        title="Compressed Sensing using Generative Models",
        within="International Conference on Machine Learning",
        year=2017,
        arxiv="1703.03208",
    ),
    "jalal2020robust": Paper(
        entry="inproceedings",
        author="Jalal, Ajil and Liu, Liu and Dimakis, Alexandros G. and Caramanis, Constantine",
        title="Robust Compressed Sensing using Generative Models",
        within="Advances in Neural Information Processing Systems",
        year=2020,
        arxiv="2006.09461",
    ),
    "huber1964robust": Paper(
        entry="article",
        author="Huber, Peter J.",
        title="Robust Estimation of a Location Parameter",
        within="The Annals of Mathematical Statistics",
        year=1964,
    ),
    "tibshirani1996regression": Paper(
        entry="article",
        author="Tibshirani, Robert",
        title="Regression Shrinkage and Selection via the Lasso",
        within="Journal of the Royal Statistical Society, Series B",
        year=1996,
    ),
    "radford2016unsupervised": Paper(
        entry="inproceedings",
        author="Radford, Alec and Metz, Luke and Chintala, Soumith",
        title="Unsupervised Representation Learning with Deep Convolutional Generative "
        "Adversarial Networks",
        within="International Conference on Learning Representations",
        year=2016,
        arxiv="1511.06434",
    ),
    "karras2018progressive": Paper(
        entry="inproceedings",
        author="Karras, Tero and Aila, Timo and Laine, Samuli and Lehtinen, Jaakko",
        title="Progressive Growing of GANs for Improved Quality, Stability, and Variation",
        within="International Conference on Learning Representations",
        year=2018,
        arxiv="1710.10196",
    ),
    "gulrajani2017improved": Paper(
        entry="inproceedings",
        author="Gulrajani, Ishaan and Ahmed, Faruk and Arjovsky, Martin and Dumoulin, Vincent and "
        "Courville, Aaron",
        title="Improved Training of Wasserstein GANs",
        within="Advances in Neural Information Processing Systems",
        year=2017,
        arxiv="1704.00028",
    ),
}
"""The papers by their keys."""

CITED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("trial", "trajectory"): ("wu2023chasing", "ulyanov2018deep"),
    ("trial", "transfer"): ("wu2023chasing", "ulyanov2018deep"),
    ("trial", "generator"): ("gulrajani2017improved", "karras2018progressive"),
    ("trial", "reconstruction"): ("bora2017compressed",),
    ("prior", "skip"): ("ulyanov2018deep",),
    ("prior", "deep_decoder"): ("heckel2019deep",),
    ("prior", "oes_unet"): ("ghosh2024optimal",),
    ("prior", "dcgan"): ("radford2016unsupervised",),
    ("prior", "pgan"): ("karras2018progressive",),
    ("pruner", "magnitude"): ("han2015learning", "frankle2019lottery"),
    ("scope", "erk"): ("evci2020rigging",),
    ("pruner", "snip"): ("lee2019snip",),
    ("pruner", "snip in rounds"): ("verdenius2020pruning", "dejorge2021progressive"),
    ("pruner", "grasp"): ("wang2020picking",),
    ("pruner", "synflow"): ("tanaka2020pruning",),
    ("pruner", "oes"): ("ghosh2024optimal", "maddison2017concrete"),
    ("rewind", "init"): ("frankle2019lottery",),
    ("rewind", "step"): ("frankle2020linear",),
    ("stopping", "wmv"): ("wang2021early",),
    ("stopping", "emv"): ("wang2021early",),
    ("stopping", "held_out"): ("li2021self", "ding2025validation"),
    ("stopping", "discrepancy"): ("morozov1966solution", "donoho1994ideal"),
    ("solver", "erm"): ("bora2017compressed",),
    ("solver", "median_of_means"): ("jalal2020robust",),
    ("solver", "huber"): ("huber1964robust",),
    ("solver", "lasso"): ("tibshirani1996regression",),
}
"""By the field of a spec and the kind in it, the papers that this kind is from."""


def displayed(name: str, settings: str = "{}") -> str:
    """A method's name as people read it: a kind of pruner at its beginning by its title.

    The title is that of the pruner in the method's `settings`, as JSON, where these have one.
    """
    found = KIND.match(name)
    if found is None:
        return name
    kind = found[0]
    pruner = _pruner_in(json.loads(settings), kind)
    other = (
        title
        for (of, field, value), title in OTHER_TITLES.items()
        if of == kind and pruner.get(field) == value
    )
    return next(other, TITLES.get(kind, kind)) + name[found.end() :]


def bibtex_of(specs: Iterable[str]) -> str:
    """BibTeX of the papers that the methods in these specs, as JSON, are from, each once by key."""
    kinds = {kind for text in set(specs) for kind in _kinds("trial", json.loads(text))}
    keys = sorted({key for kind in kinds for key in CITED.get(kind, ())})
    return "\n".join(PAPERS[key].bibtex(key) for key in keys)


def _pruner_in(settings: Any, kind: str) -> Mapping[str, Any]:
    """The fields of the first pruner of that kind in settings; none where there is none."""
    return next(
        (
            part
            for name, part in _parts("", settings)
            if name == "pruner" and isinstance(part, dict) and part.get("kind") == kind
        ),
        {},
    )


def _kinds(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The field and kind of every part of a spec.

    A field that is text, as a pruner's scope, counts as a kind too, and so does a criterion that
    is applied in rounds.
    """
    for field, part in _parts(name, value):
        if isinstance(part, str):
            yield field, part
        elif isinstance(kind := part.get("kind"), str):
            yield field, kind
            if part.get("rounds"):
                yield field, f"{kind} in rounds"


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The field and content of every object and text in a spec, outer ones first; items of a list
    are in the list's field."""
    if isinstance(value, list):
        for item in value:
            yield from _parts(name, item)
    elif isinstance(value, str | dict):
        yield name, value
        for inner, item in value.items() if isinstance(value, dict) else ():
            yield from _parts(inner, item)
