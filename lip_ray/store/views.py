"""The views that queries see: tables with what follows from them, ready-made answers.

Each reads `files.<table>`, the stored rows, or a view above it.
"""

from lip_ray.records import Outcome

LEVELS_VIEW = """
create view levels as
select *, effective / total as effective_density,
       psnr_peak_db - psnr_selected_db as psnr_gap_db,
       pow(10, -psnr_selected_db / 10) as mse_selected
from files.levels
"""
"""With what follows from the columns: a gap of 0 dB is a stopping rule as good as an oracle."""

SENSING_VIEW = """
create view sensing as
select level.trial_id, level.level, level.image, level.split, trial.pruner, trial.prior, trial.task,
       trial.spec->>'$.solver.kind' as solver, (trial.spec->>'$.task.m')::integer as m,
       coalesce((trial.spec->>'$.task.outliers.share')::double, 0) as outlier_share, trial.seed,
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
"""Reconstructions with what tells them apart. The floor is the best fit of the same generator to
the image itself, from as many restarts: what no solver can be expected to pass."""

WORST_LAST = [str(outcome) for outcome in (
    Outcome.BUDGET, Outcome.STOPPED, Outcome.COLLAPSED, Outcome.DIVERGED, Outcome.FAILED,
)]  # fmt: skip

TRIALS_VIEW = f"""
create view trials as
select trial.*, coalesce(done.levels_done, 0) as levels_done,
       case when coalesce(done.levels_done, 0) >= trial.levels then done.outcome
            when trial.trial_id in (select trial_id from files.failures) then 'given up'
            else 'incomplete' end as outcome
from files.trials as trial
left join (
    select trial_id, count(distinct level)::integer as levels_done,
           arg_max(outcome, list_position({WORST_LAST}, outcome)) as outcome
    from files.levels group by trial_id
) as done using (trial_id)
"""
"""A trial ended as the worst of its levels did; rows are never rewritten to say so. One that was
given up and completed later ended like any other."""

FAILURES_VIEW = """
create view failures as
select failure.*, coalesce(trial.levels_done < trial.levels, true) as open
from files.failures as failure left join trials as trial using (trial_id)
"""
"""A trial without a row never began."""

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
"""What a fit, of all images of a level together, took by what it was of: medians, in seconds and
10⁶ bytes. A sheet of a generator's samples says nothing of its images' size."""

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
dominated as (
    select distinct one.search, one.search_id, one.number
    from told as one join told as other using (search, search_id)
    where one.state = 'complete' and other.state = 'complete' and other.losses != one.losses
      and list_bool_and(list_transform(
          list_zip(other.losses, one.losses), lambda pair: pair[1] <= pair[2]
      ))
)
select point.*, told.state, told."values", told.losses,
       coalesce(told.state = 'complete', false) and dominated.number is null as pareto,
       told.reason, told.told_at
from files.points as point
left join told using (search, search_id, number)
left join dominated using (search, search_id, number)
"""
"""Points of equal values are all on the front, or all off it."""

PARETO_VIEW = """
create view pareto as
select distinct on (search, search_id, number)
       search, search_id, number, params, objectives, "values", losses
from points where pareto order by search, search_id, number
"""
"""The front of each search: one row a point."""

VIEWS = (
    LEVELS_VIEW, TRIALS_VIEW, FAILURES_VIEW, TIMINGS_VIEW, POINTS_VIEW, PARETO_VIEW, SENSING_VIEW,
)  # fmt: skip
"""In the order in which they rest on each other."""
