"""`idlrt monitor top` in a real terminal: keys, sizes, instances that come and go, and a terminal that is restored."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import TIMEOUT
from hand_written import UserServiceClient
from server_process import ServerProcess, server_process
from tmux_terminal import Terminal, terminal

pytestmark = pytest.mark.slow

TOP = [sys.executable, "-m", "idlrt", "monitor", "top", "--interval", "0.2", "--timeout", f"{TIMEOUT:g}"]


@pytest.fixture
def servers() -> Iterator[list[ServerProcess]]:
    with server_process() as first, server_process() as second:
        first.call(60, failing=20)
        second.call(40)
        with UserServiceClient.connect(second.address) as client:
            client.ping()
        yield [first, second]


@pytest.fixture
def screen(servers: list[ServerProcess], tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path, [*TOP, *(each.admin for each in servers)]) as found:
        found.until("UserService.get")
        yield found


def is_row(name: str, *numbers: str) -> str:
    return rf"(?m)^[* ] {re.escape(name)} +{' +'.join(map(re.escape, numbers))}\b"


def has(screen: Terminal, pattern: str) -> str:
    return screen.until(lambda text: re.search(pattern, text) is not None)


def is_restored(screen: Terminal) -> bool:
    screen.until("exit code 0")
    assert not screen.is_alternate
    assert screen.is_cursor_visible
    # What `stty` prints: characters are echoed, and lines edited, again.
    return bool(has(screen, r"[^-]icanon\b[^@]*[^-]echo\b"))


def test_a_session(screen: Terminal, servers: list[ServerProcess]) -> None:
    text = has(screen, is_row("UserService.get", "120", "0"))
    assert screen.is_alternate
    assert not screen.is_cursor_visible
    lines = text.splitlines()
    assert re.fullmatch(r"idlrt monitor top  \d\d:\d\d:\d\d UTC  2 of 2 up  every 0.2 s *", lines[0])
    assert lines[3].split() == ["METHOD", "PV", "QPS\u25bc", "ERR%", "P50", "P90", "P99", "MAX"]
    assert len(lines) == 24
    assert max(map(len, lines)) <= 80
    servers[0].call(5)
    has(screen, is_row("UserService.get", "125", "0"))
    screen.press("a")
    assert "since the start" in has(screen, r"UserService\.get +125 .* 16 ")
    # Down to the instances of the method, and to the callers of one.
    screen.press("a", "Home", "Enter")
    first, second = (each.address.removeprefix("tcp://") for each in servers)
    assert "by instance  of  method UserService.get" in has(screen, is_row(first, "85"))
    has(screen, is_row(second, "40"))
    screen.press("Down", "Enter")
    assert f"by caller  of  method UserService.get  instance {second}" in has(screen, is_row("(unknown)", "40"))
    screen.press("BSpace", "BSpace")
    has(screen, is_row("UserService.ping", "1"))
    screen.press("/", "p", "i", "n")
    screen.until("filter: pin_")
    screen.press("Enter")
    assert "UserService.get" not in screen.until("by method  filter 'pin'")
    screen.press("BSpace", "<")
    screen.until("PV\u25bc")
    screen.press("r")
    screen.until("PV\u25b2")
    screen.press("?")
    screen.until("press any key to go on")
    screen.press("x", "Tab")
    screen.until("no client calls yet")
    screen.press("q")
    assert is_restored(screen)


def test_an_instance_is_killed_and_started_again(screen: Terminal, servers: list[ServerProcess]) -> None:
    gone = servers[0]
    screen.press("i")
    name = gone.address.removeprefix("tcp://")
    has(screen, is_row(name, "80"))
    gone.kill()
    assert "1 of 2 up" in has(screen, is_row(name, "connection refused"))
    screen.press("m")
    assert has(screen, is_row("UserService.ping", "1"))
    screen.until(f"! {name}: connection refused")
    gone.start()
    gone.call(3)
    screen.press("i")
    assert "2 of 2 up" in has(screen, is_row(gone.address.removeprefix("tcp://"), "3"))
    assert "-" not in screen.screen().split("by instance")[1].split("? help")[0], "no negative numbers"


def test_sizes(screen: Terminal) -> None:
    screen.resize(140, 30)
    assert len(screen.until("P99.9").splitlines()) == 30
    screen.resize(46, 8)
    text = screen.until(lambda text: re.search(r"METHOD +QPS. +ERR% +P99\n", text) is not None)
    assert "UserService.get" in text
    screen.resize(10, 2)
    screen.until(lambda text: text.startswith("idlrt"))
    screen.resize(80, 24)
    has(screen, is_row("UserService.get", "120"))
    screen.press("C-c")
    assert is_restored(screen)


def test_pause(screen: Terminal, servers: list[ServerProcess]) -> None:
    has(screen, is_row("UserService.get", "120"))
    screen.press("p")
    before = screen.until("PAUSED")
    servers[0].call(5)
    screen.press("i", "m")
    assert re.search(is_row("UserService.get", "120"), screen.until("by method"))
    assert before.splitlines()[0] == screen.screen().splitlines()[0], "the time does not change"
    screen.press("p")
    has(screen, is_row("UserService.get", "125"))


def test_colours_tell_errors(screen: Terminal, tmp_path: Path, servers: list[ServerProcess]) -> None:
    screen.press("a", "End")
    screen.until("since the start")
    # Red, bold and no colour; the selected row is inverted.
    assert re.search(r"\x1b\[[0-9;]*31m[^\x1b]*16\.5", screen.screen(has_styles=True))
    assert re.search(r"\x1b\[[0-9;]*7m[^\n]*UserService\.ping", screen.screen(has_styles=True))
    (tmp_path / "plain").mkdir()
    command = [*TOP, "--since-start", servers[0].admin]
    with terminal(tmp_path / "plain", command, NO_COLOR="1", LC_ALL="C") as plain:
        text = plain.until("UserService.get")
        assert "QPSv" in text, "in ASCII"
        assert text.isascii()
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain.screen(has_styles=True))


def test_a_signal_restores_the_terminal(screen: Terminal) -> None:
    pids = subprocess.run(["pgrep", "-P", str(screen.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(pids[0]), signal.SIGTERM)
    screen.until("exit code 143")
    has(screen, r"[^-]echo\b")
    assert not screen.is_alternate


def test_terminals_without_a_cursor_get_tables(tmp_path: Path, servers: list[ServerProcess]) -> None:
    with terminal(tmp_path, [*TOP, servers[0].admin], size=(140, 24), TERM="dumb") as plain:
        plain.until(lambda text: text.count("server calls  1 of 1 up") >= 2)
        assert not plain.is_alternate
        plain.press("C-c")
        plain.until("exit code 0")
