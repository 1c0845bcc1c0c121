"""Round trips: values are read back as written, and all backends write and read the same."""

from __future__ import annotations

import pytest
import wire_types as t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocols import HOWS, OLD, each_protocol, each_protocol_and_old
from walked import walked

from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import DEFAULT_LIMITS
from idlrt.serialization._binary_skip import skip
from idlrt.serialization._binary_values import PADDING
from idlrt.testing.strategies import values

pytestmark = pytest.mark.slow

LIMITS = {"max_string": 10**6, "max_container": 10**6}
QUICK = settings(max_examples=30, suppress_health_check=list(HealthCheck))


@each_protocol
@pytest.mark.parametrize("cls", t.CLASSES)
@QUICK
@given(data=st.data())
def test_values_of_any_class(how, cls, data):
    value = data.draw(values(cls))
    encoded = how().struct(cls).encode(value)
    for protocol in (how(), how(**LIMITS)):
        assert protocol.struct(cls).decode(encoded) == (value, len(encoded))
    message = how.message(encoded)
    assert how.envelope().scanner().scan(message + b"more") == len(message)
    unknown, end = how().struct(t.Empty).decode(encoded)
    assert (unknown, end) == (t.Empty(), len(encoded))
    if how.name == "binary":
        assert walked(cls, encoded) == (value, len(encoded))
        assert skip(encoded + PADDING, 0, len(encoded), t.STRUCT, 64, DEFAULT_LIMITS) == len(encoded)


@pytest.mark.parametrize("name", ["binary", "compact", "json"])
@pytest.mark.parametrize("cls", t.CLASSES)
@QUICK
@given(data=st.data())
def test_all_backends_write_the_same(name, cls, data):
    value = data.draw(values(cls))
    assert len({how().struct(cls).encode(value) for how in HOWS if how.name == name}) == 1


@each_protocol
@QUICK
@given(data=st.data())
def test_unknown_fields_change_nothing(how, data):
    """A class with none of the fields, and one with half of them, read what has all."""
    value = data.draw(values(t.Maps))
    encoded = how().struct(t.Maps).encode(value)
    assert how().struct(t.Empty).decode(encoded) == (t.Empty(), len(encoded))
    some = how().record(t.Maps.__thrift_fields__[::2])
    decoded, end = some.decode(encoded)
    assert end == len(encoded)
    assert decoded == tuple(getattr(value, field.attribute) for field in t.Maps.__thrift_fields__[::2])


@each_protocol_and_old
@QUICK
@given(
    kind=st.sampled_from(list(MessageType)),
    name=st.text(max_size=30),
    sequence_id=st.integers(-(2**31), 2**31 - 1),
    value=values(t.Scalars),
)
def test_whole_messages(how, kind, name, sequence_id, value):
    serialization, envelope = how(), how.envelope()
    message = (
        envelope.pack_head(kind, name, sequence_id) + serialization.struct(t.Scalars).encode(value) + envelope.tail
    )
    assert envelope.scanner().scan(message + b"more") == len(message)
    head, start = envelope.unpack_head(message)
    assert (head.kind, head.name, head.sequence_id) == (kind, name, sequence_id)
    decoded, end = serialization.struct(t.Scalars).decode(message, start)
    assert decoded == value
    assert envelope.unpack_tail(message, end) == len(message)


def test_the_old_binary_protocol_differs_in_its_heads_alone():
    assert OLD().struct(t.Point).encode(t.Point(x=1)) == HOWS[0]().struct(t.Point).encode(t.Point(x=1))
