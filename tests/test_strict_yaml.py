"""YAML 1.2's core schema, each key once, plain values only, and the line of what is wrong."""

import json
import math
import string
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from lip_ray import strict_yaml

PRINTABLE = st.characters(categories=("L", "N", "P", "S", "Zs"), max_codepoint=0xFFFD)


def plain(
    text: st.SearchStrategy[str], keys: st.SearchStrategy[str], *, infinite: bool = True
) -> st.SearchStrategy[Any]:
    """Values of nothing but lists, mappings and scalars."""
    numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=infinite)
    leaves = st.none() | st.booleans() | numbers | text
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


WORDS = st.text(string.ascii_letters + " _-", max_size=12)
ANY_TEXT = st.text(PRINTABLE, max_size=12)
ANY_KEY = ANY_TEXT.filter(lambda key: key != strict_yaml.MERGE_KEY)


def refusal(text: str) -> str:
    with pytest.raises(strict_yaml.YamlError) as caught:
        strict_yaml.parse(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestScalars:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1e-2", 0.01),
            ("1E5", 100_000.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-.5e+1", -5.0),
            ("+1.5", 1.5),
            (".inf", math.inf),
            ("-.INF", -math.inf),
        ],
    )
    def test_floats(self, text: str, value: float) -> None:
        parsed = strict_yaml.parse(text)
        assert parsed == value
        assert isinstance(parsed, float)

    def test_not_a_number(self) -> None:
        assert math.isnan(strict_yaml.parse(".NaN"))

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0", 0),
            ("-12", -12),
            ("+5", 5),
            ("010", 10),  # octal in YAML 1.1
            ("08", 8),
            ("0o17", 15),
            ("0x1F", 31),
        ],
    )
    def test_ints(self, text: str, value: int) -> None:
        parsed = strict_yaml.parse(text)
        assert parsed == value
        assert isinstance(parsed, int)

    @pytest.mark.parametrize("text", ["true", "True", "TRUE"])
    def test_true(self, text: str) -> None:
        assert strict_yaml.parse(text) is True

    @pytest.mark.parametrize("text", ["false", "False", "FALSE"])
    def test_false(self, text: str) -> None:
        assert strict_yaml.parse(text) is False

    @pytest.mark.parametrize("text", ["null", "Null", "NULL", "~", "", "# a comment"])
    def test_null(self, text: str) -> None:
        assert strict_yaml.parse(text) is None

    @pytest.mark.parametrize(
        "text", ["y", ".", "+", "=", "no", "off", "on", "yes", "tRue", "inf", "nan"]
    )
    def test_words_are_text(self, text: str) -> None:
        assert strict_yaml.parse(text) == text

    @pytest.mark.parametrize(
        "text", ["12:30", "1:30:00", "2001-01-01", "1_000", "0b1", "0o8", "0x", "1e", "1.5.2"]
    )
    def test_what_only_looks_like_a_number_is_text(self, text: str) -> None:
        assert strict_yaml.parse(text) == text

    @pytest.mark.parametrize("text", ["'010'", '"1e-2"', "!!str 12", "'no'", '"null"'])
    def test_quotes_and_tags_make_text(self, text: str) -> None:
        assert isinstance(strict_yaml.parse(text), str)

    def test_a_tag_reads_the_core_schema_too(self) -> None:
        assert strict_yaml.parse("!!int '010'") == 10
        assert strict_yaml.parse("!!float 3") == 3.0


class TestRefusals:
    def test_a_duplicate_key_with_its_line(self) -> None:
        assert refusal("a: 1\nb: 2\na: 3\n") == "line 3: duplicate key 'a'"

    def test_a_duplicate_key_inside(self) -> None:
        assert refusal("a:\n  b: {c: 1, c: 2}\n") == "line 2: duplicate key 'c'"

    def test_the_same_key_in_two_mappings_is_no_duplicate(self) -> None:
        assert strict_yaml.parse("a: {c: 1}\nb: {c: 1}") == {"a": {"c": 1}, "b": {"c": 1}}

    @pytest.mark.parametrize(
        "tag", ["!!python/object:os.system", "!!python/name:os.system", "!own", "!!binary", "!!set"]
    )
    def test_tags_that_are_no_plain_value(self, tag: str) -> None:
        assert refusal(f"a: 1\nb: {tag} x") == (
            f"line 2: the tag {tag} is not allowed: only plain values are read"
        )

    @pytest.mark.parametrize("name", ["int", "float", "bool", "null"])
    def test_tags_that_do_not_fit(self, name: str) -> None:
        assert refusal(f"!!{name} maybe") == f"line 1: 'maybe' is no {name}"

    def test_a_mapping_that_is_none(self) -> None:
        assert refusal("!!map x") == "line 1: expected a mapping"

    def test_merge_keys_with_what_to_do(self) -> None:
        assert refusal("a: &a {b: 1}\nc:\n  <<: *a\n") == (
            "line 3: merge keys (<<) are not read: write the keys out"
        )

    @pytest.mark.parametrize("text", ["? [a]\n: 1", "{{a: 1}: 2}"])
    def test_keys_that_are_lists_or_mappings(self, text: str) -> None:
        assert refusal(text) == "line 1: a key must be a single value"

    def test_a_value_that_holds_itself(self) -> None:
        assert refusal("a: 1\nb: &b [*b]") == "line 2: a value holds itself"
        assert refusal("a: &a {b: {c: *a}}") == "line 1: a value holds itself"

    def test_an_alias_of_nothing(self) -> None:
        assert "line 2: found undefined alias" in refusal("a: 1\nb: *x")

    def test_tabs(self) -> None:
        assert refusal("a:\n\tb: 1").startswith("line 2: found character '\\t'")

    def test_two_documents(self) -> None:
        message = refusal("---\na: 1\n---\nb: 2\n")
        assert (
            message == "line 3: expected a single document in the stream but found another document"
        )

    @pytest.mark.parametrize(
        ("text", "line"), [("a: b: c", 1), ("a: 1\n b: 2", 2), ("a: [1,\n2", 2), ('a: "x\n', 2)]
    )
    def test_broken_syntax_with_its_line(self, text: str, line: int) -> None:
        assert refusal(text).startswith(f"line {line}: ")

    def test_characters_yaml_does_not_have(self) -> None:
        assert refusal("a: 1\nb: \0\n") == "line 2: a character that YAML does not allow"

    def test_nesting_without_end(self) -> None:
        assert refusal("[" * 10_000) == "lists or mappings are nested too deeply"

    def test_numbers_without_end(self) -> None:
        assert refusal("a: 1" + "0" * 5000) == "line 1: an int of 5001 digits is too long"


def test_an_alias_repeats_its_value() -> None:
    assert strict_yaml.parse("a: &a {b: [1]}\nc: *a") == {"a": {"b": [1]}, "c": {"b": [1]}}


@given(plain(ANY_TEXT, ANY_KEY, infinite=False))
def test_json_is_yaml(value: object) -> None:
    assert strict_yaml.parse(json.dumps(value, ensure_ascii=False)) == value


@given(plain(WORDS, WORDS))
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    assert strict_yaml.parse(pyyaml.safe_dump(value)) == value


@given(plain(ANY_TEXT, ANY_KEY))
def test_what_pyyaml_writes_with_tags_is_read_back(value: object) -> None:
    text = pyyaml.safe_dump(value, default_style='"', allow_unicode=True)
    assert strict_yaml.parse(text) == value


class TestWritten:
    @given(plain(ANY_TEXT, ANY_KEY))
    def test_what_is_written_is_read_back(self, value: Any) -> None:
        assert strict_yaml.parse(strict_yaml.written(value)) == value

    @pytest.mark.parametrize("word", ["1e3", "0o17", "0x1F", "no", "~", "", "1_000", ".5e2", "é"])
    def test_a_word_stays_a_word(self, word: str) -> None:
        assert strict_yaml.parse(strict_yaml.written({"name": word})) == {"name": word}

    def test_fields_keep_their_order(self) -> None:
        assert strict_yaml.written({"name": "a", "fit": {"b": 1, "a": 0.00001}}) == (
            "name: a\nfit:\n  b: 1\n  a: 1.0e-05\n"
        )
