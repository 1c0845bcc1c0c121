"""Values of random types come back from JSON as they went."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import idlrt
from idlrt.errors import RemoteProtocolError
from idlrt.serialization.plain_json import JsonOptions, from_plain, to_plain
from idlrt.testing.strategies import of, structs, types, values

pytestmark = pytest.mark.slow

QUICK = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
DEEP = JsonOptions(max_depth=500)
WRITTEN = st.sampled_from([DEEP, JsonOptions(i64_as_text=True, enums_as_numbers=True, max_depth=500)])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["key", "field0"]), inner),
)


@QUICK
@given(data=st.data(), options=WRITTEN)
def test_values_of_any_type(data: st.DataObject, options: JsonOptions) -> None:
    type = data.draw(types())
    value = data.draw(of(type))
    decoded = msgspec.json.decode(msgspec.json.encode(to_plain(type, value, options)))
    assert from_plain(type, decoded, DEEP) == value


@QUICK
@given(data=st.data())
def test_values_of_any_class(data: st.DataObject) -> None:
    cls: Any = data.draw(structs())
    value = data.draw(values(cls))
    text = idlrt.to_json(value, max_depth=500)
    found = idlrt.from_json(cls, text, max_depth=500, refuse_unknown=True)
    assert idlrt.to_json(found, max_depth=500) == text or found == value


@QUICK
@given(data=st.data(), plain=JSON)
def test_any_json_is_read_or_refused(data: st.DataObject, plain: Any) -> None:
    type = data.draw(types())
    try:
        value = from_plain(type, plain)
    except RemoteProtocolError:
        return
    msgspec.json.encode(to_plain(type, value))
