"""YAML without its traps: duplicate keys are refused, `1e-2` is a number, `no` is a word."""

import re
from collections.abc import Callable, Hashable
from typing import Any, ClassVar

import yaml

MERGE_KEY = "<<"
LONGEST = 2**22
"""The most characters of a text."""
MOST_VALUES = 10**6
"""The most values of a text, each counted wherever an alias repeats it."""
MOST_DIGITS = 1000
"""The longest whole number."""


class YamlError(ValueError):
    """The text is not YAML, or a mapping has a key twice; the message gives the line."""


def parse(text: str) -> Any:
    """The plain Python value that a YAML 1.2 text holds. Raises YamlError."""
    if len(text) > LONGEST:
        raise YamlError(f"the text has {len(text):,} characters, more than {LONGEST:,}")
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(f"line {line}: {_one_line(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"line {line}: a character that YAML does not allow") from error
    except RecursionError as error:
        raise YamlError("lists or mappings are nested too deeply") from error


def written(value: Any) -> str:
    """A value of plain types as YAML that `parse` reads back, its fields in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _one_line(error: yaml.MarkedYAMLError) -> str:
    """The problem in one line, with the context that completes some of them."""
    problem = error.problem or "is not YAML"
    return f"{error.context} {problem}" if problem.startswith("but ") else problem


class _Loader(yaml.SafeLoader):
    """Scalars as the core schema of YAML 1.2 reads them; no tags but that schema's."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own protocol)
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def construct_document(self, node: yaml.Node) -> Any:
        """Construct nested values at once, so that a value that contains itself is found."""
        self._refuse_multitudes(node, {})
        return self.construct_object(node, deep=True)

    def _refuse_multitudes(self, node: yaml.Node, counted: dict[yaml.Node, int]) -> int:
        """How many values a node holds, each alias as many as what it stands for.

        Raises ConstructorError at more than are meant: a few lines of aliases make billions.
        """
        if node in counted:  # 0 while it is being counted: then it holds itself
            return counted[node]
        counted[node] = 0
        count = 1
        for item in node.value if isinstance(node, yaml.CollectionNode) else ():
            for part in item if isinstance(item, tuple) else (item,):
                count += self._refuse_multitudes(part, counted)
        if count > MOST_VALUES:
            raise _wrong(
                node, f"it holds {count:,} values with its aliases, more than {MOST_VALUES:,}"
            )
        counted[node] = count
        return count

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node, which no alias inside of it may stand for."""
        if node in self.recursive_objects:
            raise _wrong(node, "a value holds itself")
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping with each key once and without merge keys, which YAML 1.2 does not have."""
        if not isinstance(node, yaml.MappingNode):
            raise _wrong(node, "expected a mapping")
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key_node, yaml.ScalarNode):
                raise _wrong(key_node, "a key must be a single value")
            if key == MERGE_KEY:
                raise _wrong(key_node, "merge keys (<<) are not read: write the keys out")
            if key in mapping:
                raise _wrong(key_node, f"duplicate key {key!r}")
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping

    def construct_core_scalar(self, node: yaml.ScalarNode) -> Any:
        """The value of a scalar of the core schema, with an explicit tag or without."""
        name = node.tag.rpartition(":")[2]
        if not re.fullmatch(_PATTERNS[name], node.value):
            raise _wrong(node, f"{node.value!r} is no {name}")
        if name == "int" and len(node.value) > MOST_DIGITS:
            raise _wrong(node, f"an int of {len(node.value)} digits is too long")
        return _VALUES[name](node.value)

    def refuse_tag(self, node: yaml.Node) -> Any:
        """Refuse a tag, as a sweep holds plain values and no objects."""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise _wrong(node, f"the tag {tag} is not allowed: only plain values are read")


def _wrong(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def _int(text: str) -> int:
    bases = {"0o": 8, "0x": 16}
    return int(text[2:], bases[text[:2]]) if text[:2] in bases else int(text)


def _float(text: str) -> float:
    return float(re.sub(r"\.(?=[a-zA-Z])", "", text))  # Python writes inf and nan without dots


class _Dumper(yaml.SafeDumper):
    """Quotes what is text here but a number, a truth or nothing in YAML 1.1 or 1.2."""


_PATTERNS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
_VALUES: dict[str, Callable[[str], object]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _int,
    "float": _float,
}
_FIRST = {"null": ["~", "n", "N", ""], "bool": list("tTfF"), "int": list("-+0123456789")}
_FIRST["float"] = [*_FIRST["int"], "."]

for _name, _pattern in _PATTERNS.items():  # in this order: what is an int is no float
    _tag = f"tag:yaml.org,2002:{_name}"
    for _one in (_Loader, _Dumper):
        _one.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _FIRST[_name])
    _Loader.yaml_constructors[_tag] = _Loader.construct_core_scalar
_Loader.yaml_constructors |= {
    "tag:yaml.org,2002:str": _Loader.construct_yaml_str,
    "tag:yaml.org,2002:seq": _Loader.construct_yaml_seq,
    "tag:yaml.org,2002:map": _Loader.construct_mapping,
    None: _Loader.refuse_tag,
}
