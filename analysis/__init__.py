"""What the store says: pure tables, the figures drawn from them, and the page that shows both.

A page is `frontier_report(store)`. In a notebook, for a store of one problem:

    frame = (store.frame("trials"), store.frame("levels"))
    frontier_figure(frontier_table(*frame), fits=frontier_fits(*frame))
"""

from lip_ray.status import failures_table as failures_table
from lip_ray.status import kinds_table as kinds_table
from lip_ray.status import running_table as running_table
from lip_ray.status import status_table as status_table

from .named import figure_names as figure_names
from .named import figure_of as figure_of
from .named import first_figures as first_figures
from .page.report import frontier_report as frontier_report
from .page.report import report_sections as report_sections
from .page.report import write_report as write_report
from .parts.against_dense import difference_figure as difference_figure
from .parts.against_dense import difference_table as difference_table
from .parts.claims.section import claims_figure as claims_figure
from .parts.claims.table import claims_table as claims_table
from .parts.classification import classification_figure as classification_figure
from .parts.classification import classification_table as classification_table
from .parts.cost import cost_figure as cost_figure
from .parts.cost import cost_table as cost_table
from .parts.cost import failure_reason_table as failure_reason_table
from .parts.frontier.figures import first_choice as first_choice
from .parts.frontier.figures import frontier_figure as frontier_figure
from .parts.frontier.table import frontier_fits as frontier_fits
from .parts.frontier.table import frontier_table as frontier_table
from .parts.frontier.table import hypervolume_table as hypervolume_table
from .parts.generators import generator_figure as generator_figure
from .parts.generators import generator_table as generator_table
from .parts.layers import layer_figure as layer_figure
from .parts.layers import layer_table as layer_table
from .parts.layers import layered_tickets as layered_tickets
from .parts.overlap import overlap_figure as overlap_figure
from .parts.overlap import overlap_table as overlap_table
from .parts.overlap import overlap_tickets as overlap_tickets
from .parts.problems.table import problem_table as problem_table
from .parts.search.details import history_figure as history_figure
from .parts.search.details import importance_figure as importance_figure
from .parts.search.details import parallel_figure as parallel_figure
from .parts.search.details import slice_figure as slice_figure
from .parts.search.figures import front_figure as front_figure
from .parts.search.table import front_table as front_table
from .parts.search.table import importances_of as importances_of
from .parts.search.table import search_table as search_table
from .parts.sensing.figures import measurements_figure as measurements_figure
from .parts.sensing.figures import outliers_figure as outliers_figure
from .parts.sensing.figures import sensing_figure as sensing_figure
from .parts.sensing.table import sensing_points as sensing_points
from .parts.sensing.table import sensing_table as sensing_table
from .parts.size import size_figure as size_figure
from .parts.size import size_table as size_table
from .parts.stopping import stopping_table as stopping_table
from .parts.tickets import pruned_points as pruned_points
from .parts.traces import trace_figure as trace_figure
from .parts.traces import trace_table as trace_table
from .parts.transfer import crossed_table as crossed_table
from .parts.transfer import transfer_figure as transfer_figure
from .parts.transfer import transfer_table as transfer_table
from .parts.verdicts import comparison_table as comparison_table
from .parts.verdicts import dense_differences as dense_differences
from .parts.verdicts import matching_table as matching_table
from .print import write_figure as write_figure
from .rows.points import frontier_points as frontier_points
from .statistics.intervals import area as area
from .statistics.intervals import hypervolume as hypervolume
from .statistics.intervals import mean_interval as mean_interval
from .statistics.intervals import pareto_front as pareto_front
from .statistics.published import published_for as published_for
from .statistics.published import published_table as published_table
from .terminal import summary_table as summary_table
