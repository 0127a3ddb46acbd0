"""The check of a search together with its trials, before the first point is drawn."""

import hashlib
import json
from collections.abc import Sequence

from pydantic import ValidationError

from lip_ray.mistakes import Mistake, explained
from lip_ray.spec import ID_DIGITS
from lip_ray.sweep.expansion import Choice, Expansion
from lip_ray.sweep.places import within
from lip_ray.sweep.search import Params, Search, overlap


def checked_search(expansion: Expansion) -> Search | None:
    r"""The search of a sweep; None where it has none.

    Mistakes are noted, values in its space that no point can have among them.
    """
    draft, mistakes = expansion.draft, expansion.mistakes
    if draft.search is None:
        return None
    try:
        search = Search.model_validate(draft.search)
    except ValidationError as error:
        mistakes.note_all("search", explained(error, Search, draft.search))
        draft.known = False
        return None
    expansion.objectives = search.objectives
    expansion.stopping = search.stop_hopeless is not None
    conflicts = list(search.conflicts())
    mistakes.note_all("search", conflicts)
    sound = draft.known and not conflicts and not _set_twice(search, expansion)
    if sound and not _too_many(search, expansion):
        _check_values(search, expansion)
    return search


def point_choices(params: Params) -> list[Choice]:
    """The choices that a point of a search makes."""
    return [Choice(path, f"search.space.{path}", "", value) for path, value in params.items()]


def search_id(search: Search, expansion: Expansion) -> str:
    """The first 16 hexadecimal digits of SHA-256 over all that the scores of a search depend on."""
    axes = [[[(c.path, c.value) for c in part] for part in axis] for axis in expansion.axes]
    space = {path: domain.canonical_json() for path, domain in search.space.items()}
    objectives = [objective.canonical_json() for objective in search.objectives]
    whole = [expansion.draft.trial, axes, space, objectives]
    if pictures := expansion.pictures_by_content:  # a folder's path says nothing of what is in it
        whole.append(pictures)
    text = json.dumps(whole, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def _set_twice(search: Search, expansion: Expansion) -> bool:
    """Whether a searched field is also set by an axis of all points, which is noted."""
    taken = {
        f"{choice.place.removesuffix(choice.path)}{choice.path}": choice.path
        for axis in expansion.axes
        for part in axis
        for choice in part
    }
    both = [
        (path, place) for path in search.space for place in taken if overlap(path, taken[place])
    ]
    for path, place in both:
        expansion.mistakes.note(
            f"search.space.{path}", f"{place} sets it too: a field is set in one place"
        )
    return bool(both)


def _too_many(search: Search, expansion: Expansion) -> bool:
    """Whether the values to be checked make more trials than are meant, which is noted."""
    bases, most = len(search.bases()), expansion.draft.most_trials
    values = sum(len(domain.corners()) for domain in search.space.values())
    count = bases * (1 + values) * expansion.count
    if count > most:
        expansion.mistakes.note(
            "search",
            f"has {values:,} values to be checked with {bases:,} points, in {expansion.count:,} "
            f"trials each: {count:,}, more than run.most_trials, {most:,}: raise that if so many "
            "are meant",
        )
    return count > most


def _check_values(search: Search, expansion: Expansion) -> None:
    r"""Note what is wrong with each end of a range and each item of a list.

    A value is right if it goes with the values of one of the starting points, or with the first, or
    the last, of every other field. The search itself finds out whether it goes with other values.
    """
    bases = search.bases()
    sound = [base for base in bases if not _wrong_at(expansion, base)]
    if not sound:
        _note_outside(search, _wrong_at(expansion, bases[0]), expansion)
    for path, domain in search.space.items():
        place = f"search.space.{path}"
        for item, value in domain.corners():
            wrong = _wrong_with(expansion, sound or bases, Choice(path, place, item, value))
            own = [mistake for mistake in wrong if within(mistake.path, place)]
            expansion.mistakes.found.update(dict.fromkeys(own))
            if sound and not own:
                for mistake in wrong:
                    expansion.mistakes.note(place + item, str(mistake))
            if any(mistake.fault.endswith("_type") for mistake in own):
                break


def _note_outside(search: Search, wrong: Sequence[Mistake], expansion: Expansion) -> None:
    """Note those mistakes of a point that lie outside of the search's space."""
    for mistake in wrong:
        if not any(within(mistake.path, f"search.space.{path}") for path in search.space):
            expansion.mistakes.found[mistake] = None


def _wrong_with(expansion: Expansion, bases: Sequence[Params], choice: Choice) -> list[Mistake]:
    """What is wrong with a value in the first of some points; nothing if it is right in any of
    them."""
    tried = [_wrong_at(expansion, base, choice) for base in bases]
    return tried[0] if all(tried) else []


def _wrong_at(expansion: Expansion, params: Params, choice: Choice | None = None) -> list[Mistake]:
    """What is wrong with the trials of a point, in which one value may be replaced."""
    aside = expansion.aside()
    others = {path: v for path, v in params.items() if not choice or path != choice.path}
    aside.trials([*point_choices(others), *([choice] if choice else [])])
    return list(aside.mistakes.found)
