"""Target URLs of clients."""

from __future__ import annotations

import pytest

from idlrt.client.target import NamedTarget, parse_target
from idlrt.core import ServiceKey
from idlrt.errors import ConfigurationError
from idlrt.net.address import Address


@pytest.mark.parametrize("text", ["127.0.0.1:9090", "tcp://127.0.0.1:9090", "TCP://[::1]:1", "unix:/run/shop.sock"])
def test_a_server(text: str) -> None:
    assert parse_target(text, "S") == Address.parse(text)


@pytest.mark.parametrize(
    ("text", "registry", "key"),
    [
        ("embedded://127.0.0.1:7400", "embedded://127.0.0.1:7400", ServiceKey("S")),
        ("embedded://127.0.0.1:7400/", "embedded://127.0.0.1:7400", ServiceKey("S")),
        ("embedded://h/demo.Users?group=blue", "embedded://h", ServiceKey("demo.Users", "blue")),
        ("zookeeper://a:1,b:2/apps/x/Users?timeout=3", "zookeeper://a:1,b:2/apps/x?timeout=3", ServiceKey("Users")),
    ],
)
def test_a_service(text: str, registry: str, key: ServiceKey) -> None:
    parsed = parse_target(text, "S")
    assert isinstance(parsed, NamedTarget)
    assert str(parsed.registry) == registry
    assert parsed.key == key


@pytest.mark.parametrize(
    ("text", "registry", "key"),
    [
        ("tcp://a:1,b:2", "static://a:1,b:2", ServiceKey("S")),
        ("a:1,[::1]:2", "static://a:1,[::1]:2", ServiceKey("S")),
        ("TCP://:1,:2/demo.Users?group=blue", "static://localhost:1,localhost:2", ServiceKey("demo.Users", "blue")),
        ("static://a:1,b:2/Users", "static://a:1,b:2", ServiceKey("Users")),
    ],
)
def test_several_servers(text: str, registry: str, key: ServiceKey) -> None:
    parsed = parse_target(text, "S")
    assert isinstance(parsed, NamedTarget)
    assert str(parsed.registry) == registry
    assert parsed.key == key


def test_a_balancer_for_several_servers() -> None:
    parsed = parse_target("tcp://a:1,b:2?balancer=round_robin", "S")
    assert isinstance(parsed, NamedTarget)
    assert parsed.balancer == "round_robin"


def test_a_comma_may_stand_in_the_path_of_a_socket() -> None:
    assert parse_target("unix:/run/a,b.sock", "S") == Address.parse("unix:/run/a,b.sock")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp://a:1,b", "'b': missing port"),
        ("a:1,", "invalid address ''"),
        ("tcp://a:1,tcp://b:2", "invalid address"),
        ("tcp://a:1,unix:/run/b.sock", "invalid address"),
        ("tcp://a:1,b:2?balancer=p2d", "did you mean 'p2c'"),
    ],
)
def test_one_of_several_servers_is_none(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse_target(text, "S")


@pytest.mark.parametrize("text", ["", "nowhere", "embedded://a b", "embedded://h/sp ace", "embedded://h?group=a/b", 5])
def test_nothing_of_that_kind(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_target(text, "S")
