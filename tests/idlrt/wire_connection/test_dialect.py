"""Telling what a client speaks from its first bytes."""

from __future__ import annotations

import pytest
from hand_written import GET, dialects, requests

from idlrt.errors import RemoteProtocolError
from idlrt.plugins import UnknownPlugin
from idlrt.wire.connection import ServerConnection
from idlrt.wire.dialect import Dialect, detector, dialect
from idlrt.wire.events import CallReceived


@pytest.mark.parametrize("name", dialects())
def test_each_dialect_is_told_from_the_first_bytes(name: str) -> None:
    spoken = dialects()[name]
    data = requests((GET, (7,)), how=spoken)
    told = [detector().detect(data[:count]) for count in range(len(data))]

    known = told[-1]
    assert known is not None
    assert known.framing.name == spoken.framing.name
    assert known.protocol.strict == spoken.protocol.strict  # type: ignore[attr-defined]
    # Five bytes are enough, and no answer is ever taken back.
    assert all(each in (None, known) for each in told)
    assert told[5] is known


@pytest.mark.parametrize("name", dialects())
def test_an_answer_goes_out_the_way_the_question_came_in(name: str) -> None:
    spoken: Dialect = dialects()[name]
    server = ServerConnection(detector())
    (call,) = server.receive_data(requests((GET, (7,)), how=spoken))
    assert isinstance(call, CallReceived)
    answer = server.reply(call, GET, _user())

    splitter = spoken.framing.splitter(spoken.protocol)
    splitter.add(answer)
    message = splitter.next()
    assert message is not None
    head, _ = spoken.protocol.unpack_head(message)
    assert (head.name, head.sequence_id) == ("get", call.sequence_id)
    assert message.startswith(b"\x80\x01") == name.endswith("strict")


def _user() -> object:
    from hand_written import User

    return User(id=7)


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x21\x01\x04ping",  # compact, which comes later
        b"\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x05\x82",
        b"\x00\x00\x00\x05\xff",
        b"\x00\x00\x00\x05\x7f",
    ],
)
def test_what_is_no_dialect_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="first bytes"):
        detector().detect(data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_http_and_tls_break_the_stream(data: bytes) -> None:
    events = ServerConnection(detector()).receive_data(data)

    assert [type(event).__name__ for event in events] == ["StreamBroken"]


def test_dialects_are_shared() -> None:
    assert dialect("framed") is dialect()
    assert dialect("framed").protocol is dialect("unframed").protocol


def test_an_unknown_framing_is_named() -> None:
    with pytest.raises(UnknownPlugin, match="framd"):
        dialect("framd")
