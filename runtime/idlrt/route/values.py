"""Values of conditions as predicates on text: exact text, wildcards, number ranges, networks."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from idlrt.route.keys import Number

__all__ = ["Test", "Value", "is_within", "make_test", "network_of"]

Test = Callable[[str], bool]
"""Predicate on text."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_RANGE: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)?~(-?[0-9]+(?:\.[0-9]+)?)?")


class Value(msgspec.Struct, frozen=True):
    """A value of a condition.

    Attributes:
        text: text without quotes.
        offset: offset in the condition.
        is_quoted: whether the text is literal.
    """

    text: str
    offset: int
    is_quoted: bool = False


def make_test(values: Sequence[Value], *, is_host: bool, may_be_number: bool) -> Test:
    """Return a predicate that is true for text that matches one of `values`.

    Args:
        is_host: whether values may be networks.
        may_be_number: whether the text may be a `Number`.

    Raises:
        ValueError: a value is invalid; the arguments of the error are the reason and the offset.
    """
    exact: set[str] = set()
    others: list[Test] = []
    for value in values:
        test = None if value.is_quoted else _special(value, is_host)
        if test is None:
            exact.add(value.text)
        else:
            others.append(test)
    if not others and not may_be_number:
        # The most common and fastest case.
        return frozenset(exact).__contains__
    return _test(frozenset(exact), tuple(others))


def network_of(text: str) -> Network | None:
    """Parse a network such as `10.0.0.0/8`; return `None` if it is invalid."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _test(exact: frozenset[str], others: tuple[Test, ...]) -> Test:
    def is_one(text: str) -> bool:
        if text in exact:
            return True
        for test in others:
            if test(text):
                return True
        return isinstance(text, Number) and is_one(text.number)

    return is_one


def _special(value: Value, is_host: bool) -> Test | None:
    text = value.text
    if text == "*":
        return bool
    if "~" in text:
        return _range(value)
    if is_host and "/" in text:
        network = network_of(text)
        if network is None:
            raise ValueError(f"expected a network such as 10.0.0.0/8, got {text!r}", value.offset)
        return lambda host: is_within(host, network)
    return _stars(text) if "*" in text else None


def _range(value: Value) -> Test:
    match = _RANGE.fullmatch(value.text)
    if match is None or value.text == "~":
        what = f"expected a range of numbers such as 10~20, got {value.text!r}; quote it if it is text"
        raise ValueError(what, value.offset)
    low, high = (float(end) if end is not None else math.nan for end in match.groups())
    if low > high:
        raise ValueError(f"the range {value.text!r} is empty: its lower bound exceeds its upper bound", value.offset)

    def is_between(text: str) -> bool:
        try:
            number = float(text)
        except ValueError:
            return False
        # Comparisons with NaN, an omitted bound, are false.
        return not (number < low or number > high or number != number)

    return is_between


def _stars(pattern: str) -> Test:
    """Return a wildcard predicate that takes linear time, regardless of the number of stars."""
    head, *middle, tail = pattern.split("*")

    def fits(text: str) -> bool:
        if len(text) < len(head) + len(tail) or not (text.startswith(head) and text.endswith(tail)):
            return False
        at, end = len(head), len(text) - len(tail)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return fits


def is_within(host: str, network: Any) -> bool:
    """Whether `host` is an IP address in `network`; host names are in none."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]) in network
    except ValueError:
        return False
