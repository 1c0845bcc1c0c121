"""The admin port of a supervisor: what it says of its processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from admin_requests import failing, passing, request, status
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import ProcessServer
from idlrt.server.process_slot import ProcessSlot
from idlrt.server.process_stats import ProcessStats

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")


@pytest.fixture
def server() -> Iterator[ProcessServer]:
    with ProcessServer(user_service(Users()), processes=2, admin=0, health={"pid": is_supervisor}, grace_s=0.1) as made:
        made.start()
        eventually(lambda: states(made) == ["serving", "serving"], "both processes serve")
        yield made


SUPERVISOR = os.getpid()


def states(server: ProcessServer) -> list[str]:
    return [each["state"] for each in status(server)["processes"]]


def is_supervisor() -> bool:
    return os.getpid() == SUPERVISOR


def test_the_pages_are_of_the_supervisor(server: ProcessServer) -> None:
    assert request(server, "/livez?verbose").lines == ["[+]ping ok", "[+]supervisor ok", "livez check passed"]
    assert request(server, "/readyz?verbose").lines == [
        "[+]ping ok",
        "[+]supervisor ok",
        "[+]serving ok",
        "[+]processes ok",
        "[+]pid ok",
        "readyz check passed",
    ]
    found = status(server)
    assert (found["kind"], found["pid"]) == ("ProcessServer", SUPERVISOR)
    assert [each["pid"] for each in found["processes"]] == server.pids
    assert found["restarts"] == 0


def test_numbers_are_summed_over_the_processes(server: ProcessServer) -> None:
    with UserServiceClient.connect(server.address) as first, UserServiceClient.connect(server.address) as second:
        first.ping()
        second.ping()
        found = eventually(lambda: (got := status(server))["connections"] == 2 and got, "both are counted")
        assert sum(each["connections"] for each in found["processes"]) == 2
    eventually(lambda: status(server)["connections"] == 0, "both are closed")


def test_restarts_are_counted(server: ProcessServer) -> None:
    killed = server.pids[0]
    os.kill(killed, signal.SIGKILL)
    found = eventually(lambda: (got := status(server))["restarts"] == 1 and got, "it is restarted")
    assert [each["restarts"] for each in found["processes"]] == [1, 0]
    eventually(lambda: states(server) == ["serving", "serving"], "both serve")
    assert killed not in server.pids
    passing(server, "/livez")


def test_a_process_that_hangs_is_shown_as_blocked(server: ProcessServer) -> None:
    os.kill(server.pids[0], signal.SIGSTOP)
    try:
        eventually(lambda: states(server) == ["blocked", "serving"], "it shows")
        passing(server, "/readyz")  # the other one serves
        os.kill(server.pids[1], signal.SIGSTOP)
        found = failing(server, "/readyz")
        assert "[-]processes failed: none of 2 processes serves" in found.lines
        passing(server, "/livez")  # the supervisor runs
    finally:
        for pid in server.pids:
            os.kill(pid, signal.SIGCONT)


def test_the_processes_do_not_hold_the_port(server: ProcessServer) -> None:
    url = server.admin_address
    os.kill(server.pids[0], signal.SIGKILL)
    eventually(lambda: status(server)["restarts"] == 1, "one process was forked beside the threads of the port")
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        request(url, "/livez")
    with ProcessServer(user_service(Users()), processes=1, admin=url.removeprefix("http://")) as other:
        other.start()
        passing(other, "/livez")


def test_a_supervisor_that_never_starts_releases_the_port() -> None:
    with ProcessServer(user_service(Users()), processes=1, admin=0) as server:
        url = server.admin_address
    with ProcessServer(user_service(Users()), processes=1, admin=url.removeprefix("http://")) as other:
        assert other.admin_address == url


def test_records_are_shared_with_forked_processes() -> None:
    class Reporting:
        connections, in_flight, unsent_bytes = 3, 2, 1 << 40

    slots: list[ProcessSlot] = []
    stats = ProcessStats(slots, 2)
    child = os.fork()
    if not child:
        stats.report(1, Reporting())
        os._exit(0)
    os.waitpid(child, 0)
    found = stats.read(1)
    assert (found.connections, found.in_flight, found.unsent_bytes) == (3, 2, 1 << 40)
    assert found.reported_at > 0
    assert stats.read(0).reported_at == 0
    stats.clear(1)
    assert stats.read(1).reported_at == 0
