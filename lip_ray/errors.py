"""Errors that a user can mend."""

import re
from typing import ClassVar

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class UserError(ValueError):
    """Wrong input: the message names the field, the value and what is allowed.

    The command line prints it without a traceback and ends with exit code 2.
    """

    many_lines: ClassVar[bool] = False
    """Whether line ends in the message are its own, and not those of a name in it."""


def one_line(text: str) -> str:
    """The text with line ends, escape sequences and the like as visible characters."""
    if text.isprintable():
        return text
    return CONTROL.sub(lambda found: ESCAPES.get(found[0], ascii(found[0])[1:-1]), text)


def first_line(error: Exception) -> str:
    """The first line of an error's message; the error itself where it has none."""
    return (str(error).strip() or repr(error)).splitlines()[0]
