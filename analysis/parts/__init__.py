"""The parts of a page, each with its tables, its figures and its sections."""

from ..page.content import Part
from .against_dense import PART as AGAINST_DENSE
from .claims.section import PART as CLAIMS
from .classification import PART as CLASSIFICATION
from .cost import PART as COST
from .frontier.section import PART as FRONTIER
from .generators import PART as GENERATORS
from .layers import PART as LAYERS
from .overlap import PART as OVERLAP
from .problems.section import PART as PROBLEMS
from .search.section import PART as SEARCH
from .sensing.section import PART as SENSING
from .size import PART as SIZE
from .stopping import PART as STOPPING
from .traces import PART as TRACES
from .transfer import PART as TRANSFER
from .verdicts import PART as VERDICTS

PARTS: tuple[Part, ...] = (
    FRONTIER,
    CLAIMS,
    VERDICTS,
    AGAINST_DENSE,
    PROBLEMS,
    SIZE,
    TRANSFER,
    CLASSIFICATION,
    SENSING,
    GENERATORS,
    SEARCH,
    STOPPING,
    TRACES,
    LAYERS,
    OVERLAP,
    COST,
)
"""All parts, in the order of the page."""
