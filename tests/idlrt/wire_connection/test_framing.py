"""Splitting the bytes of a connection into messages."""

from __future__ import annotations

import struct
import time

import pytest
from hand_written import GET, JOIN, requests
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.wire import BinaryProtocol, Limits
from idlrt.wire.dialect import Dialect, dialect
from idlrt.wire.framing import NO_METADATA, Framed, Splitter, Unframed

PROTOCOL = BinaryProtocol()


def split(splitter: Splitter, *pieces: bytes) -> list[bytes]:
    frames: list[bytes] = []
    for piece in pieces:
        splitter.add(piece)
        while (frame := splitter.next()) is not None:
            frames.append(frame)
    return frames


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_frames_do_not_depend_on_how_bytes_are_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    splitter = Framed().splitter(PROTOCOL)

    assert split(splitter, *pieces) == payloads
    assert splitter.is_empty


@pytest.mark.parametrize("framing", ["framed", "unframed", "header"])
def test_messages_cut_at_every_position(framing: str) -> None:
    how = dialect(framing)
    stream = requests((GET, (1,)), (JOIN, (["a", "b"], "-")), (GET, (2,)), how=how)
    whole = split(how.framing.splitter(how.protocol), stream)

    assert len(whole) == 3
    for cut in range(len(stream)):
        assert split(how.framing.splitter(how.protocol), stream[:cut], stream[cut:]) == whole
    assert split(how.framing.splitter(how.protocol), *[bytes([byte]) for byte in stream]) == whole


def test_an_announced_length_over_the_limit_is_refused_before_its_bytes_come() -> None:
    splitter = Framed(Limits(max_message=100)).splitter(PROTOCOL)
    splitter.add(struct.pack(">I", 101))

    with pytest.raises(RemoteProtocolError, match="101 bytes: the limit is max_message=100"):
        splitter.next()


def test_the_limit_of_frames_is_named() -> None:
    splitter = Framed(Limits(max_frame=100, max_message=200)).splitter(PROTOCOL)
    splitter.add(struct.pack(">I", 101))

    with pytest.raises(RemoteProtocolError, match="101 bytes: the limit is max_frame=100"):
        splitter.next()


def test_a_negative_length_is_refused() -> None:
    splitter = Framed().splitter(PROTOCOL)
    splitter.add(b"\xff\xff\xff\xff")

    with pytest.raises(RemoteProtocolError, match="limit"):
        splitter.next()


def test_frames_before_one_over_the_limit_are_still_good() -> None:
    splitter = Framed(Limits(max_message=10)).splitter(PROTOCOL)
    splitter.add(frame(b"good") + frame(b"x" * 11))

    assert splitter.next() == b"good"
    with pytest.raises(RemoteProtocolError):
        splitter.next()


@pytest.mark.parametrize("framing", ["framed", "unframed"])
def test_byte_by_byte_costs_linear_time(framing: str) -> None:
    how = dialect(framing)

    def seconds(size: int) -> float:
        stream = requests((JOIN, (["x" * size], "-")), how=how)
        splitter = how.framing.splitter(how.protocol)
        start = time.perf_counter()
        for byte in stream:
            splitter.add(bytes([byte]))
            last = splitter.next()
        assert last is not None
        return time.perf_counter() - start

    small = min(seconds(10_000) for _ in range(3))
    assert seconds(160_000) < small * 16 * 6


@pytest.mark.parametrize("framing", ["framed", "unframed"])
def test_many_small_messages_in_one_piece_cost_linear_time(framing: str) -> None:
    how = dialect(framing)

    def seconds(count: int) -> float:
        stream = requests((GET, (1,)), how=how) * count
        start = time.perf_counter()
        assert len(split(how.framing.splitter(how.protocol), stream)) == count
        return time.perf_counter() - start

    small = min(seconds(500) for _ in range(3))
    assert seconds(8_000) < small * 16 * 6


def test_nothing_is_kept_of_frames_that_were_taken() -> None:
    splitter = Framed().splitter(PROTOCOL)
    for _ in range(50):
        payload = b"x" * 100_000
        assert split(splitter, frame(payload)[:70_000], frame(payload)[70_000:]) == [payload]
        assert splitter.is_empty
    assert len(splitter._buffer) == 0


@pytest.mark.parametrize("framing", [Framed, Unframed])
def test_a_message_over_the_limit_is_not_sent(framing: type[Framed] | type[Unframed]) -> None:
    with pytest.raises(LocalProtocolError, match="11 bytes: the limit is max_message=10"):
        framing(Limits(max_message=10)).pack(PROTOCOL, 1, b"x" * 5, b"y" * 6)


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="frame of 11 bytes: the limit is max_frame=10"):
        Framed(Limits(max_frame=10)).pack(PROTOCOL, 1, b"x" * 5, b"y" * 6)
    Unframed(Limits(max_frame=10)).pack(PROTOCOL, 1, b"x" * 5, b"y" * 6)  # it has no frames


@pytest.mark.parametrize("framing", [Framed, Unframed])
def test_plain_framings_carry_no_metadata(framing: type[Framed] | type[Unframed]) -> None:
    plain = framing()

    spoken = Dialect(PROTOCOL, plain)
    assert plain.pack(PROTOCOL, 1, b"a", b"b", {"tag": "x"}) == plain.pack(PROTOCOL, 1, b"a", b"b")
    assert plain.opener(spoken)(b"ab") == (b"ab", spoken, NO_METADATA, 0)


def test_an_unframed_message_over_the_limit_is_refused_before_its_bytes_come() -> None:
    limits = Limits(max_message=1000)
    splitter = Unframed(limits).splitter(BinaryProtocol(limits))
    stream = requests((JOIN, (["x" * 2000], "-")), how=dialect("unframed"))

    with pytest.raises(RemoteProtocolError, match="max_message=1000"):
        split(splitter, *[stream[at : at + 10] for at in range(0, 100, 10)])
