"""`idlrt trace`: recorded calls and traces of several processes, from their admin ports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result
from command_line import run_idlrt
from eventually import TIMEOUT
from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service

from idlrt import Server

# Real servers and processes.
pytestmark = pytest.mark.slow

WAIT = ("--timeout", f"{TIMEOUT:g}")
# A server that calls another one, if it is given its address.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from hand_written import Users, UserServiceClient, user_service
from idlrt import Server, observe
from idlrt.observe.tracing.sampling import Always

class Chain(Users):
    def get(self, id):
        observe.put("user", str(id))
        return client.get(id) if client is not None else super().get(id)

service, admin, target = sys.argv[2:5]
client = UserServiceClient.connect(target, framing="header") if target else None
with observe.trace(service, sampler=Always()), Server(user_service(Chain()), admin=admin).start() as server:
    print(server.address, flush=True)
    sys.stdin.read()
"""


class Traced(NamedTuple):
    """Two processes, of which the first calls the second."""

    address: str
    front: str
    back: str

    def call(self, *ids: int) -> None:
        with UserServiceClient.connect(self.address, framing="header") as client:
            for id in ids:
                if id:
                    client.get(id)
                else:
                    with pytest.raises(Exception, match="internal_error"):
                        client.get(id)


def started(service: str, admin: str, target: str = "") -> tuple[subprocess.Popen[str], str]:
    harness = Path(__file__).parents[2] / "harness"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(harness), service, admin, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address, "the server ended"
    return process, address


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    front, back = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    last, address = started("stock", back)
    first, first_address = started("shop", front, address)
    made = Traced(first_address, front, back)
    made.call(1, 2, 0)
    yield made
    for each in (first, last):
        each.communicate("", timeout=TIMEOUT)


def idlrt(*arguments: str, code: int = 0) -> Result:
    return run_idlrt(["trace", *arguments, *WAIT], code=code)


def calls(*arguments: str) -> list[Any]:
    return [json.loads(line) for line in idlrt("tail", *arguments, "--once", "--json").stdout.splitlines()]


def test_recorded_calls_of_all_instances_are_printed(traced: Traced) -> None:
    title, *lines = idlrt("tail", traced.front, traced.back, "--once").stdout.splitlines()
    assert title.split() == ["TIME", "DURATION", "STATUS", "TRACE", "KIND", "SERVICE:", "METHOD"]
    assert len(lines) == 6
    assert [sum(f"{name}: UserService.get" in line for line in lines) for name in ("shop", "stock")] == [3, 3]
    assert sum("internal" in line for line in lines) == 2
    assert all("user:" in line for line in lines)


def test_calls_are_chosen_by_method_failure_duration_status_and_tag(traced: Traced) -> None:
    urls = traced.front, traced.back
    assert len(calls(*urls, "--failed")) == 2
    assert calls(*urls, "--method", "ping") == []
    assert calls(*urls, "--slower", "30") == []
    assert len(calls(traced.front, "--tag", "user:2")) == 1
    assert len(calls(traced.front, "--status", "ok")) == 2


def test_new_calls_are_printed_once(traced: Traced) -> None:
    command = [sys.executable, "-m", "idlrt", "trace", "tail", traced.front, "--tag", "user:77", "--json"]
    with subprocess.Popen([*command, "--interval", "0.05", *WAIT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        traced.call(77)
        assert json.loads(process.stdout.readline())["attributes"]["tag.user"] == "77"
        traced.call(78, 77)
        assert json.loads(process.stdout.readline())["attributes"]["tag.user"] == "77"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, rest) == (0, "")


def test_a_trace_is_put_together_from_all_processes(traced: Traced) -> None:
    [call] = calls(traced.front, "--tag", "user:1")
    title, heading, *lines = idlrt("show", traced.front, traced.back, call["trace_id"]).stdout.splitlines()
    assert title.startswith(f"trace {call['trace_id']} at ")
    assert title.endswith("3 spans of 2 services, 0 failed")
    assert heading.split() == ["START", "DURATION", "SELF", "SPAN"]
    places = [(line.index(line.strip().split("=")[-1].strip()), line.split("  ")[-1].strip()) for line in lines]
    assert [text for _, text in places] == [
        "shop: UserService.get server ok",
        "shop: UserService.get client ok",
        "stock: UserService.get server ok",
    ]
    assert places[0][0] < places[1][0] < places[2][0], "deeper spans are indented"


def test_a_part_of_a_trace_is_shown_too(traced: Traced) -> None:
    [call] = calls(traced.front, "--tag", "user:1")
    done = idlrt("show", traced.back, call["trace_id"], "--attributes")
    assert "1 span of 1 service" in done.stdout
    assert "stock: UserService.get server ok (parent unknown)" in done.stdout
    assert "tag.user=1" in done.stdout
    spans = json.loads(idlrt("show", traced.front, traced.back, call["trace_id"], "--json").stdout)
    assert [each["service"] for each in spans] == ["shop", "shop", "stock"]


def test_an_instance_that_cannot_be_read_is_named(traced: Traced) -> None:
    [call] = calls(traced.front, "--tag", "user:1")
    nowhere = f"127.0.0.1:{free_port()}"
    done = idlrt("show", traced.front, nowhere, call["trace_id"])
    assert "2 spans of 1 service" in done.stdout
    assert done.stderr == f"idlrt: {nowhere}: connection refused\n"
    for arguments in (("show", nowhere, call["trace_id"]), ("tail", nowhere), ("tail", nowhere, "--once")):
        done = idlrt(*arguments, code=2)
        assert done.stderr.splitlines() == [
            f"idlrt: {nowhere}: connection refused",
            "idlrt: no traces could be read (1 instance)",
        ]


def test_a_server_that_does_not_trace_says_what_to_do() -> None:
    with Server(user_service(Users()), admin=0).start() as server:
        done = idlrt("tail", server.admin_address, "--once", code=2)
    assert "status 404: tracing is off; the server must call idlrt.observe.trace()" in done.stderr


def test_an_unknown_trace_is_exit_code_1(traced: Traced) -> None:
    done = idlrt("show", traced.front, "ab" * 16, code=1)
    assert done.stderr == f"idlrt: no spans of the trace {'ab' * 16} are known\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "9901", "4bf92f"), "invalid TRACE_ID '4bf92f': expected 32 lower-case hex digits"),
        (("tail", "9901", "--tag", "user"), "invalid --tag 'user': expected NAME:VALUE"),
        (("tail", "ftp://x"), "invalid source 'ftp://x'"),
        (("tail", "9901", "--token", "\n"), "--token and IDLRT_ADMIN_TOKEN must consist of printable ASCII characters"),
    ],
)
def test_invalid_arguments_are_errors(arguments: tuple[str, ...], message: str) -> None:
    assert message.partition(" 'ftp")[0].split(":")[0] in idlrt(*arguments, code=2).stderr
