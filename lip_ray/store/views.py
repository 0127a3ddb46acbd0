r"""The views that queries see: tables with derived columns, and ready-made answers.

Each reads `files.<table>`, the stored rows, or a view above it.
"""

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import NamedTuple

import duckdb
import pyarrow as pa

from lip_ray.records import Outcome
from lip_ray.store.schema import TABLES

PER_LEVEL = (
    "curves",
    "choices",
    "masks",
    "weights",
    "networks",
    "reconstructions",
    "pictures",
)
"""Tables whose rows count only once their level is committed."""

JOINED = ("trials", *PER_LEVEL)
"""Tables whose views join others, so threads decide in which order their rows come."""

ROW_KEY = ("trial_id", "level", "image", "position", "role", "rule", "settings")
"""The columns that tell the rows of such a table apart, as far as it has them."""


def in_order(table: str) -> str:
    """The clause that gives the rows of a table the same order each time; "" where they have it."""
    if table not in JOINED:
        return ""
    return f"order by {', '.join(name for name in ROW_KEY if name in TABLES[table].names)}"


LEVELS_VIEW = """
create view levels as
select *, effective / total as effective_density,
       psnr_peak_db - psnr_selected_db as psnr_gap_db,
       pow(10, -psnr_selected_db / 10) as mse_selected,
       psnr_peak_db < psnr_measured_db as below_measured
from files.levels
"""
"""Levels with derived columns. A gap of 0 dB means that the stopping rule did as well as an oracle.
Fits that are unfinished, and those of a dense network below the measurement, are no reference for
others: the views below and the report leave them out alike."""

SENSING_VIEW = """
create view sensing as
select level.trial_id, level.level, level.image, level.split, trial.pruner, trial.prior, trial.task,
       trial.solver, trial.m, coalesce(trial.outlier_share, 0) as outlier_share, trial.seed,
       level.kept, level.total, level.density, level.psnr_selected_db, level.psnr_peak_db,
       level.psnr_final_db, level.mse_selected, level.l2_per_pixel,
       floor.psnr_selected_db as psnr_floor_db
from levels as level join files.trials as trial using (trial_id)
left join (
    select reach.level, reach.image, reach.psnr_selected_db, whole.trial_id
    from files.levels as reach join files.trials as whole using (trial_id)
    where whole.kind = 'reconstruction' and whole.task = 'projection'
) as floor
on list_contains(trial.source_ids, floor.trial_id)
   and floor.level = level.level and floor.image = level.image
where trial.kind = 'reconstruction'
"""
"""Reconstructions with their settings. The floor is the best fit found of the same generator to
the image itself, from as many restarts; it is no bound."""

WORST_LAST = [str(outcome) for outcome in (
    Outcome.BUDGET, Outcome.STOPPED, Outcome.COLLAPSED, Outcome.DIVERGED, Outcome.FAILED,
)]  # fmt: skip

TRIALS_VIEW = f"""
create view trials as
select trial.* replace (coalesce(trial.canonical, trial.spec) as canonical),
       coalesce(done.levels_done, 0) as levels_done,
       case when coalesce(done.levels_done, 0) >= trial.levels then done.outcome
            when failed.trial_id is not null then 'given up'
            else 'incomplete' end as outcome
from files.trials as trial
left join (
    select trial_id, count(distinct level)::integer as levels_done,
           arg_max(outcome, list_position({WORST_LAST}, outcome)) as outcome
    from files.levels group by trial_id
) as done using (trial_id)
left join (select trial_id from files.failures group by trial_id) as failed using (trial_id)
"""
"""Trials with their outcome, which is the worst of their levels'; rows are never rewritten. A trial
that failed and was completed later has an ordinary outcome. The first version stored no canonical
specs."""

FAILURES_VIEW = """
create view failures as
select failure.*, coalesce(trial.levels_done < trial.levels, true) as open
from files.failures as failure left join trials as trial using (trial_id)
"""
"""Failures of trials. One without a row in `trials` never began."""

TIMINGS_VIEW = """
create view timings as
select trial.kind, trial.prior, trial.task, trial.image, fit.device, size.height, size.width,
       trial.macs_per_step, count(distinct trial.trial_id) as trials, count(*) as fits,
       median(fit.fit_s / fit.steps) as step_s, median(fit.fit_s) as fit_s,
       median(fit.memory_mb) as memory_mb
from (
    select trial_id, level, any_value(device) as device, sum(fit_s) as fit_s, max(steps) as steps,
           max(memory_mb) as memory_mb
    from files.levels group by all
) as fit
join files.trials as trial using (trial_id)
left join (
    select trial_id, max(height) as height, max(width) as width
    from files.reconstructions where role != 'samples' group by trial_id
) as size using (trial_id)
where fit.steps > 0
group by trial.kind, trial.prior, trial.task, trial.image, fit.device, size.height, size.width,
         trial.macs_per_step
"""
"""Median times of fits, over all images of a level together, by what was fitted. A sheet of a
generator's samples does not give the size of its images."""

POINTS_VIEW = """
create view points as
with told as (
    select score.*, list_transform(
        list_zip(
            score."values", json_extract_string(point.objectives, '$[*].direction'), true
        ),
        lambda pair: case when pair[2] = 'maximize' then -pair[1] else pair[1] end
    ) as losses
    from files.scores as score
    join (select distinct search, search_id, number, objectives from files.points) as point
    using (search, search_id, number)
),
aimed as (
    select distinct search, search_id, number, trial_id,
           unnest(json_extract(objectives, '$[*]')) as objective
    from files.points where trial_id is not null
),
rungs as (
    select trial_id, level, min(density) as density,
           coalesce(bool_or(unfinished), false) as unfinished,
           coalesce(bool_or(below_measured), false) as below_measured
    from levels semi join aimed using (trial_id) group by trial_id, level
),
counting as (
    select search, search_id, number, trial_id, objective,
           case objective->>'$.level.kind'
                when 'number' then any_value((objective->>'$.level.number')::integer)
                when 'density' then arg_min(
                    level, abs(density - (objective->>'$.level.density')::double)
                )
                else max(level) end as level
    from aimed join rungs using (trial_id) group by search, search_id, number, trial_id, objective
),
flawed as (
    select search, search_id, number,
           case when bool_or(below_measured) then 'below the measurement'
                else 'unfinished' end as unfit
    from counting join rungs using (trial_id, level) where unfinished or below_measured
    group by search, search_id, number
),
able as (
    select told.* from told anti join flawed using (search, search_id, number)
    where told.state = 'complete'
),
dominated as (
    select distinct one.search, one.search_id, one.number
    from able as one join able as other using (search, search_id)
    where other.losses != one.losses
      and list_bool_and(list_transform(
          list_zip(other.losses, one.losses), lambda pair: pair[1] <= pair[2]
      ))
)
select point.*, told.state, told."values", told.losses,
       coalesce(flawed.unfit, '') as unfit,
       able.number is not null and dominated.number is null as pareto,
       told.reason, told.told_at
from files.points as point
left join told using (search, search_id, number)
left join flawed using (search, search_id, number)
left join able using (search, search_id, number)
left join dominated using (search, search_id, number)
"""
"""Points of searches with their scores. Points of equal values are all on the front, or all off
it. A point is `unfit` for the front whose value rests on a fit that is unfinished or worse than the
measurement, at a level that an objective is about."""

PARETO_VIEW = """
create view pareto as
select distinct on (search, search_id, number)
       search, search_id, number, params, objectives, "values", losses
from points where pareto order by search, search_id, number
"""
"""The front of each search: one row per point."""

SETTINGS_VIEW = """
create view settings as select trial_id, setting from files.trials
"""
"""Trials with their setting: those that differ by their seeds alone have the same."""

FRONTIER_VIEW = """
create view frontier as
with said as (
    select setting, hash(setting) as place, any_value(kind) as kind, any_value(task) as task,
           any_value(prior) as prior, any_value(pruner) as pruner, any_value(travels) as travels,
           list_unique(list(seed)) < count(*) as reseeded
    from files.trials where kind in ('trajectory', 'transfer') group by setting
),
chosen as (
    select trial.trial_id, said.place, trial.seed, said.reseeded
    from files.trials as trial join said using (setting)
    where trial.kind in ('trajectory', 'transfer')
),
means as (
    select chosen.place, level.image, level.level, any_value(level.kept) as kept,
           any_value(level.total) as total, any_value(level.density) as density,
           avg(level.effective_density) as effective_density, avg(level.macs)::bigint as macs,
           avg(level.fit_s) as fit_s,
           coalesce(list_unique(list(chosen.seed) filter (reseeded)), count(*))::bigint as seeds,
           count(level.psnr_selected_db) as n, avg(level.psnr_selected_db) as psnr_selected_db,
           stddev_samp(level.psnr_selected_db) as psnr_selected_sd_db,
           avg(level.psnr_peak_db) as psnr_peak_db, avg(level.psnr_final_db) as psnr_final_db,
           count(*) filter (level.outcome in ('collapsed', 'diverged', 'failed')) as broken,
           count(*) filter (level.unfinished) as unfinished_fits
    from levels as level join chosen using (trial_id)
    group by chosen.place, level.image, level.level
)
select kind, task, image, prior, pruner, travels, setting, level, kept, total, density,
       effective_density, macs, fit_s, seeds, n, psnr_selected_db, psnr_selected_sd_db,
       psnr_peak_db, psnr_final_db, broken, unfinished_fits
from means join said using (place)
"""
"""Means over seeds: one row per setting, image and level. Only trials that share setting and seed,
as transfers of tickets of several seeds do, need their distinct seeds counted: that is slow."""

FITTED = """
    select trial_id, kind, task, prior, pruner, travels, seed, method_name, finder_key, image,
           hash(task_key, network_key) as study, hash(image_key, task_key, network_key) as problem,
           hash(method_name, method_key) as method, hash(dense_name, dense_key) as reference,
           target = 'clean' as clean,
           source_key = '{"image": ' || image_key || ', "task": ' || task_key || '}' as own
    from (
        select * exclude (image), unnest(images) as image, unnest(image_keys) as image_key
        from files.trials
        where kind in ('trajectory', 'transfer')
    )
"""
"""Trials that restore images, a row for each image: what belongs together has equal hashes, of 64
bits. `own` tickets were found on that very image and task."""

MATCHING_MARGIN_DB = 0.1
"""The published criterion: a ticket is winning within 0.1 dB of dense (Wu et al. 2023)."""

MATCHING_VIEW = f"""
create view matching as
with fitted as ({FITTED}),
placed as (
    select trial_id, image, seed, study, method, hash(study, method, image) as part,
           hash(study, problem, reference, method, image, seed) as ladder,
           hash(study, problem, reference, 0, image, seed) as dense_ladder,
           hash(problem, reference, seed) as start
    from fitted
),
parts as (
    select part, any_value(study) as study, any_value(method) as method,
           count(distinct ladder) > count(distinct seed) as reseeded
    from placed group by part
),
fits as (
    select ladder, kept, min(density) as density, min(total) as total,
           arg_min_null(psnr_selected_db, trial_id) as psnr_db,
           coalesce(arg_min_null(unfinished, trial_id), false) as unfinished,
           coalesce(arg_min_null(below_measured, trial_id), false) as below_measured
    from (
        select trial_id, level.kept, level.total, level.density, level.psnr_selected_db,
               level.unfinished, level.below_measured,
               case when level.kept = level.total then dense_ladder else ladder end as ladder
        from levels as level join placed using (trial_id, image)
    )
    group by ladder, kept
),
dense as (
    select start, psnr_db as dense_db
    from fits join (select distinct dense_ladder as ladder, start from placed) using (ladder)
    where not (unfinished or below_measured)
),
begun as (
    select ladder, part, seed, reseeded, dense_db
    from (
        select ladder, any_value(part) as part, any_value(start) as start, any_value(seed) as seed
        from placed group by ladder
    )
    join parts using (part) join dense using (start)
),
differences as (
    select part, seed, density, total, reseeded, psnr_db - dense_db as difference_db
    from fits join begun using (ladder)
    where not unfinished
),
by_part as (
    select part, density, any_value(total) as total, avg(difference_db) as difference_db,
           coalesce(list_unique(list(seed) filter (reseeded)), count(*))::bigint as seeds,
           bool_or(difference_db is null) as missing
    from differences group by part, density
),
by_image as (
    select study, method, density, total, seeds, difference_db, missing
    from by_part join parts using (part)
),
apart as (
    select *, lag(density) over dense_first - density
               >= 0.5 / total + 0.5 / lag(total) over dense_first as below
    from by_image
    window dense_first as (partition by study, method order by density desc, total desc)
),
rungs as (
    select *, count(*) filter (below) over (
        partition by study, method order by density desc, total desc
    ) as rung
    from apart
),
by_density as (
    select study, method,
           case when min(density) = max(density) then max(density)
                else round(avg(distinct density), 6) end as density,
           count(*) as images, max(seeds) as seeds,
           avg(difference_db) as difference_db, bool_or(missing) as missing
    from rungs group by study, method, rung
),
descended as (
    select *, bool_and(not missing) over ladder as known,
           bool_and(difference_db >= -{MATCHING_MARGIN_DB}) over ladder as within
    from by_density window ladder as (partition by study, method order by density desc)
),
found as (
    select study, method, max(images) as images, max(seeds) as seeds,
           min(density) filter (known and within) as least,
           arg_min(difference_db, density) filter (known and within) as least_db,
           max(density) filter (known and not within) as lost,
           arg_max(difference_db, density) filter (known and not within) as lost_db
    from descended group by study, method
),
said as (
    select study, method, any_value(task) as task, any_value(prior) as prior,
           any_value(pruner) as pruner, any_value(travels) as travels,
           any_value(method_name) as method_name
    from fitted group by study, method
)
select task, prior, pruner, travels, method_name as method,
       left(md5(study::varchar || ' ' || method::varchar), 8) as setting, images, seeds,
       {MATCHING_MARGIN_DB}::double as margin_db, coalesce(least, 1) as matching_density,
       coalesce(least_db, 0) as difference_db, lost as lost_density, lost_db as lost_difference_db,
       exp(ln(lost) + (-{MATCHING_MARGIN_DB} - lost_db) / (least_db - lost_db) * ln(least / lost))
           as estimate
from found join said using (study, method)
"""
"""Where the mean difference to dense leaves the margin, as the report's verdicts estimate it: the
same pairs by the selected step, seeds averaged within images first, down to the first fit without a
PSNR; those whose dense network is no reference, or that are unfinished, left out. A `ladder` is the
fits of one method and seed on one image, a `part` those of all its seeds; a `rung` are densities as
near to each other as whole weights allow, as photos of one and of three channels have. Levels are
grouped by these hashes alone, since grouping them by text takes several times as long. Only parts
that have a seed twice need their distinct seeds counted. The bounds of chance beside that estimate
need Student's t and are the report's alone."""

TRANSFER_VIEW = f"""
create view transfer as
with fitted as ({FITTED}),
moved as (
    select fitted.*, array_to_string(nullif(trial.source_images, []), ' + ') as source_image,
           array_to_string(nullif(trial.source_tasks, []), ' + ') as source_task
    from fitted join files.trials as trial using (trial_id) where fitted.kind = 'transfer'
),
native as (
    select problem, finder_key, seed, level.kept,
           arg_min(level.psnr_selected_db, trial_id) as psnr_native_db
    from fitted join files.levels as level using (trial_id, image)
    where ((fitted.kind = 'trajectory' and not clean)
           or (own and clean and travels = 'mask_and_weights'))
      and problem in (select problem from moved) and level.unfinished is distinct from true
    group by problem, finder_key, seed, level.kept
)
select moved.trial_id, level.level, moved.prior, moved.pruner, moved.travels, moved.source_image,
       moved.source_task, level.image, moved.task, moved.seed, level.kept, level.total,
       level.density, level.psnr_selected_db, level.psnr_peak_db, level.psnr_final_db,
       native.psnr_native_db,
       case when level.unfinished is distinct from true
            then level.psnr_selected_db - native.psnr_native_db end as to_native_db,
       level.unfinished
from moved join files.levels as level using (trial_id, image)
left join native on native.problem = moved.problem and native.kept = level.kept
     and native.seed = moved.seed and native.finder_key = moved.finder_key
"""
"""Tickets that went elsewhere beside those found there: same network, task, fit, seed, count and
way of finding. Unfinished fits are no native ones and have no difference. Tickets of clean images
have as their native one what was found on the target's clean image and brought back to its
measurement."""

VIEWS = (
    LEVELS_VIEW, TRIALS_VIEW, FAILURES_VIEW, TIMINGS_VIEW, POINTS_VIEW, PARETO_VIEW, SENSING_VIEW,
    SETTINGS_VIEW, FRONTIER_VIEW, MATCHING_VIEW, TRANSFER_VIEW,
)  # fmt: skip
"""All views, each after those that it reads."""


def without_rows(connection: duckdb.DuckDBPyConnection, tables: Collection[str]) -> None:
    """Create empty stored tables in the schema `files`."""
    connection.execute(";".join(_empty()[table] for table in tables))


@cache
def _empty() -> dict[str, str]:
    """By stored table, how DuckDB creates an empty one: from Arrow it takes several times as
    long."""
    with duckdb.connect() as connection:
        connection.execute("create schema files")
        for table, schema in TABLES.items():
            connection.register(table, schema.empty_table())
            connection.execute(f"create table files.{table} as from {table}")
        return dict(connection.sql("select table_name, sql from duckdb_tables()").fetchall())


def define(connection: duckdb.DuckDBPyConnection, views: Collection[str] | None = None) -> None:
    """Create views over the stored rows in the schema `files`: all, or those of these names."""
    chosen = (text for name, text in _definitions().items() if views is None or name in views)
    connection.execute(";".join(chosen))


class Needed(NamedTuple):
    """What a select may read."""

    tables: set[str]
    """Stored tables."""
    views: set[str] | None
    """Views, those that they rest on included; None where it may name any."""


def needed_by(connection: duckdb.DuckDBPyConnection, query: str) -> Needed:
    """What a select may read: what it, or a view in it, names.

    There may be more, never less: all, where it makes names or SQL as it runs, and where DuckDB
    cannot tell its syntax. Every view is needed where a name is no table's, as DuckDB suggests
    others, and where a table function may read the names of all.
    """
    named, functions = _named_in(connection, query)
    if named is None:
        return Needed(set(TABLES), None)
    known = not functions and named <= TABLES.keys() | _definitions().keys()
    seen = set[str]()
    while named > seen:
        seen |= named
        named = seen.union(*(_rests_on().get(name, set()) for name in seen))
    return Needed(named & set(TABLES), named & _definitions().keys() if known else None)


@cache
def _rests_on() -> dict[str, set[str]]:
    """By view, the tables and views that its definition names."""
    with duckdb.connect() as connection:
        named = {
            view: _named_in(connection, DEFINITION.sub("", text))[0]
            for view, text in _definitions().items()
        }
    return {view: set(TABLES) if own is None else own for view, own in named.items()}


DEFINITION = re.compile(r"create view (\w+) as\s")
"""How the definition of a view begins: with its name, before its select."""

NAMED = """
select (tree->>'$.error')::boolean, tree->>'$..table_name',
       tree->>'$..function.function_name', tree->>'$..function'
from (select json_serialize_sql(?::varchar) as tree)
"""
"""The query for the names in a select's syntax tree. DuckDB evaluates it, as Python's parser of
JSON refuses trees as deep as those of sums of many terms."""

READS_ANY = ("query", "histogram", "json_execute_serialized_sql")
"""Beginnings of the names of table functions that read from, or run, the text they are given."""


def _named_in(
    connection: duckdb.DuckDBPyConnection, select: str
) -> tuple[set[str] | None, set[str]]:
    r"""The names that a select may read from, in lower case, and the table functions it calls.

    The first are None where it may read from anything. Every word in the arguments of a table
    function counts as a name.
    """
    [(unknown, tables, functions, given)] = connection.execute(NAMED, [select]).fetchall()
    called = {function.lower() for function in functions}
    if unknown or any(function.startswith(READS_ANY) for function in called):
        return None, called
    return {table.lower() for table in tables}.union(*map(_words, given)), called


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


@cache
def _definitions() -> dict[str, str]:
    """The definitions of all views by name, each after those that it reads."""
    return {text.split()[2]: text for text in _in_order()}


def _in_order() -> Iterator[str]:
    for table in ("sweeps", "scores", "omissions"):
        yield f"create view {table} as from files.{table}"
    for table in PER_LEVEL:
        derived = ", kept / total as density" if table == "masks" else ""
        yield (
            f"create view {table} as select * {derived} from files.{table} "
            "semi join files.levels using (trial_id, level)"
        )
    yield from VIEWS


def schemas() -> dict[str, pa.Schema]:
    """The columns of every table and view that queries see."""
    with duckdb.connect() as connection:
        connection.execute("create schema files")
        without_rows(connection, TABLES)
        define(connection)
        names = connection.sql("select view_name from duckdb_views() where not internal").fetchall()
        return {
            name: connection.sql(f"from {name} limit 0").to_arrow_table().schema
            for (name,) in names
        }
