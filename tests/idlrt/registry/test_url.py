"""Registry URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConfigurationError
from idlrt.registry import Registry, RegistryUrl


def test_all_components() -> None:
    url = RegistryUrl.parse("ZooKeeper://ada:p%40ss@h1:2181,[::1]:2182,h3/apps/x?timeout=6&name=%C3%BC")
    assert url.scheme == "zookeeper"
    assert url.hosts == (("h1", 2181), ("::1", 2182), ("h3", 0))
    assert (url.user, url.password, url.path) == ("ada", "p@ss", "apps/x")
    assert url.options == {"timeout": "6", "name": "ü"}


def test_a_password_is_not_shown() -> None:
    url = RegistryUrl.parse("etcd://ada:secret@h:1/x")
    assert "secret" not in str(url)
    assert "secret" not in str(url.refuse("no"))
    assert RegistryUrl.parse(url.identity) == url
    assert str(RegistryUrl.parse("embedded://h?token=secret&timeout=3")) == "embedded://h?token=***&timeout=3"
    with pytest.raises(ConfigurationError) as caught:
        RegistryUrl.parse("etcd://ada:secret@h:99999")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write scheme://host:port"),
        ("h:1", "write scheme://host:port"),
        ("etcd://h:1:2", "'h:1:2' is not host:port"),
        ("etcd://h:70000", "port 70000 is out of range"),
        ("etcd://a,,b", "'' is not host:port"),
        (None, "write scheme://host:port"),
    ],
)
def test_invalid_urls(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match="invalid registry URL") as caught:
        RegistryUrl.parse(text)
    assert why in str(caught.value)


def test_an_option_in_seconds() -> None:
    assert RegistryUrl.parse("x://h?timeout=1.5").seconds("timeout", 6.0) == 1.5
    assert RegistryUrl.parse("x://h").seconds("timeout", 6.0) == 6.0
    for wrong in ("0", "-1", "inf", "nan", "soon", ""):
        with pytest.raises(ConfigurationError, match="timeout must be between 1e-09 and 2000000 seconds"):
            RegistryUrl.parse(f"x://h?timeout={wrong}").seconds("timeout", 6.0)


def test_an_unknown_scheme() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown registry 'embeded' \(known: .*did you mean 'embedded'"):
        Registry.connect("embeded://127.0.0.1:7400")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("embedded://", "expected one host, got"),
        ("embedded://a:1,b:2", "expected one host, got"),
        ("embedded://a:1?timout=3", "unknown option 'timout' (known: ca, cert, key, timeout, tls, token)"),
        ("embedded://a:1?tls=maybe", "tls must be true or false"),
        ("memory://x?y=1", "unknown option 'y' (known: none)"),
    ],
)
def test_urls_that_are_invalid_for_their_scheme(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry.connect(url)
    assert why in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        url = RegistryUrl.parse(text)
    except ConfigurationError:
        return
    assert RegistryUrl.parse(url.identity) == url


@pytest.mark.parametrize(
    "text",
    [
        "embedded://u:s3cret/s3cret@host",
        "embedded://u:s3cret@s3cret@host",
        "embedded://host:99999?token=s3cret",
        "embedded://host:99999?x=1&password=s3cret&y=2",
    ],
)
def test_errors_for_invalid_urls_mask_secrets(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RegistryUrl.parse(text)
    assert "s3cret" not in str(caught.value)
    assert "host" in str(caught.value)
