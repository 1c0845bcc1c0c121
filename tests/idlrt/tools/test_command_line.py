"""The command line `idlrt`, as programs of their own: serve an object, call it, ask for it, load it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually

from idlrt.embedded import RegistryServer
from idlrt.registry import Registry

# More than a moment.
pytestmark = pytest.mark.slow

IDL = """
namespace py demo.user

enum Color { RED = 1, BLUE = 2 }

struct User {
  1: required i64 id
  2: optional string name
  3: map<i32, Color> colors
  4: set<string> tags
  5: binary raw
  6: map<list<i32>, string> odd
}

exception NotFound { 1: required i64 id }

service UserService {
  User get(1: i64 id, 2: string prefix = "user") throws (1: NotFound e)
  User echo(1: User user)
  i32 add(1: i32 a, 2: i32 b)
}
"""

HANDLERS = """
from demo.user import Color, NotFound, User
import idlrt

class Users:
    def get(self, id, prefix):
        if id < 0:
            raise NotFound(id=id)
        if id == 0:
            raise ValueError("secret")
        return User(id=id, name=f"{prefix} {id}", colors={1: Color.BLUE}, tags={"a"}, raw=b"\\0\\xff")

    def echo(self, user):
        call = idlrt.current_call()
        if call.metadata:
            user.name = call.metadata["who"]
        return user

    def add(self, a, b):
        return a + b

ready = Users()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "user.thrift").write_text(IDL)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


def idlrt(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "idlrt", *arguments]
    if arguments[0] in ("call", "ping", "bench") and "--help" not in arguments:
        command += ["--timeout", f"{TIMEOUT:g}"]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def serving(folder: Path, *options: str, what: str = "handlers:Users") -> Iterator[str]:
    """A server of `Users`; gives its address."""
    command = [sys.executable, "-m", "idlrt", "serve", what, "--idl", "user.thrift"]
    if "--address" not in options:
        command += ["--address", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("serving UserService at "), line + process.communicate()[1]
        yield line.split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, errors


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as found:
        yield found


@pytest.mark.slow
def test_help_names_what_there_is(tmp_path: Path) -> None:
    done = idlrt(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("serve", "call", "ping", "bench"):
        assert command in done.stdout
        assert idlrt(tmp_path, command, "--help").returncode == 0


def test_a_call_gives_json(folder: Path, address: str) -> None:
    done = idlrt(folder, "call", address, "UserService.get", '{"id": 42}', "--idl", "user.thrift")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "id": 42,
        "name": "user 42",
        "colors": {"1": "BLUE"},
        "tags": ["a"],
        "raw": "AP8=",
    }
    # In order, without the service's name, from standard input, on one line.
    done = idlrt(folder, "call", address, "get", "-", "--idl", "user.thrift", "--compact-output", stdin='[7, "x"]')
    assert done.stdout.startswith('{"id":7,"name":"x 7",')


@pytest.mark.slow
def test_values_come_back_as_they_went(folder: Path, address: str) -> None:
    odd = [{"key": [1, 2], "value": "x"}]
    user = {"id": 1, "colors": {"7": "RED", "8": 5}, "tags": ["ä"], "raw": "AP8=", "odd": odd}
    given = json.dumps({"user": {**user, "name": None}})
    done = idlrt(folder, "call", address, "echo", given, "--idl", "user.thrift")
    assert json.loads(done.stdout) == user, done.stderr
    options = ("--idl", "user.thrift", "--framing", "header", "--protocol", "compact", "--metadata", "who=me")
    done = idlrt(folder, "call", address, "echo", given, *options)
    assert json.loads(done.stdout)["name"] == "me", done.stderr


@pytest.mark.slow
def test_exceptions_are_json_too(folder: Path, address: str) -> None:
    done = idlrt(folder, "call", address, "get", '{"id": -1}', "--idl", "user.thrift")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"exception": "NotFound", "fields": {"id": -1}}
    done = idlrt(folder, "call", address, "get", '{"id": 0}', "--idl", "user.thrift")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["error"] == "ApplicationError"
    assert "ValueError" in found["message"]
    done = idlrt(folder, "call", "127.0.0.1:1", "get", '{"id": 1}', "--idl", "user.thrift")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "ConnectFailed"


TAKES = "UserService.get takes 2 arguments (id: i64, prefix: string)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get", '{"idd": 1}'], f"unknown argument 'idd'; {TAKES}"),
        (["get", "{}"], "missing argument `id`"),
        (["get", '{"id": "x"}'], "from JSON: $.id: expected i64, got 'x'"),
        (["get", "[1, 2, 3]"], f"too many arguments: expected at most 2, got 3; {TAKES}"),
        (["get", "{"], "cannot read the arguments of UserService.get"),
        (["gett"], "did you mean 'get'?"),
        (["Users.get"], "unknown service 'Users' (known: UserService)"),
        (["get", '{"id": 1}', "--framing", "frame"], "header"),
        (["get", '{"id": 1}', "--metadata", "x"], "invalid --metadata 'x': expected NAME=VALUE"),
        (["get", '{"id": 1}', "--tls-key", "client.key"], "--tls-key requires --tls-cert"),
        (["get", '{"id": 1}', "--tls-ca", "nowhere.pem"], "cannot load nowhere.pem for TLS: No such file"),
    ],
)
def test_wrong_usage_is_told(folder: Path, arguments: list[str], said: str) -> None:
    done = idlrt(folder, "call", "127.0.0.1:1", *arguments, "--idl", "user.thrift")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_wrong_idl_is_shown(folder: Path) -> None:
    (folder / "bad.thrift").write_text("service S { void f(1: Missing x) }")
    done = idlrt(folder, "call", "127.0.0.1:1", "f", "--idl", "bad.thrift")
    assert done.returncode == 2
    assert "bad.thrift:1:23" in done.stderr
    assert "cannot compile bad.thrift" in done.stderr


def test_ping(folder: Path, address: str) -> None:
    done = idlrt(folder, "ping", address, "--count", "3", "--interval", "0")
    assert done.returncode == 0
    assert done.stdout.count("reply from 127.0.0.1:") == 3
    assert "3 probes, 3 replies, 0 lost; min" in done.stdout
    done = idlrt(folder, "ping", "127.0.0.1:1", "--count", "1")
    assert done.returncode == 1
    assert "1 probe, 0 replies, 1 lost" in done.stdout
    assert "connection refused" in done.stderr


LOADS: list[tuple[str, list[str]]] = [("closed", []), ("open", ["--rate", "300"])]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), LOADS, ids=["closed", "open"])
def test_bench(folder: Path, address: str, kind: str, options: list[str]) -> None:
    common = ["bench", address, "add", "[1, 2]", "--idl", "user.thrift", "--warm-up", "0.1", *options]
    done = idlrt(folder, *common, "--duration", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["errors"] == {}
    assert found["calls"] > 0
    if kind == "open":
        assert found["calls"] <= 151
    latency = found["latency_s"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
    done = idlrt(folder, *common, "--calls", "50")
    assert f"{kind} loop" in done.stdout
    assert "50 responses, " in done.stdout


@pytest.mark.slow
def test_bench_without_a_server(folder: Path) -> None:
    done = idlrt(folder, "bench", "127.0.0.1:1", "add", "[1, 2]", "--idl", "user.thrift")
    assert done.returncode == 2
    assert "idlrt: first call failed: cannot connect" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [["--asyncio"], ["--workers", "2"], ["--processes", "2"]],
    ids=lambda options: options[0],
)
def test_serve_in_other_ways(folder: Path, options: list[str]) -> None:
    with serving(folder, *options, "--grace", "1", "--drain", "0.01", what="handlers:ready") as address:
        done = idlrt(folder, "call", address, "add", "[1, 2]", "--idl", "user.thrift")
        assert done.stdout == "3\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("option", "statuses"), [("--http", [200, 404]), ("--openapi", [200, 200])])
def test_serve_over_http(folder: Path, option: str, statuses: list[int]) -> None:
    with serving(folder, option, what="handlers:ready") as address:
        target = address.replace("tcp://", "http://")
        done = idlrt(folder, "call", target, "add", "[1, 2]", "--idl", "user.thrift")
        assert done.stdout == "3\n", done.stderr
        found = []
        for path in ("/UserService/add", "/_idl/openapi.json"):
            request = urllib.request.Request(target + path, headers={"Content-Type": "application/json"})
            if path.startswith("/User"):
                request.data = b'{"a": 1, "b": 2}'
            try:
                found.append(urllib.request.urlopen(request, timeout=TIMEOUT).status)
            except urllib.error.HTTPError as error:
                found.append(error.code)
        assert found == statuses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "options", "said"),
    [
        ("handlers", [], "MODULE:NAME"),
        ("nowhere:Users", [], "cannot import handler module 'nowhere'"),
        ("handlers:Nobody", [], "module handlers has no attribute 'Nobody'"),
        ("handlers:idlrt", [], "missing methods get, echo, add"),
        ("handlers:Users", ["--address", "nowhere"], "missing port"),
        ("handlers:Users", ["--workers", "-1"], "workers: must be an integer of at least 0"),
        ("handlers:Users", ["--log-level", "loud"], "--log-level must be"),
        ("handlers:Users", ["--processes", "2", "--asyncio"], "cannot be combined"),
        ("handlers:Users", ["--openapi", "--no-http"], "--openapi and --no-http cannot be combined"),
        ("handlers:Users", ["--tls-key", "server.key"], "--tls-key and --tls-ca require --tls-cert"),
    ],
)
def test_what_cannot_be_served_is_told(folder: Path, what: str, options: list[str], said: str) -> None:
    done = idlrt(folder, "serve", what, "--idl", "user.thrift", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_server_that_is_found_by_its_name(folder: Path) -> None:
    with (
        RegistryServer() as registry,
        serving(folder, "--registry", registry.url, "--instance", "zone=eu-1", "--instance", "weight=7"),
        Registry.connect(registry.url, cache=False, timeout=TIMEOUT) as observer,
    ):
        eventually(lambda: observer.instances("UserService").instances)
        (instance,) = observer.instances("UserService").instances
        assert (instance.zone, instance.weight) == ("eu-1", 7)
        done = idlrt(folder, "call", registry.url, "UserService.add", "[1, 2]", "--idl", "user.thrift")
        assert (done.returncode, done.stdout.strip()) == (0, "3")
        done = idlrt(folder, "ping", f"{registry.url}/UserService", "--count", "1")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--registry", "memory://x", "--instance", "zon=x"], "unknown instance option 'zon'"),
        *(
            pytest.param(options, why, marks=pytest.mark.slow)
            for options, why in (
                (["--instance", "zone=x"], "--instance requires --registry"),
                (["--registry", "memory://x", "--instance", "zone"], "invalid --instance 'zone': expected NAME=VALUE"),
                (
                    ["--registry", "memory://x", "--instance", "weight=much"],
                    "invalid --instance value 'much': expected a number",
                ),
                (["--registry", "nowhere"], "invalid registry URL 'nowhere'"),
            )
        ),
    ],
)
def test_registering_with_something_wrong(folder: Path, options: list[str], why: str) -> None:
    done = idlrt(folder, "serve", "handlers:Users", "--idl", "user.thrift", "--address", "127.0.0.1:0", *options)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


BASES = """
namespace py demo.base
service Health { i32 answer() }
service Unrelated { void nothing() }
"""

LEAF = """
include "base.thrift"
namespace py demo.leaf
service Reader extends base.Health { i32 read() }
service Writer extends Reader { i32 write() }
"""

LEAF_HANDLERS = """
class Numbers:
    def answer(self):
        return 1

    def read(self):
        return 2

    def write(self):
        return 3
"""


def test_the_service_that_no_other_extends_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "base.thrift").write_text(BASES)
    (tmp_path / "user.thrift").write_text(LEAF)
    (tmp_path / "handlers.py").write_text(LEAF_HANDLERS)
    command = [sys.executable, "-m", "idlrt", "serve", "handlers:Numbers", "--idl", "user.thrift"]
    process = subprocess.Popen([*command, "--address", "127.0.0.1:0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("serving Writer at ")
        address = line.split()[-1]
        for method, result in (("answer", "1\n"), ("read", "2\n"), ("write", "3\n")):
            assert idlrt(tmp_path, "call", address, method, "--idl", "user.thrift").stdout == result
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    # There are two in the other file, and none extends the other.
    done = idlrt(tmp_path, "serve", "handlers:Numbers", "--idl", "base.thrift")
    assert done.returncode == 2
    assert "the service is ambiguous; name one (known: Health, Unrelated)" in done.stderr


def test_bench_counts_declared_exceptions_apart(folder: Path, address: str) -> None:
    common = ["bench", address, "get", "[-7]", "--idl", "user.thrift", "--warm-up", "0", "--calls", "50"]
    found = json.loads(idlrt(folder, *common, "--json").stdout)
    assert found["exceptions"] == {"NotFound": 50}
    assert (found["calls"], found["errors"]) == (50, {})
    done = idlrt(folder, *common)
    assert done.returncode == 0
    assert "declared exception NotFound: 50 responses" in done.stdout
    assert json.loads(idlrt(folder, *common[:2], "add", "[1, 2]", *common[4:], "--json").stdout)["exceptions"] == {}


def test_ping_of_a_registry_asks_for_a_service(tmp_path: Path) -> None:
    with RegistryServer("127.0.0.1:0").start() as registry:
        done = idlrt(tmp_path, "ping", registry.url, "--count", "1")
        assert done.returncode == 2
        assert f"{registry.url}: it is a registry; add the service to ping, as in {registry.url}/SERVICE" in done.stderr
        assert f"`idlrt registry services {registry.url}` lists services" in done.stderr
