"""Targets of HTTP: `http://` and `https://` URLs, and what else selects the protocol."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner
from hand_written import Users, UserServiceClient, user_service

from idlrt import Http, Server, Tls
from idlrt.cli import main
from idlrt.client.target import NamedTarget, parse_target, resolve_protocol
from idlrt.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "target", "authority", "prefix", "is_encrypted"),
    [
        ("http://h:8080", "tcp://h:8080", "h:8080", "", False),
        ("http://h:8080/", "tcp://h:8080", "h:8080", "", False),
        ("HTTP://h/shop/v1/", "tcp://h:80", "h", "/shop/v1", False),
        ("http://h:443", "tcp://h:443", "h:443", "", False),
        ("https://api.example.com/a%20b", "tcp://api.example.com:443", "api.example.com", "/a%20b", True),
        ("https://h:8443/x", "tcp://h:8443", "h:8443", "/x", True),
        ("http://[::1]:8080", "tcp://[::1]:8080", "[::1]:8080", "", False),
        ("http://[fe80::1%eth0]/x", "tcp://[fe80::1%eth0]:80", "[fe80::1]", "/x", False),
        ("http://h1:81,h2/x", "tcp://h1:81,h2:80", None, "/x", False),
    ],
)
def test_a_target_of_http(text: str, target: str, authority: str | None, prefix: str, is_encrypted: bool) -> None:
    found = resolve_protocol(text, None, None)
    options = {"prefix": prefix} | ({"authority": authority} if authority else {})
    assert (found.target, found.protocol, found.options) == (target, "http", options)
    assert found.is_encrypted == is_encrypted
    assert resolve_protocol(text, None, "http") == found


def test_several_servers_are_a_static_registry() -> None:
    parsed = parse_target(resolve_protocol("https://h1,h2:8443/x", None, None).target, "S")
    assert isinstance(parsed, NamedTarget)
    assert parsed.registry.hosts == (("h1", 443), ("h2", 8443))


@pytest.mark.parametrize(
    ("target", "authority"),
    [("h:81", "h:81"), ("tcp://[::1]:81", "[::1]:81"), (":81", "localhost"), ("unix:/run/a.sock", "localhost")],
)
def test_the_protocol_of_another_target(target: str, authority: str) -> None:
    found = resolve_protocol(target, None, "http")
    assert (found.target, found.protocol, found.options) == (target, "http", {"authority": authority})
    assert found.is_encrypted is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://user:secret@h/x", "credentials are not part of the URL; send them as metadata"),
        ("http://h/x?y=1", "a query is not supported"),
        ("http://h/x#y", "a fragment is not supported"),
        ("http://h?y=1", "a query is not supported"),
        ("http:///x", "write http://host:port/prefix"),
        ("https://:8443", "write https://host:port/prefix"),
        ("http://h:0/x", "write http://host:port/prefix"),
        ("http://h:99999", "port must be at most 65535"),
        ("http://h,/x", "write http://host:port/prefix"),
        ("http://::1", "IPv6 addresses require brackets"),
        ("http://a b", "invalid address"),
    ],
)
def test_what_is_no_target(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as raised:
        UserServiceClient.connect(text)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("target", "options", "why"),
    [
        ("http://h", {"tls": Tls()}, "selects no TLS, but tls= is set; connect to https://"),
        ("http://h", {"protocol": "jsonrpc"}, "selects http, but protocol='jsonrpc' selects jsonrpc"),
        ("http://h", {"framing": "header"}, "protocol http has no option 'framing'"),
        ("http://h", {"protocol": "compact"}, "protocol http has no option 'serialization'"),
        ("http://h/a b", {}, "invalid prefix of HTTP paths"),
        ("http://h/{x}", {}, "invalid prefix of HTTP paths"),
    ],
)
def test_options_that_contradict_the_target(target: str, options: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        UserServiceClient.connect(target, **options)


def test_without_httptools_connecting_fails() -> None:
    code = """
import sys
sys.modules["httptools"] = None
from idlrt.errors import ConfigurationError
from idlrt.tools.probe import ProbeClient
ProbeClient.connect("tcp://127.0.0.1:1").close()
try:
    ProbeClient.connect("http://127.0.0.1:1")
except ConfigurationError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'idlc[http]'" in found.stdout


def test_several_servers_have_their_own_authority() -> None:
    with Server(user_service(Users()), "127.0.0.1:0", http=Http(hosts=("127.0.0.1",))) as server:
        port = server.start().port
        with UserServiceClient.connect(f"http://127.0.0.1:{port},127.0.0.1:{port}") as client:
            assert client.get(7).name == "user 7"


# Tools.

IDL = """
struct User { 1: required i64 id, 2: optional string name }
exception NotFound { 1: required i64 id }
service UserService {
  User get(1: required i64 id) throws (1: NotFound e)
}
"""


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


def test_call_and_ping(tmp_path: Any) -> None:
    (tmp_path / "user.thrift").write_text(IDL)
    options = "--idl", str(tmp_path / "user.thrift")
    with Server(user_service(Users()), "127.0.0.1:0", http=Http(prefix="/v1")) as server:
        url = f"http://127.0.0.1:{server.start().port}"
        found = run("call", f"{url}/v1", "UserService.get", '{"id": 7}', "--compact-output", *options)
        assert (found.exit_code, found.output) == (0, '{"id":7,"name":"user 7"}\n')
        found = run("call", f"{url}/v1", "UserService.get", '{"id": -7}', "--compact-output", *options)
        assert found.exit_code == 1
        assert "NotFound" in found.output
        found = run("call", f"{url}/v2", "UserService.get", '{"id": 7}', *options)
        assert found.exit_code == 1
        assert "no route has this path" in found.output
        found = run("ping", url, "--count", "2", "--interval", "0")
        assert found.exit_code == 0, found.output
        assert f"reply from {url} in" in found.output
    assert run("ping", url, "--count", "1", "--timeout", "5").exit_code == 1
