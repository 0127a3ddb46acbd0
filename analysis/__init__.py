"""What the store says: pure tables, the figures drawn from them, and the page that shows both.

A page is `frontier_report(store)`. In a notebook, for a store of one problem:

    points = frontier_points(store.frame("trials"), store.frame("levels"))
    frontier_figure(points, frontier_table(points))
"""

from .classification import classification_figure as classification_figure
from .classification import classification_table as classification_table
from .frontier import frontier_figure as frontier_figure
from .frontier import frontier_table as frontier_table
from .generators import generator_figure as generator_figure
from .generators import generator_table as generator_table
from .points import frontier_points as frontier_points
from .report import frontier_report as frontier_report
from .search import front_figure as front_figure
from .search import front_table as front_table
from .search import search_table as search_table
from .sensing import sensing_points as sensing_points
from .sensing import sensing_table as sensing_table
from .sensing_figures import measurements_figure as measurements_figure
from .sensing_figures import outliers_figure as outliers_figure
from .sensing_figures import sensing_figure as sensing_figure
from .size import size_figure as size_figure
from .size import size_table as size_table
from .status import failures_table as failures_table
from .status import kinds_table as kinds_table
from .status import running_table as running_table
from .status import status_table as status_table
from .summary import summary_table as summary_table
from .transfer import transfer_figure as transfer_figure
from .transfer import transfer_table as transfer_table
from .verdicts import comparison_table as comparison_table
from .verdicts import dense_differences as dense_differences
from .verdicts import matching_table as matching_table
