"""The meaning of a plain (unquoted) YAML scalar: text, or another type by the rules of YAML 1.1."""

from __future__ import annotations

import datetime
import re
from typing import Any

from yaml.constructor import SafeConstructor
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from sshjobs.errors import printable

_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = Resolver.yaml_implicit_resolvers
_CONSTRUCTOR = SafeConstructor()
_DIGITS = frozenset("0123456789")
_PREFIX = "tag:yaml.org,2002:"
_MAX_NUMBER = 400
_CONSTRUCT = {
    _PREFIX + "bool": _CONSTRUCTOR.construct_yaml_bool,
    _PREFIX + "int": _CONSTRUCTOR.construct_yaml_int,
    _PREFIX + "float": _CONSTRUCTOR.construct_yaml_float,
    _PREFIX + "null": _CONSTRUCTOR.construct_yaml_null,
    _PREFIX + "timestamp": _CONSTRUCTOR.construct_yaml_timestamp,
}


def resolve(text: str) -> Any:
    """Return the value of a plain scalar in YAML 1.1; the same object if it is text.

    :raises ValueError: it looks like a number or a date, and is none
    """
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            construct = _CONSTRUCT.get(tag)
            if construct is None:  # "<<" and "=": text, wherever they are not keys
                return text
            if text.isdigit() and text[0] != "0" and len(text) < 19:
                return int(text)
            if len(text) > _MAX_NUMBER:
                raise ValueError("too long")
            return construct(ScalarNode(tag, text))
    return text


def is_plain_decimal(text: str) -> bool:
    """Return whether a number is unambiguous: not octal, hexadecimal, base 60 or with underscores."""
    digits = text[1:] if text[:1] in "+-" else text
    return digits == "0" or (bool(digits) and digits[0] != "0" and _DIGITS.issuperset(digits))


def describe(value: Any, source: str | None) -> str:
    """Describe a value for a message: ``the boolean no``, ``the number 5``, ``a list``.

    :param source: how it was written, if it was a plain scalar
    """
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    shown = printable(value if source is None else source)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    if isinstance(value, str):
        return f"the text '{shown}'"
    if isinstance(value, bool):
        return f"the boolean {shown}"
    if isinstance(value, (int, float)):
        return f"the number {shown}"
    if isinstance(value, datetime.date):
        return f"the date {shown}"
    return f"{type(value).__name__} {shown}"
