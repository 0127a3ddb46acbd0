"""Every member of a family is put through every law of its module.

A module names its `FAMILY` (the annotated union of the family's `__init__`), the abstract `BASE`
of its members and, in `EXAMPLES`, instances of the members that cannot be made without parameters
or are worth several variants. Any other member takes part with its defaults, so a new one is
enrolled by existing.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from lip_ray.spec import Spec, members

pytest.register_assert_rewrite("laws")


def examples(module: ModuleType, member: type[Spec]) -> tuple[Spec, ...]:
    """The instances of a member that a module tests; none where it needs parameters."""
    if member in module.EXAMPLES:
        return module.EXAMPLES[member]
    try:
        return (member(),)
    except ValidationError:
        return ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `example` every instance of the module's family, and `member` every class."""
    family = list(members(metafunc.module.FAMILY))
    if "member" in metafunc.fixturenames:
        metafunc.parametrize("member", family, ids=lambda member: member.__name__)
    if "example" in metafunc.fixturenames:
        instances = [one for member in family for one in examples(metafunc.module, member)]
        metafunc.parametrize("example", instances, ids=lambda spec: spec.canonical_json())


def descendants(base: type[Spec]) -> Iterator[type[Spec]]:
    """All classes on a base, on classes on it, and so on."""
    for found in base.__subclasses__():
        yield found
        yield from descendants(found)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> set[type[Spec]]:
    """All members of the module's family."""
    return set(members(request.module.FAMILY))


@pytest.fixture
def written(request: pytest.FixtureRequest) -> set[type[Spec]]:
    """All concrete classes on the family's base, in whatever file of its package they are."""
    package = importlib.import_module(request.module.BASE.__module__.rpartition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    classes = concrete(request.module.BASE)
    return {found for found in classes if found.__module__.startswith(f"{package.__name__}.")}


def concrete(base: type[Spec]) -> Iterator[type[Spec]]:
    """The classes below a base that can be instantiated."""
    for found in base.__subclasses__():
        yield from concrete(found)
        if not inspect.isabstract(found):
            yield found


@pytest.fixture
def example_of(request: pytest.FixtureRequest) -> Any:
    """The instances that the module tests for a member, as a function of the member."""
    return lambda member: examples(request.module, member)
