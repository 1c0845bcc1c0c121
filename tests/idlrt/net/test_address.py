"""Addresses as text."""

from __future__ import annotations

import pytest

from idlrt.errors import ConfigurationError
from idlrt.net import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9090", "127.0.0.1", 9090),
        ("tcp://127.0.0.1:9090", "127.0.0.1", 9090),
        ("TCP://example.org:1", "example.org", 1),
        ("localhost:0", "localhost", 0),
        ("[::1]:9090", "::1", 9090),
        ("tcp://[fe80::1%eth0]:9090", "fe80::1%eth0", 9090),
        (":9090", "", 9090),
        ("tcp://:9090", "", 9090),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = Address.parse(text)

    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing port"),
        ("localhost", "missing port"),
        ("tcp://localhost", "missing port"),
        ("localhost:", "expected tcp://host:port"),
        ("localhost:http", "expected tcp://host:port"),
        ("localhost:65536", "port must be at most 65535, got 65536"),
        ("::1:9090", "brackets"),
        ("zookeeper://a:1", "unknown scheme 'zookeeper' (known: tcp"),
        ("tcp://a:1/path", "expected tcp://host:port"),
        ("tcp://a:1?timeout=3", "expected tcp://host:port"),
        ("user@a:1", "expected tcp://host:port"),
        ("a b:1", "expected tcp://host:port"),
        ("localhost:-1", "expected tcp://host:port"),
    ],
)
def test_what_is_no_address_is_refused_and_said_why(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Address.parse(text)
    assert why in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("unix:/run/x.sock", False),
    ],
)
def test_loopback_addresses(text: str, is_loopback: bool) -> None:
    assert Address.parse(text).is_loopback is is_loopback
