"""The admin port of several processes has the spans and exemplars of all of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from admin_requests import request
from eventually import eventually
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.observe.tracing.span_pages import SpanRecord, decode_page
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import ProcessServer

# Real processes.
pytestmark = pytest.mark.slow


class Told(Users):
    """`get` has a span with the process, and fails for id 0; `wait` forks a child that has a span, too."""

    def get(self, id: int) -> User:
        with observe.span("work", {"pid": os.getpid()}):
            if id == 0:
                raise ValueError("zero")
            return User(id=id, name="x" * 100)

    def wait(self, id: int) -> int:
        child = os.fork()
        if not child:
            with observe.span("in a child"):
                pass
            TRACING.close_at_exit()
            os._exit(0)
        os.waitpid(child, 0)
        return os.getpid()


@pytest.fixture(autouse=True)
def tracing() -> Iterator[None]:
    with observe.trace("users", sampler="always"):
        yield
    TRACING.use(None)


def spans(server: ProcessServer, query: str = "limit=1000") -> list[SpanRecord]:
    return list(decode_page(request(server, f"/rpcz?format=json&{query}").text.encode()).spans)


def pids(server: ProcessServer) -> set[int]:
    """Return the processes whose calls the page has."""
    found = set()
    for entry in spans(server):
        page = decode_page(request(server, f"/rpcz/{entry.trace_id}?format=json").text.encode())
        found |= {int(each.attributes["pid"]) for each in page.spans if each.name == "work"}
    return found


def call(server: ProcessServer, id: int = 1) -> None:
    # A new client each time, so that the kernel distributes connections among all processes.
    with UserServiceClient.connect(server.address, framing="header") as client:
        client.get(id)


def test_spans_of_all_processes_are_there() -> None:
    with ProcessServer(user_service(Told()), processes=2, admin="127.0.0.1:0").start() as server:
        running = set(server.pids)

        def is_complete() -> bool:
            call(server)
            return pids(server) == running

        eventually(is_complete)
        with pytest.raises(Exception, match="ValueError"):
            call(server, 0)
        eventually(lambda: [each.status for each in spans(server, "order=failed")] == ["error"])
        metrics = request(server, "/metrics", accept="application/openmetrics-text").text
        assert 'rpc_method="UserService.get"' in metrics
        [line, *_] = [each for each in metrics.splitlines() if " # {" in each and 'status_code="ok"' in each]
        trace_id = line.partition('trace_id="')[2][:32]
        assert trace_id in {each.trace_id for each in spans(server)}


def test_a_process_that_is_replaced_sends_its_spans_too() -> None:
    with ProcessServer(user_service(Told()), processes=1, admin="127.0.0.1:0").start() as server:
        [first] = server.pids
        call(server)
        eventually(lambda: pids(server) == {first})
        os.kill(first, signal.SIGKILL)
        eventually(lambda: server.pids not in ([], [first]))
        [second] = server.pids
        call(server)
        eventually(lambda: pids(server) == {first, second})


def test_spans_of_forked_children_do_not_mix_with_those_of_their_parent() -> None:
    with ProcessServer(user_service(Told()), processes=1, admin="127.0.0.1:0").start() as server:
        with UserServiceClient.connect(server.address, framing="header", timeout=60.0) as client:
            for _ in range(20):
                client.wait(1)
                client.get(1)
        eventually(lambda: len(spans(server, "method=UserService&limit=1000")) >= 40)


def pipes() -> int:
    """Return the number of ends of pipes that this process has open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_pipes_are_opened_for_an_admin_port_only_and_closed() -> None:
    before = pipes()
    with ProcessServer(user_service(Told()), processes=2).start() as server:
        call(server)
        without = pipes()
    with ProcessServer(user_service(Told()), processes=2, admin="127.0.0.1:0").start() as server:
        call(server)
        assert pipes() == without + 2
    assert pipes() == before


def test_large_batches_arrive_whole() -> None:
    class Large(Users):
        def get(self, id: int) -> User:
            for number in range(1000):
                with observe.span("part", {"text": "x" * 1000, "number": number}):
                    pass
            return User(id=id, name="")

    with ProcessServer(user_service(Large()), processes=1, admin="127.0.0.1:0").start() as server:
        with UserServiceClient.connect(server.address, framing="header", timeout=60.0) as client:
            client.get(1)

        def numbers() -> list[int]:
            entries = [each for each in spans(server, "method=get") if each.kind == "server"]
            if not entries:
                return []
            [entry] = entries
            page = decode_page(request(server, f"/rpcz/{entry.trace_id}?format=json").text.encode())
            return sorted(int(each.attributes["number"]) for each in page.spans if each.name == "part")

        eventually(lambda: numbers() == list(range(1000)))
