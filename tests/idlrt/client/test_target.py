"""Whom a client is told to call."""

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


@pytest.mark.parametrize("text", ["", "nowhere", "embedded://a b", "embedded://h/sp ace", "embedded://h?group=a/b", 5])
def test_nothing_of_that_kind(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_target(text, "S")
