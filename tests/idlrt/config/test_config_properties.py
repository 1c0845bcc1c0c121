"""Property tests: any configuration is accepted or rejected with a reason, and accepted ones are usable."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from idlrt.balance import BALANCERS
from idlrt.config import Layer, check, effective, flatten, read_config
from idlrt.config.describe import describe
from idlrt.config.guards import Guards
from idlrt.config.schema import sections
from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES
from idlrt.guard.base import no_listener

NAMES: Final = [key.name for key in describe()]
TABLES: Final = [each.name for each in sections() if each.name] + ["methods", "config", "enabled", ""]
FIELDS: Final = [name.rpartition(".")[2] for name in NAMES]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 200)
    | st.floats()
    | st.floats(0, 2)
    | st.text(max_size=8)
    | st.sampled_from(["true", "0", "1", "0.5", "inf", "nan", "[", "[]", "{}", '[{"router": "zone"}]', "method"])
    | st.sampled_from([*FAULT_MODES.names(), *BALANCERS.names()])
)
words = st.sampled_from([*TABLES, *FIELDS, *NAMES, "get"]) | st.text(max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
nested = st.dictionaries(words, values, max_size=6)
# Keys that there are, with values of all kinds: many of them hold.
flat = st.dictionaries(
    st.sampled_from(NAMES) | st.sampled_from(NAMES).map(lambda name: f"methods.get.{name}"), scalars, max_size=6
)


@given(nested)
def test_any_tables_can_be_flattened_and_checked(tables: dict[str, Any]) -> None:
    found = flatten(tables)
    for problem in check(found):
        assert problem.why
        assert problem.key.startswith(tuple(found)), "it names a key that is there"


@given(st.dictionaries(st.sampled_from(["caller", "defaults", "services", "server", "x"]), nested | scalars))
def test_any_file_is_read_or_rejected(tables: dict[str, Any]) -> None:
    try:
        read = read_config(tables)
    except ConfigurationError:
        return
    for layer in read.layers(*read.services):
        assert check(layer.values) == []


@given(nested | flat, nested | flat)
def test_valid_settings_can_be_built(far: dict[str, Any], near: dict[str, Any]) -> None:
    layers = []
    for tables in (far, near):
        found = flatten(tables)
        wrong = {problem.key for problem in check(found)}
        layers.append(Layer("", {key: value for key, value in found.items() if not _hit(key, wrong)}))
    for method in ("", "get"):
        holds = effective(layers, method)
        for table in sections():
            if table.name:
                holds.section(table.name)
        assert holds.policy.timeout > 0
        Guards(ClockAndRandom(), no_listener).of(holds)
        for name in {*FAULT_MODES.names()} & {each.name for each in sections()}:
            FAULT_MODES.make(name, holds.section(name), ClockAndRandom()).close()


def _hit(key: str, wrong: set[str]) -> bool:
    return any(each == key or each.startswith((key + ".", key + "[")) for each in wrong)


@given(flat)
def test_keys_are_valid_independently_of_each_other(values: dict[str, Any]) -> None:
    alone = [problem for key, value in values.items() for problem in check({key: value})]
    assert check(values) == alone
