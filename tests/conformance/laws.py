"""The laws of every family, whatever it is of; its module imports them as its own tests."""

from lip_ray.spec import kind_of


def test_the_family_is_all_that_is_written(family, written) -> None:
    assert family == written != set()


def test_every_member_has_an_example(member, example_of) -> None:
    assert example_of(member), f"add {member.__name__} to EXAMPLES"


def test_a_kind_and_json_lead_back_to_the_spec(example) -> None:
    assert example.kind == kind_of(type(example))
    assert type(example).model_validate_json(example.model_dump_json()) == example
