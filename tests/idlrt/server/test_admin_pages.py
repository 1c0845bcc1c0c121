"""Pages of the admin port: health checks, status, index; what they say, and in which form."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from admin_requests import passing, request, status
from hand_written import Users, UserServiceClient, user_service

from idlrt import Admin, AsyncServer, Server, __version__
from idlrt.errors import ConfigurationError
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.pages import AdminPages, text_page


class Switch:
    """A check that can be made to fail."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.result: object = None

    def __call__(self) -> object:
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def database() -> Switch:
    return Switch()


@pytest.fixture
def server(database: Switch) -> Iterator[Server]:
    with Server(user_service(Users()), admin=0, health={"database": database}) as made:
        yield made.start()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/readyz/database", "/livez/loop"])
def test_a_healthy_server_says_ok(server: Server, path: str) -> None:
    found = request(server, path)
    assert (found.status, found.text) == (200, "ok\n")
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["content-type"] == "text/plain; charset=utf-8"


def test_verbose_lists_all_checks(server: Server) -> None:
    assert request(server, "/livez?verbose").lines == ["[+]ping ok", "[+]loop ok", "livez check passed"]
    assert request(server, "/readyz?verbose=1").lines == [
        "[+]ping ok",
        "[+]loop ok",
        "[+]serving ok",
        "[+]database ok",
        "readyz check passed",
    ]
    assert request(server, "/startupz?verbose").lines == ["[+]ping ok", "[+]started ok", "startupz check passed"]


def test_a_failed_check_is_named_with_its_reason(server: Server, database: Switch) -> None:
    database.error = OSError("cannot reach\nmysql://app:hunter2@db")
    found = request(server, "/readyz")
    assert found.status == 503
    assert found.lines == [
        "[+]ping ok",
        "[+]loop ok",
        "[+]serving ok",
        "[-]database failed: OSError: cannot reach mysql://app:***@db",
        "readyz check failed",
    ]
    assert request(server, "/readyz/database").status == 503
    passing(server, "/livez")  # a dependency that fails is no reason to restart
    database.error = None
    passing(server, "/readyz")


def test_checks_can_be_excluded(server: Server, database: Switch) -> None:
    database.error = OSError("down")
    found = request(server, "/readyz?verbose&exclude=database&exclude=loop&exclude=nosuch")
    assert found.status == 200
    assert found.lines == [
        "[+]ping ok",
        "[+]loop excluded: ok",
        "[+]serving ok",
        "[+]database excluded: ok",
        "warn: some health checks cannot be excluded: no matches for 'nosuch'",
        "readyz check passed",
    ]


def test_an_unknown_check_is_not_found(server: Server) -> None:
    found = request(server, "/livez/nosuch")
    assert (found.status, found.text) == (404, "livez has no check 'nosuch' (known: ping, loop)\n")
    assert request(server, "/livez/loop/more").status == 404
    assert request(server, "/nosuch").status == 404
    assert request(server, "/status/more").status == 404


@pytest.mark.parametrize(
    ("error", "result", "reason"),
    [
        (ValueError(), None, "ValueError"),
        (TimeoutError("slow disk"), None, "TimeoutError: slow disk"),
        (SystemExit(3), None, "SystemExit"),
        (StopIteration(), None, "StopIteration"),
        (GeneratorExit(), None, "GeneratorExit"),
        (asyncio.CancelledError(), None, "CancelledError"),
        (None, False, "returned False"),
        (ValueError("x" * 500), None, f"ValueError: {'x' * 188}..."),
        (ValueError("\x1b[2J"), None, "ValueError: \\x1b[2J"),
    ],
    ids=repr,
)
def test_reasons(server: Server, database: Switch, error: BaseException | None, result: object, reason: str) -> None:
    database.error, database.result = error, result
    assert f"[-]database failed: {reason}" in request(server, "/readyz").lines


@pytest.mark.parametrize("result", [None, True, 0, "text"])
def test_other_results_pass(server: Server, database: Switch, result: object) -> None:
    database.result = result
    passing(server, "/readyz")


async def passes() -> None:
    await asyncio.sleep(0)


async def fails() -> None:
    await asyncio.sleep(0)
    raise OSError("gone")


class Odd(BaseException):
    """No `Exception`."""


async def exits() -> None:
    raise SystemExit(1)


async def is_odd() -> None:
    raise Odd


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (passes, "[+]it ok"),
        (fails, "[-]it failed: OSError: gone"),
        (exits, "[-]it failed: SystemExit"),
        (is_odd, "[-]it failed: Odd"),
        (cancels_itself, "[-]it failed: no result within 1 s"),
        (hangs, "[-]it failed: no result within 1 s"),
        (lambda: passes(), "[+]it ok"),
        (lambda: fails(), "[-]it failed: OSError: gone"),
        (lambda: hangs(), "[-]it failed: no result within 1 s"),
    ],
)
def test_checks_may_be_coroutines(check: Callable[[], Any], line: str) -> None:
    with Server(user_service(Users()), admin=0, health={"it": check}) as server:
        server.start()
        assert line in request(server, "/readyz?verbose").lines


def test_a_check_that_hangs_runs_once_and_blocks_nothing() -> None:
    release, started = threading.Event(), threading.Semaphore(0)

    def check() -> None:
        started.release()
        release.wait()

    with Server(user_service(Users()), admin=0, health={"it": check, "other": Switch()}) as server:
        server.start()
        for _ in range(2):
            found = request(server, "/readyz?verbose")
            assert (found.status, found.lines[3:5]) == (503, ["[-]it failed: no result within 1 s", "[+]other ok"])
        passing(server, "/livez")
        assert started.acquire(blocking=False)
        assert not started.acquire(blocking=False), "it is not started again while it runs"
        release.set()
        passing(server, "/readyz")


def test_a_probe_with_little_time_gets_the_reason_in_time() -> None:
    with Server(user_service(Users()), admin=0, health={"it": hangs}) as server:
        server.start()
        found = request(server, "/readyz", rpc_timeout_ms="100")
        assert found.status == 503
        assert re.search(r"\[-\]it failed: no result within 0\.0\d+ s\n", found.text)


def test_pages_are_only_read_with_get_and_head(server: Server) -> None:
    head = request(server, "/livez", "HEAD")
    assert (head.status, head.text, head.headers["content-length"]) == (200, "", "3")
    for verb in ("POST", "PUT", "DELETE"):
        found = request(server, "/livez", verb)
        assert (found.status, found.headers["allow"]) == (405, "GET, HEAD")


def test_the_index_lists_the_pages(server: Server) -> None:
    lines = request(server, "/").lines
    assert [line.split()[:2] for line in lines] == [
        ["GET", "/"],
        ["GET", "/cells"],
        ["POST", "/disable"],
        ["POST", "/enable"],
        ["GET", "/figures"],
        ["GET", "/history"],
        ["GET", "/livez"],
        ["GET", "/metrics"],
        ["GET", "/readyz"],
        ["GET", "/startupz"],
        ["GET", "/status"],
    ]
    page = request(server, "/", accept="text/html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="status">/status</a>' in page.text
    assert 'href="disable"' not in page.text
    assert "/_web" not in [line.split()[1] for line in lines]


def test_the_status_says_what_is_served(server: Server) -> None:
    with UserServiceClient.connect(server.address) as client:
        client.ping()
        found = status(server)
        assert found["connections"] == 1
    assert found["services"] == {"UserService": ["blob", "get", "join", "ping", "poke", "wait"]}
    assert found["state"] == "serving"
    assert found["address"] == server.address
    assert found["protocols"][:2] == ["jsonrpc", "thrift"]
    assert found["kind"] == "Server"
    assert found["version"] == __version__
    assert found["pid"] == os.getpid()
    assert found["uptime_s"] >= 0
    assert (found["in_flight"], found["unsent_bytes"]) == (0, 0)
    assert found["configuration"]["max_connections"] == 65536
    assert found["configuration"]["health"] == ["database"]
    assert "registry" not in found


def test_the_status_has_three_forms(server: Server) -> None:
    as_json = request(server, "/status", accept="application/json")
    assert as_json.headers["content-type"] == "application/json"
    assert json.loads(as_json.text)["state"] == "serving"
    browser = request(server, "/status", accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert browser.headers["content-type"] == "text/html; charset=utf-8"
    for found in (request(server, "/status"), request(server, "/status?format=text", accept="text/html")):
        assert found.headers["content-type"] == "text/plain; charset=utf-8"
        assert "state: serving" in found.lines
        assert "services.UserService: blob, get, join, ping, poke, wait" in found.lines
        assert "configuration.limits.max_depth: 64" in found.lines
    assert request(server, "/status?format=xml").status == 400


def test_the_page_for_browsers_needs_no_other_host(server: Server) -> None:
    found = request(server, "/status?format=html")
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert found.headers["x-frame-options"] == "DENY"
    assert not re.search(r"<style|<script(?! src=\"_web/)|\sstyle=|\son\w+=\"", found.text)
    assert '<span class="badge good"><span aria-hidden="true">✓</span> serving</span>' in found.text


def test_values_in_html_are_escaped() -> None:
    instance = {"metadata": {"note": "<img src=x onerror=alert(1)>"}}
    with Server(user_service(Users()), admin=0, registry="memory://escaped", instance=instance) as server:  # type: ignore[arg-type]
        server.start()
        text = request(server, "/status?format=html").text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "<img" not in text


def test_asyncio_servers_have_the_same_pages() -> None:
    async def run() -> None:
        async with AsyncServer(user_service(Users()), admin=0, health={"database": Switch()}) as server:
            url = server.admin_address
            found = await asyncio.to_thread(request, url, "/readyz?verbose")
            assert found.lines[:4] == ["[+]ping ok", "[+]loop ok", "[+]serving ok", "[+]database ok"]
            assert (await asyncio.to_thread(status, url))["kind"] == "AsyncServer"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"health": {"it": passes}}, "the checks need the admin port; set admin=9901"),
        ({"health": {"loop": passes}, "admin": 0}, "the name 'loop' is in use by a built-in check"),
        ({"health": {"a/b": passes}, "admin": 0}, "names must consist of letters"),
        ({"health": {"it": True}, "admin": 0}, "it: must be a function without arguments, got True"),
        ({"health": [passes], "admin": 0}, "health: must be a dict"),
        ({"admin": 70_000}, "the port must be between 0 and 65535, got 70000"),
        ({"admin": True}, "must be a port, an address such as '127.0.0.1:9901', or an `idlrt.Admin`, got True"),
        ({"admin": "nowhere"}, "invalid address 'nowhere': missing port"),
    ],
)
def test_invalid_options(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Server(user_service(Users()), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", [Server, AsyncServer])
def test_the_port_is_not_that_of_the_server(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="is the address of the server itself; use another port"):
        kind(user_service(Users()), "127.0.0.1:9090", admin=9090)


def test_pages_register_by_path() -> None:
    async def parts(call: HttpRequest) -> HttpResponse:
        return text_page(200, call.path)

    pages = AdminPages()
    pages.add("/parts", parts, "with parts", takes_name=True)
    pages.add("/parts", lambda call: text_page(500, "another"), "not taken: the first page stays")
    pages.add("/plain", lambda call: text_page(200, "plain"), "without")

    def get(path: str) -> tuple[int, bytes]:
        found = asyncio.run(pages.page(HttpRequest(verb="GET", path=path)))
        return found.status, found.body

    assert get("/parts") == (200, b"/parts\n")
    assert get("/parts/one") == (200, b"/parts/one\n")
    assert get("/plain") == (200, b"plain\n")
    assert get("/plain/one")[0] == get("/parts/one/two")[0] == get("")[0] == 404
    assert [each.path for each in pages.entries] == ["/parts", "/plain"]


@pytest.mark.parametrize("given", [0, "0", "127.0.0.1:0", "localhost:0", Admin("127.0.0.1:0")])
def test_ways_to_name_the_address(given: Any) -> None:
    with Server(user_service(Users()), admin=given) as server:
        assert re.fullmatch(r"http://(127\.0\.0\.1|localhost):[1-9]\d*", server.admin_address)
        server.start()
        passing(server, "/livez")


def test_there_is_no_admin_port_by_default() -> None:
    with pytest.raises(ConfigurationError, match="the server has no admin port; set admin=9901"):
        _ = Server(user_service(Users())).admin_address
    with pytest.raises(ConfigurationError, match="the admin port has no address yet"):
        _ = Server(user_service(Users()), admin=0).admin_address
