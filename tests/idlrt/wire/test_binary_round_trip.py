"""What is written is read back, whatever it is."""

from __future__ import annotations

import pytest
import wire_types as t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from value_strategy import values
from walked import walked

from idlrt.wire import BinaryProtocol, Limits, MessageKind
from idlrt.wire._binary_skip import skip
from idlrt.wire._binary_values import PADDING

PROTOCOL = BinaryProtocol()
LIMITED = BinaryProtocol(Limits(max_string=10**6, max_container=10**6))
QUICK = settings(max_examples=30, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("cls", t.CLASSES)
@QUICK
@given(data=st.data())
def test_values_of_any_class(cls, data):
    value = data.draw(values(cls))
    encoded = PROTOCOL.struct(cls).encode(value)
    for protocol in (PROTOCOL, LIMITED):
        decoded, end = protocol.struct(cls).decode(encoded)
        assert decoded == value
        assert end == len(encoded)
    assert walked(cls, encoded) == (value, len(encoded))
    assert skip(encoded + PADDING, 0, len(encoded), t.STRUCT, 64, 64) == len(encoded)


@QUICK
@given(data=st.data())
def test_unknown_fields_change_nothing(data):
    """A class with none of the fields, and one with half of them, read what has all."""
    value = data.draw(values(t.Maps))
    encoded = PROTOCOL.struct(t.Maps).encode(value)
    assert PROTOCOL.struct(t.Empty).decode(encoded) == (t.Empty(), len(encoded))
    some = PROTOCOL.record(t.Maps.__thrift_fields__[::2])
    decoded, end = some.decode(encoded)
    assert end == len(encoded)
    assert decoded == tuple(getattr(value, field.attribute) for field in t.Maps.__thrift_fields__[::2])


@QUICK
@given(
    kind=st.sampled_from(list(MessageKind)),
    name=st.text(max_size=30),
    sequence_id=st.integers(-(2**31), 2**31 - 1),
    value=values(t.Scalars),
    is_strict=st.booleans(),
)
def test_whole_messages(kind, name, sequence_id, value, is_strict):
    protocol = BinaryProtocol(strict=is_strict)
    message = protocol.pack_head(kind, name, sequence_id) + protocol.struct(t.Scalars).encode(value)
    assert protocol.scanner().scan(message + b"more") == len(message)
    head, start = protocol.unpack_head(message)
    assert (head.kind, head.name, head.sequence_id) == (kind, name, sequence_id)
    assert protocol.struct(t.Scalars).decode(message, start) == (value, len(message))
