"""A chain of four processes is one trace: blocking, asyncio, worker threads, HTTP; with a retry, a hedge and a fork."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import UserServiceClient

from idlrt import observe
from idlrt.observe.tracing.exporters import JsonLinesExporter

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[3] / "harness" / "traced_process.py"
GET = "UserService.get"


class Chain:
    """The processes, and their spans."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.file = folder / "spans.jsonl"
        self._stack = stack

    def start(self, kind: str, *targets: str) -> str:
        command = [sys.executable, str(PROGRAM), kind, str(self.file), *targets]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._stack.callback(end, process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def spans(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().splitlines()]


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=60)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with ExitStack() as stack:
        yield Chain(tmp_path, stack)


def test_four_processes_are_one_trace(chain: Chain) -> None:
    last = chain.start("http").replace("tcp://", "http://")
    workers = chain.start("workers", last)
    on_asyncio = chain.start("asyncio", workers, chain.start("workers", last))
    first = chain.start("blocking", on_asyncio, f"127.0.0.1:{free_port()}")
    exporter = JsonLinesExporter(chain.file, "test")
    with (
        observe.trace("test", exporters=[exporter], sampler=1.0),
        UserServiceClient.connect(first, framing="header") as c,
    ):
        with observe.span("shop"):
            found = c.get(7)
            trace_id = observe.trace_id()
        # Until the first call of the blocking server has tried the instance that cannot be reached.
        while not any(each["attributes"].get("error.type") == "ConnectFailed" for each in chain.spans()):
            with observe.span("again"):
                c.get(7)
            eventually(lambda: any(each["name"] == "again" for each in chain.spans()))
    assert found.name == trace_id

    def spans() -> list[dict[str, Any]]:
        return [each for each in chain.spans() if each["trace_id"] == trace_id]

    wanted = {
        ("test", "internal", "shop"): 1,
        ("test", "client", GET): 1,
        ("blocking", "server", GET): 1,
        ("blocking", "internal", "look up"): 1,
        ("asyncio", "server", GET): 1,
        ("asyncio", "internal", "in the background"): 1,
        ("workers", "server", GET): 2,
        ("workers", "internal", "forked"): 1,
        ("http", "server", GET): 2,
        ("workers", "server", "UserService.ping"): 1,
    }

    def missing() -> dict[tuple[str, str, str], int]:
        counted = Counter((each["service"], each["kind"], each["name"]) for each in spans())
        return {key: counted[key] for key, number in wanted.items() if counted[key] != number}

    eventually(lambda: not missing(), "all spans are there")
    known = {each["span_id"]: each for each in spans()}
    assert len(known) == len(spans())
    roots = [each for each in known.values() if each["parent_id"] not in known]
    assert [each["name"] for each in roots] == ["shop"]

    def path(span: dict[str, Any]) -> list[str]:
        found = [f"{span['service']} {span['kind']}"]
        return [*path(known[span["parent_id"]]), *found] if span["parent_id"] in known else found

    # A client span over all attempts, and one for each; a client of one address has no attempts.
    expected = [
        *("test internal", "test client", "blocking server", "blocking internal", "blocking client", "blocking client"),
        *("asyncio server", "asyncio client", "asyncio client", "workers server", "workers client", "http server"),
    ]
    for each in known.values():
        if (each["service"], each["kind"]) == ("http", "server"):
            assert path(each) == expected
    kinds = [each["attributes"].get("rpc.attempt.kind") for each in known.values() if each["service"] == "asyncio"]
    assert sorted(filter(None, kinds)) == ["first", "first", "hedge"]
    [forked] = [each for each in known.values() if each["name"] == "forked"]
    assert known[forked["parent_id"]]["kind"] == "server"
    # Children are within their parents, but for the hedge that lost, and what runs in the background.
    slack = 20_000_000
    for each in known.values():
        parent = known.get(each["parent_id"])
        if parent is not None:
            assert each["start_ns"] >= parent["start_ns"] - slack
