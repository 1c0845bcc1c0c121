"""Splitting the bytes of a connection into messages."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hand_written import GET, JOIN, requests
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.protocol.thrift._binary_scanner import BinaryScanner
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope
from idlrt.protocol.thrift.framing import NO_METADATA, Dialect, FrameBuffer, Framed, Unframed
from idlrt.serialization import BinarySerialization, Limits

ENVELOPE = BinaryEnvelope(BinarySerialization())


def split(frame_buffer: FrameBuffer, *pieces: bytes) -> list[bytes]:
    frames: list[bytes] = []
    for piece in pieces:
        frame_buffer.add(piece)
        while (frame := frame_buffer.next()) is not None:
            frames.append(frame)
    return frames


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_frames_do_not_depend_on_how_bytes_are_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    frame_buffer = Framed().frame_buffer(ENVELOPE)

    assert split(frame_buffer, *pieces) == payloads
    assert frame_buffer.is_empty


@pytest.mark.parametrize("framing", ["framed", "unframed", "header"])
def test_messages_cut_at_every_position(framing: str) -> None:
    how = dialect(framing)
    stream = requests((GET, (1,)), (JOIN, (["a", "b"], "-")), (GET, (2,)), how=how)
    whole = split(how.framing.frame_buffer(how.envelope), stream)

    assert len(whole) == 3
    for cut in range(len(stream)):
        assert split(how.framing.frame_buffer(how.envelope), stream[:cut], stream[cut:]) == whole
    assert split(how.framing.frame_buffer(how.envelope), *[bytes([byte]) for byte in stream]) == whole


def test_an_announced_length_over_the_limit_is_refused_before_its_bytes_come() -> None:
    frame_buffer = Framed(Limits(max_message=100)).frame_buffer(ENVELOPE)
    frame_buffer.add(struct.pack(">I", 101))

    with pytest.raises(RemoteProtocolError, match="101 bytes: the limit is max_message=100"):
        frame_buffer.next()


def test_the_limit_of_frames_is_named() -> None:
    frame_buffer = Framed(Limits(max_frame=100, max_message=200)).frame_buffer(ENVELOPE)
    frame_buffer.add(struct.pack(">I", 101))

    with pytest.raises(RemoteProtocolError, match="101 bytes: the limit is max_frame=100"):
        frame_buffer.next()


def test_a_negative_length_is_refused() -> None:
    frame_buffer = Framed().frame_buffer(ENVELOPE)
    frame_buffer.add(b"\xff\xff\xff\xff")

    with pytest.raises(RemoteProtocolError, match="limit"):
        frame_buffer.next()


def test_frames_before_one_over_the_limit_are_still_good() -> None:
    frame_buffer = Framed(Limits(max_message=10)).frame_buffer(ENVELOPE)
    frame_buffer.add(frame(b"good") + frame(b"x" * 11))

    assert frame_buffer.next() == b"good"
    with pytest.raises(RemoteProtocolError):
        frame_buffer.next()


def memory_of_steps(frame_buffer: FrameBuffer, pieces: list[bytes]) -> tuple[int, int]:
    """Split, and return the number of frames and the sum of the memory that each step took at its peak.

    A step is one `add` or one `next`. What is copied has to be allocated, so the sum shows how many bytes are moved.
    """
    frames = total = 0

    def step(what: Callable[[], object]) -> bool:
        nonlocal total
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        is_frame = what() is not None
        total += tracemalloc.get_traced_memory()[1] - before
        return is_frame

    tracemalloc.start()
    try:
        for piece in pieces:
            step(partial(frame_buffer.add, piece))
            while step(frame_buffer.next):
                frames += 1
    finally:
        tracemalloc.stop()
    return frames, total


@pytest.mark.parametrize("framing", ["framed", "unframed", "header"])
def test_a_message_in_many_pieces_is_not_copied_with_each_of_them(framing: str) -> None:
    how = dialect(framing)
    stream = requests((JOIN, (["x" * 100_000], "-")), how=how)
    pieces = [stream[at : at + 20] for at in range(0, len(stream), 20)]
    frame_buffer = how.framing.frame_buffer(how.envelope)

    frames, total = memory_of_steps(frame_buffer, pieces)
    assert frames == 1
    # A copy for each piece would be 250 MB.
    assert total < len(pieces) * 2_000


@pytest.mark.parametrize("framing", ["framed", "unframed", "header"])
def test_the_rest_of_a_piece_is_not_copied_with_each_message_in_it(framing: str) -> None:
    how = dialect(framing)
    count = 4_000
    stream = requests((GET, (1,)), how=how) * count
    frame_buffer = how.framing.frame_buffer(how.envelope)

    frames, total = memory_of_steps(frame_buffer, [stream])
    assert frames == count
    # A copy for each message would be hundreds of megabytes.
    assert total < count * 2_000


def test_an_unframed_message_is_scanned_by_one_scanner_however_many_pieces_it_has() -> None:
    class Counting(BinaryEnvelope):
        scanners = 0

        def scanner(self) -> BinaryScanner:
            self.scanners += 1
            return super().scanner()

    envelope = Counting(BinarySerialization())
    stream = requests((GET, (1,)), (JOIN, (["a", "b"], "-")), how=dialect("unframed"))

    assert len(split(Unframed().frame_buffer(envelope), *[bytes([byte]) for byte in stream])) == 2
    assert envelope.scanners == 2


def test_nothing_is_kept_of_frames_that_were_taken() -> None:
    frame_buffer = Framed().frame_buffer(ENVELOPE)
    payload = b"x" * 1_000_000
    tracemalloc.start()
    try:
        for _ in range(3):
            pieces = frame(payload)[:700_000], frame(payload)[700_000:]
            assert split(frame_buffer, *pieces) == [payload]
            del pieces
            assert frame_buffer.is_empty
            assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("framing", [Framed, Unframed])
def test_a_message_over_the_limit_is_not_sent(framing: type[Framed] | type[Unframed]) -> None:
    with pytest.raises(LocalProtocolError, match="11 bytes: the limit is max_message=10"):
        framing(Limits(max_message=10)).pack(ENVELOPE, 1, b"x" * 5, b"y" * 6)


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="frame of 11 bytes: the limit is max_frame=10"):
        Framed(Limits(max_frame=10)).pack(ENVELOPE, 1, b"x" * 5, b"y" * 6)
    Unframed(Limits(max_frame=10)).pack(ENVELOPE, 1, b"x" * 5, b"y" * 6)  # it has no frames


@pytest.mark.parametrize("framing", [Framed, Unframed])
def test_plain_framings_carry_no_metadata(framing: type[Framed] | type[Unframed]) -> None:
    plain = framing()

    spoken = Dialect(ENVELOPE, plain)
    assert plain.pack(ENVELOPE, 1, b"a", b"b", {"tag": "x"}) == plain.pack(ENVELOPE, 1, b"a", b"b")
    assert plain.frame_decoder(spoken)(b"ab") == (b"ab", spoken, NO_METADATA, 0)


def test_an_unframed_message_over_the_limit_is_refused_before_its_bytes_come() -> None:
    limits = Limits(max_message=1000)
    frame_buffer = Unframed(limits).frame_buffer(BinaryEnvelope(BinarySerialization(limits)))
    stream = requests((JOIN, (["x" * 2000], "-")), how=dialect("unframed"))

    with pytest.raises(RemoteProtocolError, match="max_message=1000"):
        split(frame_buffer, *[stream[at : at + 10] for at in range(0, 100, 10)])
