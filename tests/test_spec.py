"""Specs: immutable, strict, keyword-only, and the same after JSON."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from lip_ray.spec import AlwaysSaid, Family, RunOnly, Spec, kind_of, kinds_of, members


class Apple(Spec):
    """A member of a family, with a field of every plain type."""

    kind: Literal["apple"] = "apple"
    weight: float = 1.0
    seeds: int = 3
    ripe: bool = True
    colour: str = "red"
    sizes: Annotated[tuple[int, ...], Field(strict=False)] = ()


class Pear(Spec):
    """Another member."""

    kind: Literal["pear"] = "pear"


Fruit = Annotated[Apple | Pear, Family()]
FruitOrPear = Annotated[Apple | Pear, Family(default="pear")]
Counted = Annotated[
    Apple | Pear,
    Family(short=lambda value: {"seeds": value, "kind": "apple"}, offers=int),
]


class Basket(Spec):
    """Specs in specs."""

    fruits: Annotated[tuple[Fruit, ...], Field(strict=False)] = ()
    best: Fruit = Pear()
    owner: Annotated[str, RunOnly()] = "nobody"


class TestStrictness:
    def test_nothing_changes_afterwards(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            Apple().weight = 2.0  # type: ignore[misc]

    def test_unknown_keys_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="wieght"):
            Apple(wieght=2.0)  # type: ignore[call-arg]

    def test_fields_are_given_by_name(self) -> None:
        with pytest.raises(TypeError):
            Apple(2.0)  # type: ignore[call-arg, arg-type]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400])
    def test_numbers_are_finite(self, value: float) -> None:
        with pytest.raises(ValidationError):
            Apple(weight=value)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("weight", "2"),
            ("weight", True),
            ("weight", None),
            ("seeds", "2"),
            ("seeds", 2.0),
            ("seeds", True),
            ("ripe", "yes"),
            ("ripe", 1),
            ("colour", 3),
            ("colour", b"red"),
            ("sizes", ["2"]),
            ("sizes", [2.0]),
            ("sizes", "23"),
        ],
    )
    def test_nothing_is_turned_into_another_type(self, field: str, value: object) -> None:
        with pytest.raises(ValidationError):
            Apple.model_validate({field: value})

    def test_a_whole_number_is_a_number(self) -> None:
        assert Apple(weight=2) == Apple(weight=2.0)
        assert isinstance(Apple(weight=2).weight, float)

    def test_defaults_are_checked_too(self) -> None:
        class Wrong(Spec):
            count: Annotated[int, Field(ge=1)] = 0

        with pytest.raises(ValidationError):
            Wrong()

    def test_equal_specs_are_one_key(self) -> None:
        assert len({Apple(weight=2), Apple(weight=2.0), Apple()}) == 2


class TestShortForms:
    def test_a_kind_stands_for_its_mapping(self) -> None:
        assert Basket.model_validate({"best": "apple"}).best == Apple()

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="'appel'"):
            Basket.model_validate({"best": "appel"})

    def test_the_schema_offers_the_kinds(self) -> None:
        schema = TypeAdapter(Fruit).json_schema()
        offered = [choice["enum"] for choice in schema["anyOf"] if "enum" in choice]
        assert offered == [["apple", "pear"]]

    def test_kind_of_a_class(self) -> None:
        assert [kind_of(Apple), kind_of(Pear)] == ["apple", "pear"]

    @pytest.mark.parametrize("family", [Fruit, Fruit | None, Apple | Pear])
    def test_kinds_of_a_family(self, family: Any) -> None:
        assert list(members(family)) == [Apple, Pear]
        assert kinds_of(family) == ("apple", "pear")

    def test_a_family_of_one(self) -> None:
        alone: TypeAdapter[Any] = TypeAdapter(Annotated[Pear, Family()])
        assert alone.validate_python("pear") == Pear()

    def test_a_mapping_may_do_without_a_kind(self) -> None:
        family: TypeAdapter[Any] = TypeAdapter(FruitOrPear)
        assert family.validate_python({}) == Pear()
        assert family.validate_python({"kind": "apple", "seeds": 2}) == Apple(seeds=2)
        with pytest.raises(ValidationError, match="kind"):
            TypeAdapter(Fruit).validate_python({})

    def test_short_forms_of_its_own(self) -> None:
        family: TypeAdapter[Any] = TypeAdapter(Counted)
        assert family.validate_python(7) == Apple(seeds=7)
        assert {"type": "integer"} in family.json_schema()["anyOf"]


class TestCanonicalJson:
    def test_defaults_are_left_out_and_kinds_kept(self) -> None:
        assert Apple(seeds=3, weight=1).canonical_json() == '{"epoch":2,"kind":"apple"}'

    def test_keys_are_sorted(self) -> None:
        text = Apple(weight=2, colour="green", seeds=1).canonical_json()
        assert text == '{"colour":"green","epoch":2,"kind":"apple","seeds":1,"weight":2.0}'

    def test_a_nested_spec_that_is_no_default_keeps_its_own_difference_only(self) -> None:
        text = Basket(best=Apple(seeds=1)).canonical_json()
        assert text == '{"best":{"kind":"apple","seeds":1},"epoch":2}'

    def test_the_default_of_the_inner_class_is_not_that_of_the_field(self) -> None:
        assert Basket(best=Apple()).canonical_json() == '{"best":{"kind":"apple"},"epoch":2}'
        assert Basket(best=Pear()).canonical_json() == '{"epoch":2}'

    def test_what_only_tells_where_to_run_is_left_out(self) -> None:
        assert Basket(owner="somebody").canonical_json() == '{"epoch":2}'
        assert Basket(owner="somebody") != Basket()
        assert Basket(owner="somebody").id == Basket().id

    def test_what_depends_on_others_is_always_said(self) -> None:
        class Pie(Spec):
            slices: Annotated[int, AlwaysSaid()] = 8
            warm: bool = True

        assert Pie().canonical_json() == '{"epoch":2,"slices":8}'
        assert Pie(slices=8).id == Pie().id != Pie(slices=4).id

    def test_an_epoch_of_defaults_has_ids_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = Apple().id
        monkeypatch.setattr("lip_ray.spec.EPOCH", 3)
        assert Apple().id != before

    def test_zero_has_one_sign(self) -> None:
        assert Apple(weight=-0.0) == Apple(weight=0.0)
        assert Apple(weight=-0.0).id == Apple(weight=0.0).id

    def test_order_within_a_list_counts(self) -> None:
        assert Apple(sizes=(1, 2)).id != Apple(sizes=(2, 1)).id

    def test_a_new_field_with_a_default_renames_nothing(self) -> None:
        class Grown(Apple):
            origin: str = "unknown"

        grown: Any = Grown(seeds=1)
        assert grown.id == Apple(seeds=1).id

    def test_it_is_json(self) -> None:
        basket = Basket(fruits=(Apple(sizes=(1, 2)), Pear()))
        assert json.loads(basket.canonical_json()) == {
            "epoch": 2,
            "fruits": [{"kind": "apple", "sizes": [1, 2]}, {"kind": "pear"}],
        }


def test_a_copy_has_an_id_of_its_own() -> None:
    apple = Apple(seeds=4)
    assert apple.id != Apple().id
    assert apple.model_copy(update={"seeds": 3}).id == Apple().id
    assert apple.model_copy().id == apple.id
    assert apple == Apple(seeds=4), "although its id was never asked for"


def test_attribute_docstrings_describe_the_fields() -> None:
    class Described(Spec):
        size: int = 1
        """In pixels."""

    assert Described.model_json_schema()["properties"]["size"]["description"] == "In pixels."
