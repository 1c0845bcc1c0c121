"""Pinpoint's own agent sends our calls as it sends those of others: chains of processes are one transaction.

No collector of Pinpoint can be installed from a registry, so a recording one takes its place.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eventually import TIMEOUT, eventually
from free_ports import free_port
from pinpoint_collector import Collector, PinpointSpan, pinpoint_collector

pytestmark = pytest.mark.long

PROGRAM = str(Path(__file__).with_name("pinpoint_program.py"))
SERVER, HANDLER, CLIENT, CALL, PROGRAM_TYPE, PART = 1100, 1101, 9100, 9101, 1700, 1701


class Chain:
    """The chain `web`, or `plain`, to `shop`, to `users`."""

    def __init__(self, collector: Collector, shop: str, dead: str) -> None:
        self.collector = collector
        self.dead = dead
        self._shop = shop

    @contextmanager
    def caller(self, role: str) -> Iterator[Callable[[int], tuple[str, str]]]:
        """Run a caller; yields a function that lets it call, and returns the ids of the trace and the transaction."""
        with running(role, self.collector, self._shop) as process:

            def call(id: int) -> tuple[str, str]:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(f"{id}\n")
                process.stdin.flush()
                trace_id, transaction = json.loads(process.stdout.readline())
                return trace_id, transaction

            yield call


@contextmanager
def running(role: str, collector: Collector, target: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a program, which has to end by itself without an error."""
    command = [sys.executable, PROGRAM, role, json.dumps(collector.ports), target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
            process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0
        finally:
            process.kill()


@contextmanager
def serving(role: str, collector: Collector, target: str = "") -> Iterator[str]:
    with running(role, collector, target) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    dead = f"127.0.0.1:{free_port()}"
    with (
        pinpoint_collector(tmp_path_factory.mktemp("pinpoint")) as collector,
        serving("users", collector) as users,
        serving("shop", collector, f"{users},{dead}") as shop,
    ):
        yield Chain(collector, shop, dead)


def by_application(spans: list[PinpointSpan]) -> dict[str, list[PinpointSpan]]:
    return {name: [each for each in spans if each.application == name] for name in {each.application for each in spans}}


def complete(chain: Chain, call: Callable[[int], tuple[str, str]], id: int, errors: int = 0) -> list[PinpointSpan]:
    """Call until all agents are connected, and attempts have failed; return the spans of such a call.

    Args:
        chain: the chain.
        call: makes a call.
        id: its argument.
        errors: number of events with an error that there have to be at least.
    """
    made: list[tuple[str, str]] = []

    def found() -> list[PinpointSpan] | None:
        all_spans = chain.collector.spans()
        for trace_id, transaction in made:
            spans = [each for each in all_spans if each.trace_id == trace_id or each.transaction == transaction]
            failed = [event for span in spans for event in span.all_events() if event.error]
            if len(spans) == 5 and len(failed) >= errors and all(each.is_whole for each in spans):
                return spans
        made.append(call(id))
        return None

    return eventually(found, "a whole transaction")


def test_a_chain_of_processes_is_one_transaction(chain: Chain) -> None:
    with chain.caller("web") as call:
        spans = complete(chain, call, 1, errors=1)
    assert len({each.transaction for each in spans}) == 1
    # Our own headers go on, too.
    assert len({each.trace_id for each in spans}) == 1
    assert Counter((each.application, each.rpc, each.service_type, each.parent) for each in spans) == {
        ("web", "buy", PROGRAM_TYPE, ""): 1,
        ("shop", "UserService.get", SERVER, "web"): 1,
        ("users", "UserService.get", SERVER, "shop"): 1,
        ("users", "UserService.join", SERVER, "shop"): 1,
        ("users", "UserService.ping", SERVER, "shop"): 1,
    }
    found = by_application(spans)
    [web], [shop], users = found["web"], found["shop"], found["users"]
    assert web.parent_id == -1
    assert web.outer_events() == [("buy", PART, ""), ("UserService.get", CLIENT, "buy")]
    assert (shop.parent_id, shop.span_id) == (web.span_id, web.calls()[0].next_span_id)
    assert shop.acceptor == web.calls()[0].destination

    # The first attempts of some calls have failed, and the second ones have not.
    failed = [each for each in shop.calls() if each.error]
    assert {(each.destination, each.next_span_id) for each in failed} == {(chain.dead, 0)}
    assert all(each.error.startswith("ConnectFailed: ") for each in failed)
    assert Counter(shop.outer_events()) == Counter(
        [
            ("UserService.get", HANDLER, ""),
            ("prepare", PART, "UserService.get"),
            ("UserService.get", CALL, "UserService.get"),
            ("UserService.ping", CALL, "prepare"),
            ("UserService.join", CALL, "prepare"),
            ("UserService.get", CLIENT, "UserService.get"),
            ("UserService.ping", CLIENT, "UserService.ping"),
            ("UserService.join", CLIENT, "UserService.join"),
            *((each.name, CLIENT, each.name) for each in failed),
        ]
    )
    sent = {each.next_span_id: each.name for each in shop.calls() if each.next_span_id}
    assert {each.span_id: each.rpc for each in users} == sent
    assert {each.parent_id for each in users} == {shop.span_id}
    assert not any(each.is_failed for each in spans)


def test_an_error_fails_all_programs_that_it_goes_through(chain: Chain) -> None:
    with chain.caller("web") as call:
        spans = complete(chain, call, 0, errors=3)
    found = by_application(spans)
    assert found["web"][0].is_failed
    assert found["shop"][0].is_failed
    failed = [each for each in found["users"] if each.is_failed]
    assert [(each.rpc, each.error) for each in failed] == [
        ("UserService.get", "ValueError: a secret that must not leave")
    ]
    [event] = found["web"][0].calls()
    assert event.error.startswith("ApplicationError: ")


def test_a_caller_that_has_only_the_agent_is_continued_over_http(chain: Chain) -> None:
    with chain.caller("plain") as call:
        spans = complete(chain, call, 1)
    found = by_application(spans)
    [plain], [shop] = found["plain"], found["shop"]
    assert len({each.transaction for each in spans}) == 1
    assert (shop.parent, shop.parent_id, shop.service_type) == ("plain", plain.span_id, SERVER)
    assert shop.span_id == plain.calls()[0].next_span_id
    assert shop.acceptor == plain.calls()[0].destination
    assert {(each.parent, each.parent_id) for each in found["users"]} == {("shop", shop.span_id)}
    # It has no trace of ours, which begins there, and goes on.
    assert plain.trace_id == ""
    assert len({each.trace_id for each in spans if each is not plain}) == 1
    assert not any(each.is_failed for each in spans)
