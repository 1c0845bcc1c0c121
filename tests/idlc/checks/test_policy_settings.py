"""The compiler and the runtime agree on what may be said of calls."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idlc.checks.policy import CALL_SETTINGS, SERVICE_KEYS, SERVICE_TABLES
from idlrt.balance import BALANCERS
from idlrt.config import check
from idlrt.config.schema import fields, sections
from idlrt.core import Backoff, CallPolicy
from idlrt.fault import FAULT_MODES

PLUGINS = {"balancer": BALANCERS.names(), "fault": FAULT_MODES.names()}

TEXTS = st.one_of(
    st.text(max_size=6),
    st.integers(-5, 120).map(str),
    st.floats().map(str),
    st.sampled_from(["true", "False", "TRUE", "null", "1e3", "1.", ".5", "+1", "01", "[1]", "{}", "[", "2.0", "-0"]),
)


def refused(key: str, text: str) -> bool:
    return bool(check({f"methods.get.{key}": text}))


def test_the_keys_of_calls_are_the_same() -> None:
    top = {name for name in CallPolicy.__struct_fields__ if name != "backoff"}
    assert set(CALL_SETTINGS) == top | {f"backoff.{name}" for name in Backoff.__struct_fields__}


def test_what_holds_for_services_as_a_whole_is_the_same() -> None:
    assert {name for each in sections() if each.name == "service" for name in fields(each)} == SERVICE_KEYS
    assert {each.name for each in sections() if not each.is_per_method and each.name != "service"} == SERVICE_TABLES


@pytest.mark.parametrize("key", CALL_SETTINGS)
@example(text="")
@given(text=TEXTS)
def test_both_take_the_same_values(key: str, text: str) -> None:
    if key in PLUGINS:  # which names there are only the runtime knows
        assert CALL_SETTINGS[key].takes(text) or refused(key, text)
    else:
        assert CALL_SETTINGS[key].takes(text) is not refused(key, text)


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, names in PLUGINS.items() for name in names])
def test_every_plugin_of_the_runtime_may_be_named(key: str, name: str) -> None:
    assert CALL_SETTINGS[key].takes(name)
    assert not refused(key, name)
