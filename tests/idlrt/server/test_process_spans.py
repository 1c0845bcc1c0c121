"""The admin port of several processes has the spans and exemplars of all of them."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import pytest
from admin_requests import request
from eventually import eventually
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.config.store import change
from idlrt.embedded import RegistryServer
from idlrt.observe.tracing.span_pages import SpanRecord, decode_page
from idlrt.observe.tracing.switch import TRACING
from idlrt.registry import Registry
from idlrt.server import ProcessServer
from idlrt.server.worker_spans import WorkerSpans

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
def tracing() -> Iterator[observe.ActiveTracing]:
    with observe.trace("users", sampler="always") as active:
        yield active
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


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_process_runs_without_spans_if_no_pipe_can_be_opened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "idlrt.server")
    made = WorkerSpans(is_on=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
    try:
        # What is free below the limit is used up first.
        readers = [made.open() for _ in range(200)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert readers[-1] == -1
    assert "cannot show the spans of a process: [Errno 24]" in caplog.text
    made.close()


def test_more_processes_than_select_can_wait_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2100:
        pytest.skip("NOT RUN: the limit of open files is below 2,100")
    made = WorkerSpans(is_on=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2100), hard))
    kept = []
    try:
        kept = [os.dup(0) for _ in range(1100)]
        reader = made.open()
        assert reader > 1024
        made.started(reader, is_forked=True)
        made.wait(0.01)
        made.close()
    finally:
        for each in kept:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def call(server: ProcessServer, id: int = 1, framing: Literal["header", "framed"] = "header") -> None:
    # A new client each time, so that the kernel distributes connections among all processes.
    with UserServiceClient.connect(server.address, framing=framing) as client:
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


def test_settings_of_the_registry_apply_in_all_processes(tracing: observe.ActiveTracing) -> None:
    """Requests without headers, so that the processes decide and not the client, which follows the settings, too."""
    tracing.close()
    with (
        RegistryServer() as at,
        Registry.connect(at.url, cache=False) as registry,
        observe.trace("users", sampler="never", registry=registry),
        ProcessServer(user_service(Told()), processes=2, admin="127.0.0.1:0").start() as server,
    ):
        call(server, framing="framed")
        running = set(server.pids)
        change(registry, "users", {"sampling.rules": json.dumps([{"method": "UserService.get", "force": True}])})

        def is_followed() -> bool:
            call(server, framing="framed")
            return pids(server) == running

        eventually(is_followed)
        change(registry, "users", {"sampling.rules": None})

        def has_ended() -> bool:
            before = len(spans(server))
            for _ in range(20):
                call(server, framing="framed")
            return len(spans(server)) == before

        eventually(has_ended)
