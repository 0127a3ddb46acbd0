"""What the store says: pure tables, the figures drawn from them, and the page that shows both.

A page is `frontier_report(store)`. In a notebook, for a store of one problem:

    points = frontier_points(store.frame("trials"), store.frame("levels"))
    frontier_figure(points, frontier_table(points))
"""

from .frontier import frontier_figure as frontier_figure
from .frontier import frontier_points as frontier_points
from .frontier import frontier_table as frontier_table
from .frontier import summary_table as summary_table
from .report import frontier_report as frontier_report
from .status import status_table as status_table
