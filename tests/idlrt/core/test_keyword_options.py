"""Keyword options that a `TypedDict` declares: names, documentation and signatures."""

from __future__ import annotations

import inspect
from typing import TypedDict, Unpack

import pytest

from idlrt.core.keyword_options import check_names, documented, suggestion


class Options(TypedDict, total=False):
    """Options.

    Attributes:
        size: number of bytes,
            as a whole.
        name: any text.
    """

    size: int
    name: str | None


@documented(Options, {"size": 3, "name": None})
def make(first: int, *, second: str = "b", **options: Unpack[Options]) -> int:
    """Make it.

    Args:
        options: see `Options`.
    """
    return first


@documented(Options)
def change(**options: Unpack[Options]) -> None:
    """Change it."""


def test_signatures_list_the_options() -> None:
    assert str(inspect.signature(make)) == (
        "(first: 'int', *, second: 'str' = 'b', size: 'int' = 3, name: 'str | None' = None) -> 'int'"
    )
    assert str(inspect.signature(change)) == "(**options: 'Unpack[Options]') -> 'None'"


def test_docstrings_end_with_the_options() -> None:
    listed = "Options (`idlrt.Options`):\n    size: number of bytes,\n        as a whole.\n    name: any text."
    assert make.__doc__ == f"Make it.\n\nArgs:\n    options: see `Options`.\n\n{listed}"
    assert change.__doc__ == f"Change it.\n\n{listed}"


def test_functions_without_docstrings_stay_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Options, "__doc__", None)  # as under `python -OO`

    def plain(**options: Unpack[Options]) -> None: ...

    assert documented(Options)(plain).__doc__ is None


def test_the_function_stays_the_same() -> None:
    assert make(1, second="c", size=2) == 1


def test_unknown_names_are_refused_with_the_nearest_known_one() -> None:
    check_names("make", ["size", "name"], Options.__annotations__)
    with pytest.raises(TypeError) as caught:
        check_names("make", ["size", "nmae"], Options.__annotations__)
    assert str(caught.value) == "make() got an unexpected keyword argument 'nmae'; did you mean 'name'?"
    assert suggestion("other", Options.__annotations__) == "; known: name, size"
