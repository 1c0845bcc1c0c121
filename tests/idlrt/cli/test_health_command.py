"""`idlrt health`: exit codes, the line that says why, and what the program does not import for it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import run_idlrt
from eventually import TIMEOUT

from idlrt.cli.health import parse_url, probe_by

PROGRAM = Path(sys.executable).parent / "idlrt"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FAILED = b"[+]ping ok\n[-]database failed: no route\n[-]cache failed: cold\nreadyz check failed\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: %d\r\n\r\n%b" % (len(FAILED), FAILED)

Serve = Callable[[bytes], str]


@pytest.fixture
def requests() -> list[bytes]:
    return []


@pytest.fixture
def serve(requests: list[bytes]) -> Iterator[Serve]:
    """Serve a response to every request, and return the address; the heads of requests are kept in `requests`."""
    with contextlib.ExitStack() as stack:

        def start(response: bytes) -> str:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listening.shutdown, socket.SHUT_RDWR)

            def answer() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listening.accept()
                        with connection:
                            head = b""
                            while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
                                head += more
                            requests.append(head)
                            connection.sendall(response)

            threading.Thread(target=answer, daemon=True).start()
            return f"127.0.0.1:{listening.getsockname()[1]}"

        yield start


def run(*arguments: str, variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "health", *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False, env=variables
    )


def test_a_good_status_exits_with_0_and_prints_nothing(serve: Serve) -> None:
    done = run(serve(OK), "--timeout", "30")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_bad_status_exits_with_1_and_one_line_of_why(serve: Serve) -> None:
    address = serve(UNAVAILABLE)
    done = run(f"http://{address}/livez", "--timeout=30")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"idlrt: http://{address}/livez: status 503: database failed: no route; cache failed: cold\n"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (204, 0), (301, 0), (399, 0), (400, 1), (404, 1), (500, 1)])
def test_statuses_from_200_to_399_are_good(serve: Serve, status: int, code: int) -> None:
    assert probe_by([serve(b"HTTP/1.1 %d Some reason\r\ncontent-length: 0\r\n\r\n" % status)]) == code


def test_the_path_is_readyz_unless_the_url_has_one(serve: Serve, requests: list[bytes]) -> None:
    address = serve(OK)
    for each in (address, f"{address}/", f"http://{address}", f"{address}/livez/loop?x=1"):
        assert probe_by([each]) == 0
    paths = [each.split(b" ")[1] for each in requests]
    assert paths == [b"/readyz", b"/readyz", b"/readyz", b"/livez/loop?x=1"]


def test_verbose_asks_for_all_checks_and_prints_them(
    serve: Serve, requests: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe_by([serve(b"HTTP/1.1 200 OK\r\n\r\n[+]ping ok\x1b[2J\n"), "-v"]) == 0
    assert requests[0].startswith(b"GET /readyz?verbose HTTP/1.1\r\n")
    assert capsys.readouterr().out == "[+]ping ok\\x1b[2J\n", "control characters do not reach the terminal"


def test_chunked_bodies_are_read(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    body = b"8\r\n[-]a fai\r\nA;x=y\r\nled: late\n\r\n0\r\n\r\n"
    assert probe_by([serve(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n" + body)]) == 1
    assert capsys.readouterr().err.endswith("/readyz: status 503: a failed: late\n")


def test_the_token_comes_from_a_variable(
    serve: Serve, requests: list[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = serve(OK)
    monkeypatch.setenv("IDLRT_ADMIN_TOKEN", "secret")
    assert probe_by([address]) == 0
    assert b"\r\nauthorization: Bearer secret\r\n" in requests[0]
    monkeypatch.setenv("IDLRT_ADMIN_TOKEN", "se\ncret")
    assert probe_by([address]) == 1
    error = capsys.readouterr().err
    assert "IDLRT_ADMIN_TOKEN must consist of printable ASCII characters" in error
    assert "cret" not in error.replace("IDLRT_ADMIN_TOKEN", "")


def test_a_refused_connection_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert probe_by([f"127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err == f"idlrt: http://127.0.0.1:{port}/readyz: Connection refused\n"


def test_a_silent_server_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert probe_by([f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.05"]) == 1
    assert capsys.readouterr().err.endswith("/readyz: no response within 0.05 s\n")


@pytest.mark.parametrize("response", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 200"])
def test_other_responses_exit_with_1(serve: Serve, response: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe_by([serve(response)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ftp://127.0.0.1"],
        ["127.0.0.1:99999"],
        ["::1"],
        ["user:secret@127.0.0.1"],
        ["a b"],
        ["127.0.0.1", "more"],
        ["127.0.0.1", "--timeout", "soon"],
        ["127.0.0.1", "--timeout", "0"],
        ["127.0.0.1", "--nosuch"],
    ],
    ids=repr,
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert probe_by(arguments) is None, "left to click"
    done = run_idlrt(["health", *arguments], code=2)
    assert done.stdout == ""
    assert "secret" not in done.stderr


def test_the_command_is_the_same_with_click(serve: Serve) -> None:
    run_idlrt(["health", serve(OK)])
    assert "database failed: no route" in run_idlrt(["health", serve(UNAVAILABLE)], code=1).stderr
    assert "  health " in run_idlrt(["--help"]).stdout


def test_addresses_of_version_6_have_brackets() -> None:
    target = parse_url("https://[::1]:8443/livez#part")
    assert (target.host, target.port, target.path, target.is_encrypted) == ("::1", 8443, "/livez", True)
    assert parse_url("http://[::1]").port == 80


@pytest.mark.parametrize(("text", "path"), [("9901", "/readyz"), ("9901/livez", "/livez")])
def test_a_port_alone_is_one_of_the_loopback_interface(text: str, path: str) -> None:
    target = parse_url(text)
    assert (target.host, target.port, target.path, target.is_encrypted) == ("127.0.0.1", 9901, path, False)


def test_the_probe_imports_neither_the_commands_nor_the_runtime(serve: Serve) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['idlrt', 'health', {serve(OK)!r}]\n"
        "from idlrt.cli import run\n"
        "try:\n"
        "    run()\n"
        "except SystemExit as exit:\n"
        "    heavy = {'asyncio', 'click', 'http', 'msgspec', 'ssl', 'urllib'} & sys.modules.keys()\n"
        "    print(exit.code, sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert done.stdout == "0 []\n"
