"""`limiter.enabled = 0` was accepted, because 0 is equal to False, and switched the limiter on."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.config import check


@pytest.mark.parametrize("value", [0, 1, 0.0, "no", ""])
def test_a_number_is_no_switch(value: Any) -> None:
    (problem,) = check({"limiter.enabled": value})
    assert str(problem) == f"limiter.enabled: it must be true or false, not {value!r}"


@pytest.mark.parametrize("value", [True, False, "true", "false"])
def test_a_switch_is(value: Any) -> None:
    assert check({"limiter.enabled": value}) == []
