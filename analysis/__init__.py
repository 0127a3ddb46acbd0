"""What the store says: pure tables, the figures drawn from them, and the page that shows both.

A page is `frontier_report(store)`. In a notebook, for a store of one problem:

    points = frontier_points(store.frame("trials"), store.frame("levels"))
    frontier_figure(points, frontier_table(points))
"""

from .classification import classification_figure as classification_figure
from .classification import classification_table as classification_table
from .cost import cost_figure as cost_figure
from .cost import cost_table as cost_table
from .cost import failure_reason_table as failure_reason_table
from .explorer import explorer_fits as explorer_fits
from .explorer import explorer_table as explorer_table
from .explorer import hypervolume_table as hypervolume_table
from .explorer_figures import explorer_figure as explorer_figure
from .explorer_figures import first_choice as first_choice
from .frontier import frontier_figure as frontier_figure
from .frontier import frontier_table as frontier_table
from .generators import generator_figure as generator_figure
from .generators import generator_table as generator_table
from .layers import layer_figure as layer_figure
from .layers import layer_table as layer_table
from .layers import layered_tickets as layered_tickets
from .layers import pruned_points as pruned_points
from .overlap import overlap_figure as overlap_figure
from .overlap import overlap_table as overlap_table
from .overlap import overlap_tickets as overlap_tickets
from .points import frontier_points as frontier_points
from .published import published_for as published_for
from .published import published_table as published_table
from .report import frontier_report as frontier_report
from .report import report_sections as report_sections
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
from .static import figure_names as figure_names
from .static import figure_of as figure_of
from .static import write_figure as write_figure
from .statistics import area as area
from .statistics import hypervolume as hypervolume
from .statistics import mean_interval as mean_interval
from .statistics import pareto_front as pareto_front
from .status import failures_table as failures_table
from .status import kinds_table as kinds_table
from .status import running_table as running_table
from .status import status_table as status_table
from .summary import summary_table as summary_table
from .traces import trace_figure as trace_figure
from .traces import trace_table as trace_table
from .transfer import transfer_figure as transfer_figure
from .transfer import transfer_table as transfer_table
from .verdicts import comparison_table as comparison_table
from .verdicts import dense_differences as dense_differences
from .verdicts import matching_table as matching_table
from .writing import write_report as write_report
