"""Text for terminals, logs and error messages."""

from __future__ import annotations

import pytest

from idlrt.printable import plural


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1, "1 byte"), (2, "2 bytes"), (-1, "-1 bytes"), (1_000, "1000 bytes")]
)
def test_a_noun_agrees_with_its_count(count: int, text: str) -> None:
    assert plural(count, "byte") == text


@pytest.mark.parametrize(("count", "text"), [(1, "1 address"), (3, "3 addresses")])
def test_a_noun_may_have_an_irregular_plural(count: int, text: str) -> None:
    assert plural(count, "address", "addresses") == text
