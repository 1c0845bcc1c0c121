"""A Pinpoint collector that records: `python pinpoint_collector.py FILE`.

It answers each gRPC call of the agents, and writes it to FILE, one JSON object a line. No collector of Pinpoint can be
installed from a registry. It prints its three ports, and ends with its standard input. It needs `grpcio`.

Messages are decoded here by their numbers: those of the protocol that agents speak since version 3.1 of the collector.

Source: https://github.com/pinpoint-apm/pinpoint-grpc-idl, `v1/Span.proto`
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from eventually import TIMEOUT, eventually
from programs import not_run

__all__ = ["Collector", "PinpointEvent", "PinpointSpan", "pinpoint_collector", "require_pinpoint"]

_SUCCESS: Final = b"\x08\x01"
# Key of annotations that are a name and a value.
_NAMED: Final = 47
# Service type of the first event of an async span.
_ASYNC: Final = 100
# What names numbers in spans.
_API, _TEXT = "RequestApiMetaData", "RequestStringMetaData"
_NAMES: Final = (_API, _TEXT)
_Names = dict[tuple[str, int], str]
_STREAMS_IN: Final = ("/SendSpan", "/SendAgentStat", "/CommandStreamActiveThreadCount")
_STREAMS: Final = ("/PingSession", "/HandleCommand", "/HandleCommandV2")


class PinpointEvent(msgspec.Struct):
    """Event of a span.

    Attributes:
        name: what ran.
        service_type: number of its service type.
        sequence: its number.
        depth: its level, from 1 on.
        next_span_id: id of the span of the server that was called; 0 for none.
        destination: address that was called.
        end_point: likewise.
        error: `class: text`, if it failed.
        async_id: number to which work beside it refers; 0 for none.
        annotations: texts by key.
    """

    name: str
    service_type: int
    sequence: int
    depth: int
    next_span_id: int = 0
    destination: str = ""
    end_point: str = ""
    error: str = ""
    async_id: int = 0
    annotations: dict[int, str] = {}


class PinpointSpan(msgspec.Struct):
    """Span of a program, with the chunks that belong to it.

    Attributes:
        application: name of the program.
        transaction: id of the transaction, as headers have it.
        span_id: its id.
        parent_id: id of its parent; -1 for none.
        name: what ran.
        rpc: method that was called.
        service_type: number of its service type.
        end_point: address of the server.
        remote: address of the caller.
        acceptor: address that the caller has called.
        parent: name of the program that called.
        is_failed: whether it is marked as failed.
        error: `class: text`, if it failed.
        annotations: texts by key.
        events: events of its own thread, in their order.
        beside: events of async spans, by `async_id` of the event that began them and a number.
    """

    application: str
    transaction: str
    span_id: int
    parent_id: int
    name: str
    rpc: str
    service_type: int
    end_point: str
    remote: str
    acceptor: str
    parent: str
    is_failed: bool
    error: str
    annotations: dict[int, str]
    events: list[PinpointEvent]
    beside: dict[tuple[int, int], list[PinpointEvent]]

    def tree(self) -> list[str]:
        """Return the events as lines, indented by their depth; `~` is before work beside the event above."""
        return list(self._lines(self.events, ""))

    def _lines(self, events: list[PinpointEvent], indent: str) -> Iterator[str]:
        for each in events:
            error = f" ! {each.error}" if each.error else ""
            inner = f"{indent}{'  ' * (each.depth - 1)}"
            yield f"{inner}{each.name} {each.service_type}{error}"
            beside = [group for (link, _), group in self.beside.items() if link and link == each.async_id]
            # In no order: they run at the same time.
            for lines in sorted(list(self._lines(group, f"{inner}  ~ ")) for group in beside):
                yield from lines

    @property
    def trace_id(self) -> str:
        """Id of our trace."""
        return self.annotations.get(_NAMED, "").removeprefix("trace_id=")

    @property
    def is_whole(self) -> bool:
        """Whether async spans and names, which are sent apart, have arrived, too."""
        events = self.all_events()
        begun = {each.async_id for each in events if each.async_id}
        names = [self.name, *(each.name for each in events)]
        errors = [self.error, *(each.error for each in events)]
        is_named = all(names) and not any(each.startswith(": ") for each in errors)
        return is_named and begun == {link for link, _ in self.beside}

    def all_events(self) -> list[PinpointEvent]:
        """Return all events."""
        return self.events + [each for group in self.beside.values() for each in group]

    def calls(self) -> list[PinpointEvent]:
        """Return the events that have called a server, by their names."""
        found = [each for each in self.all_events() if each.service_type == 9100]
        return sorted(found, key=lambda each: (each.name, each.destination))

    def outer_events(self) -> list[tuple[str, int, str]]:
        """Return the name, the service type, and the name of the event around it, of each event. The first events of
        async spans are left out: what they contain is in the event that has begun them.
        """
        starts = {each.async_id: each.name for each in self.all_events() if each.async_id}
        found: list[tuple[str, int, str]] = []
        for (link, _), group in [((0, 0), self.events), *self.beside.items()]:
            path = [starts.get(link, "")]
            for each in group:
                del path[each.depth :]
                if each.service_type == _ASYNC:
                    path.append(path[-1])
                else:
                    found.append((each.name, each.service_type, path[-1]))
                    path.append(each.name)
        return found


class _Message:
    """Fields of a message of Protocol Buffers."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[Any]] = {}
        at = 0
        while at < len(data):
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            value: Any
            if kind == 0:
                value, at = _varint(data, at)
            else:
                size, at = _varint(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
                value, at = data[at : at + size], at + size
                if kind != 2:
                    value = int.from_bytes(value, "little")
            self._fields.setdefault(number, []).append(value)

    def messages(self, number: int) -> list[_Message]:
        return [_Message(each) for each in self._fields.get(number, ())]

    def message(self, number: int) -> _Message:
        return next(iter(self.messages(number)), _Message(b""))

    def text(self, number: int) -> str:
        data: bytes = self._fields.get(number, [b""])[0]
        return data.decode()

    def number(self, number: int) -> int:
        found: int = self._fields.get(number, [0])[0]
        return found - (1 << 64) if found >> 63 else found

    def zigzag(self, number: int) -> int:
        found = self.number(number)
        return (found >> 1) ^ -(found & 1)

    def has(self, number: int) -> bool:
        return number in self._fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


class Collector:
    """The running collector.

    Attributes:
        ports: its ports on 127.0.0.1: for agents, for statistics, and for spans.
    """

    def __init__(self, ports: tuple[int, int, int], file: Path) -> None:
        self.ports = ports
        self._file = file

    def spans(self) -> list[PinpointSpan]:
        """Return what has arrived so far."""
        names: dict[str, _Names] = {}
        made: dict[tuple[str, int], PinpointSpan] = {}
        batches: list[tuple[str, str, _Message]] = []
        for line in self._file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines():
            received = json.loads(line)
            message, metadata = _Message(bytes.fromhex(received["message"])), received["metadata"]
            method, agent = received["method"].rpartition("/")[2], metadata.get("agentid", "")
            if method in _NAMES:
                names.setdefault(agent, {})[method, message.number(1)] = message.text(2)
            elif method == "SendSpanBatch":
                batches += [(agent, metadata["applicationname"], each) for each in message.messages(1)]
        for agent, application, message in batches:
            for span in message.messages(1):
                key = _transaction(span.message(2)), span.number(3)
                made[key] = _span(span, application, names.get(agent, {}))
        for agent, _, message in batches:
            for chunk in message.messages(2):
                found = made.get((_transaction(chunk.message(2)), chunk.number(3)))
                if found is not None:
                    events = _events(chunk.messages(5), names.get(agent, {}))
                    if chunk.has(8):
                        link = chunk.message(8)
                        found.beside.setdefault((link.number(1), link.number(2)), []).extend(events)
                    else:
                        found.events += events
        for each in made.values():
            for group in (each.events, *each.beside.values()):
                group.sort(key=lambda event: event.sequence)
        return list(made.values())

    def wait(self, number: int, trace_id: str) -> list[PinpointSpan]:
        """Wait until there are this many whole spans of a trace of ours, and return them, callers first."""

        def found() -> list[PinpointSpan] | None:
            spans = [each for each in self.spans() if each.trace_id == trace_id]
            return spans if len(spans) >= number and all(each.is_whole for each in spans) else None

        spans = eventually(found, f"{number} spans of trace {trace_id} in Pinpoint")
        callers = {each.span_id: each.parent_id for each in spans}

        def distance(span_id: int) -> int:
            return 1 + distance(callers[span_id]) if span_id in callers else 0

        return sorted(spans, key=lambda each: (distance(each.span_id), each.rpc))


def _transaction(message: _Message) -> str:
    return f"{message.text(1)}^{message.number(2)}^{message.number(3)}"


def _span(span: _Message, application: str, names: _Names) -> PinpointSpan:
    accepted = span.message(9)
    return PinpointSpan(
        application=application,
        transaction=_transaction(span.message(2)),
        span_id=span.number(3),
        parent_id=span.number(4),
        name=names.get((_API, span.number(7)), ""),
        rpc=accepted.text(1),
        service_type=span.number(8),
        end_point=accepted.text(2),
        remote=accepted.text(3),
        acceptor=accepted.message(4).text(3),
        parent=accepted.message(4).text(1),
        is_failed=span.number(12) != 0,
        error=_error(span.message(14), names),
        annotations=_annotations(span.messages(10)),
        events=_events(span.messages(13), names),
        beside={},
    )


def _events(messages: list[_Message], names: _Names) -> list[PinpointEvent]:
    events = [_event(each, names) for each in messages]
    for before, each in pairwise(events):
        # The same depth as that of the one before is not sent.
        each.depth = each.depth or before.depth
    return events


def _event(event: _Message, names: _Names) -> PinpointEvent:
    called = event.message(12).message(1)
    return PinpointEvent(
        name=names.get((_API, event.zigzag(10)), ""),
        service_type=event.zigzag(5),
        sequence=event.number(1),
        depth=event.number(2),
        next_span_id=called.number(1),
        destination=called.text(3),
        end_point=called.text(2),
        error=_error(event.message(11), names),
        async_id=event.number(13),
        annotations=_annotations(event.messages(6)),
    )


def _error(message: _Message, names: _Names) -> str:
    if not message.has(1):
        return ""
    return f"{names.get((_TEXT, message.number(1)), '')}: {message.message(2).text(1)}"


def _annotations(messages: list[_Message]) -> dict[int, str]:
    """Return annotations that are pairs of texts, as `first=second`."""
    pairs = {each.number(1): each.message(2).message(10) for each in messages}
    return {key: f"{pair.message(1).text(1)}={pair.message(2).text(1)}" for key, pair in pairs.items()}


def require_pinpoint() -> None:
    """Skip the test, or fail it with IDLC_TEST_EVERYTHING, if the agent or gRPC is not installed."""
    for module in ("pinpoint", "grpc"):
        if importlib.util.find_spec(module) is None:
            not_run(f"NOT RUN: {module} not found; pip install --group real")


@contextmanager
def pinpoint_collector(folder: Path) -> Iterator[Collector]:
    """Run a collector that writes to a file in a folder."""
    require_pinpoint()
    file = folder / "pinpoint.jsonl"
    command = [sys.executable, __file__, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            agent, stat, span = json.loads(process.stdout.readline())
            yield Collector((agent, stat, span), file)
            process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()


def main() -> None:
    """Record until standard input ends."""
    import grpc

    lock = threading.Lock()
    with open(sys.argv[1], "w", encoding="utf-8", buffering=1) as file:

        class Recorder(grpc.GenericRpcHandler):
            def service(self, details: Any) -> Any:
                method: str = details.method
                metadata = {each.key: each.value for each in details.invocation_metadata if isinstance(each.value, str)}

                def note(message: bytes) -> None:
                    line = json.dumps({"method": method, "metadata": metadata, "message": message.hex()})
                    with lock:
                        file.write(f"{line}\n")

                def unary(message: bytes, _context: object) -> bytes:
                    note(message)
                    return _SUCCESS

                def stream(messages: Iterator[bytes], _context: object) -> bytes:
                    for each in messages:
                        note(each)
                    return _SUCCESS

                def session(messages: Iterator[bytes], _context: object) -> Iterator[bytes]:
                    for each in messages:
                        note(each)
                        yield b""

                if method.endswith(_STREAMS):
                    return grpc.stream_stream_rpc_method_handler(session)
                if method.endswith(_STREAMS_IN):
                    return grpc.stream_unary_rpc_method_handler(stream)
                return grpc.unary_unary_rpc_method_handler(unary)

        from concurrent.futures import ThreadPoolExecutor

        servers = [grpc.server(ThreadPoolExecutor(64), handlers=(Recorder(),)) for _ in range(3)]
        print(json.dumps([each.add_insecure_port("127.0.0.1:0") for each in servers]), flush=True)
        for each in servers:
            each.start()
        sys.stdin.read()
        for each in servers:
            each.stop(None).wait()


if __name__ == "__main__":
    main()
