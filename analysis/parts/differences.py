"""Mean differences in dB as tables and figures write them, and those that rounding could make."""

import pandas as pd

from ..page.section import Faint
from ..rows.texts import mean_text
from ..statistics.rounding import rounding_db

ROUNDED = """
Grey and called rounding are differences that the same fits could show if only the order in which
their numbers are added up were another.
"""


def is_rounding(mean_db: float, within_db: float) -> bool:
    """Whether rounding alone could make this mean difference."""
    return bool(pd.notna(mean_db) and abs(mean_db) <= within_db)


def difference_cell(mean_db: float, low_db: float, high_db: float, within_db: float) -> str:
    """A mean difference with its interval, as far as there are, and whether it may be rounding."""
    said = mean_text(mean_db, low_db, high_db, "+.2f")
    return Faint(f"{said} rounding") if is_rounding(mean_db, within_db) else said


def apart_text(counts: pd.Series) -> str:
    """How far apart two means over so many fits may be by rounding alone."""
    least, most = (f"{rounding_db(count):.2f}" for count in (counts.max(), counts.min()))
    span = most if least == most else f"{least} to {most}"
    return f"Two such means may be {span} dB apart by rounding alone."
