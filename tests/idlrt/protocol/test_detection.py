"""Which protocol a client speaks, by its first bytes, however they are cut."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hand_written import GET, Users, requests, user_service

from idlrt import ConfigurationError, Limits, Server
from idlrt.core import serve
from idlrt.errors import RemoteProtocolError
from idlrt.plugins import UnknownPlugin
from idlrt.protocol import ConnectionBroken, ProtocolDetected, RpcProtocol, ServerEvent, Sniff
from idlrt.protocol.detection import BUILT_IN, DetectingConnection, detect, is_protocol, protocol, served_protocols

LIMITS = Limits()
THRIFT = requests((GET, (1,)))
JSONRPC = b'{"jsonrpc": "2.0", "method": "get", "params": [1], "id": 1}\n'

FIRST = [THRIFT, JSONRPC, b"GET / HTTP/1.1\r\n\r\n", b"hello you", b"\xff\xff", b"[1,", b"[{"]


class Hesitant:
    """Needs five bytes to tell that it is not meant, or that it is."""

    name = "hesitant"
    serializations: tuple[str, ...] = ("text",)

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        if len(prefix) < 5:
            return Sniff.MORE
        return Sniff.YES if prefix.startswith(b"hello") else Sniff.NO

    def server(self, served: Any, limits: Limits) -> Any:
        return protocol("thrift").server(served, limits)

    def clients(self, options: Mapping[str, Any], limits: Limits, instance: Any = None) -> Any:
        raise NotImplementedError


def outcome(pieces: Iterable[bytes], protocols: Iterable[RpcProtocol]) -> tuple[str, bytes]:
    """The kind of what was detected, or the error; and the bytes that its connection is given."""
    connection = DetectingConnection(serve(user_service(Users())), tuple(protocols), LIMITS)
    for piece in pieces:
        events: list[ServerEvent] = connection.receive_data(piece)
        for event in events:
            if isinstance(event, ProtocolDetected):
                return type(event.connection).__module__, event.data
            assert isinstance(event, ConnectionBroken)
            assert connection.is_broken
            assert connection.receive_data(b"more") == []
            return str(event.error), b""
    return "undecided", b""


@pytest.mark.parametrize(
    "first", [THRIFT, JSONRPC, b"GET / HTTP/1.1\r\n\r\n", b"hello you", b"\xff\xff", b"[1,", b"[{"]
)
@pytest.mark.parametrize("names", [BUILT_IN, tuple(reversed(BUILT_IN))])
def test_the_result_does_not_depend_on_how_bytes_are_cut(first: bytes, names: tuple[str, ...]) -> None:
    protocols = [Hesitant(), *map(protocol, names)]
    whole, _ = outcome([first], protocols)
    single, given = outcome([first[i : i + 1] for i in range(len(first))], protocols)
    assert single == whole
    assert first.startswith(given)
    for cut in range(1, len(first)):
        assert outcome([first[:cut], first[cut:]], protocols)[0] == whole


def test_a_protocol_that_needs_more_bytes_is_waited_for() -> None:
    thrift = protocol("thrift")
    assert detect(b"\x80\x01", [Hesitant(), thrift], LIMITS) is None
    assert detect(b"\x80\x01", [thrift, Hesitant()], LIMITS) is thrift
    assert detect(b"\x80\x01\0\x01\0", [Hesitant(), thrift], LIMITS) is thrift


def test_a_server_may_be_narrowed_to_some_protocols() -> None:
    with pytest.raises(
        RemoteProtocolError, match=r"^the client speaks thrift \(framed binary\), this server supports jsonrpc$"
    ):
        detect(THRIFT, served_protocols(["jsonrpc"]), LIMITS)
    kind, _ = outcome([JSONRPC], served_protocols(["thrift"]))
    assert "which starts no message of a protocol of this port" in kind


@pytest.mark.parametrize("names", [["jsonrpc"], ["thrift", "jsonrpc"], ["jsonrpc", "thrift"]])
@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"[{", b"[ \t{", b"[]", b"[1,", b"[ 1", b"[" + b" " * 100, JSONRPC]
)
def test_the_order_of_protocols_does_not_change_the_outcome_for_cut_bytes(first: bytes, names: list[str]) -> None:
    protocols = list(served_protocols(names))
    whole, _ = outcome([first], protocols)
    assert outcome([first[i : i + 1] for i in range(len(first))], protocols)[0] == whole


@pytest.mark.parametrize("names", [["thrift", "jsonrpc"], ["jsonrpc", "thrift"]])
def test_arrays_of_objects_are_batches_whatever_the_order(names: list[str]) -> None:
    protocols = list(served_protocols(names))
    batches = [outcome([first], protocols)[0] for first in (b"[{", b"[ {", b"[]")]
    assert batches == ["idlrt.protocol.jsonrpc.server"] * 3
    assert outcome([b"[1,"], protocols)[0] == "idlrt.protocol.thrift.connection"


def test_a_package_that_cannot_be_loaded_harms_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[idlrt.protocols]\nzbroken = no_such_module:Protocol\n")
    program = "from idlrt.protocol.detection import served_protocols as all\nprint(*[each.name for each in all()])\n"
    program += "print(*[each.name for each in all()])\nall(['zbroken'])\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout == "jsonrpc thrift\njsonrpc thrift\n"
    assert done.stderr.count("cannot load protocol zbroken: No module named") == 1
    assert done.stderr.rstrip().endswith("ModuleNotFoundError: No module named 'no_such_module'")


def test_names_of_protocols_are_checked_when_a_server_is_made() -> None:
    with pytest.raises(UnknownPlugin, match=r"unknown protocol 'thrit' \(known: .*\); did you mean 'thrift'\?"):
        Server(user_service(Users()), protocols=["thrit"])
    with pytest.raises(ConfigurationError, match="protocols: must have at least one name"):
        Server(user_service(Users()), protocols=[])
    with pytest.raises(ConfigurationError, match="protocols: must be a list of names"):
        Server(user_service(Users()), protocols="thrift")
    with pytest.raises(ConfigurationError, match=r"protocols: must be a list of names, got \[1\]"):
        Server(user_service(Users()), protocols=cast("Any", [1]))


def test_the_end_of_data_before_the_protocol_is_known_is_an_error_within_a_message_only() -> None:
    connection = DetectingConnection(serve(user_service(Users())), [Hesitant()], LIMITS)
    assert connection.receive_data(b"") == []
    assert connection.is_between_messages
    assert connection.receive_data(b"he") == []
    assert not connection.is_between_messages
    [event] = connection.receive_eof()
    assert isinstance(event, ConnectionBroken)
    fresh = DetectingConnection(serve(user_service(Users())), [Hesitant()], LIMITS)
    assert fresh.receive_eof() == []


def test_built_in_protocols_are_known_by_name() -> None:
    assert all(map(is_protocol, BUILT_IN))
    assert not is_protocol("smoke")
    http = protocol("http")
    assert [each.name for each in served_protocols(http=http)][: len(BUILT_IN)] == list(BUILT_IN)


def test_http_is_served_on_request_only() -> None:
    assert "http" not in [each.name for each in served_protocols()]
    assert "http" in [each.name for each in served_protocols(["thrift", "http"])]
