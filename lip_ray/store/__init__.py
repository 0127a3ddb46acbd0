"""The store: plain Parquet files, each written once and whole."""

from lip_ray.store.formats import for_people as for_people
from lip_ray.store.formats import rendered as rendered
from lip_ray.store.formats import rendered_texts as rendered_texts
from lip_ray.store.limits import Limits as Limits
from lip_ray.store.masks import booleans as booleans
from lip_ray.store.paths import QueryError as QueryError
from lip_ray.store.paths import StoreError as StoreError
from lip_ray.store.paths import StoreUnavailable as StoreUnavailable
from lip_ray.store.reader import Reader as Reader
from lip_ray.store.sweep_files import sweep_files as sweep_files
from lip_ray.store.tables import described as described
from lip_ray.store.tables import require_known as require_known
from lip_ray.store.text_table import TextTable as TextTable
from lip_ray.store.text_table import as_table as as_table
from lip_ray.store.trial_ids import trial_named as trial_named
from lip_ray.store.upkeep.check import check as check
from lip_ray.store.upkeep.compact import compact as compact
from lip_ray.store.upkeep.export import export as export
from lip_ray.store.upkeep.merge import merge as merge
from lip_ray.store.upkeep.remove import Removal as Removal
from lip_ray.store.upkeep.remove import removal as removal
from lip_ray.store.upkeep.remove import remove as remove
from lip_ray.store.upkeep.repair import repair as repair
from lip_ray.store.writer import Writer as Writer
