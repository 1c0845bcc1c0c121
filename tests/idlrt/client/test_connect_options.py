"""Options of `connect` and `using`: declared once, for both kinds of client."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any, get_type_hints

import pytest
from hand_written import AsyncUserServiceClient, UserServiceClient

import idlrt
from idlrt.client import AsyncClient, Client
from idlrt.client.options import CONNECT_DEFAULTS, CallOptions, ConnectOptions, ConnectSettings

KINDS: list[type[Client] | type[AsyncClient]] = [UserServiceClient, AsyncUserServiceClient]


def documented_names(options: type) -> list[str]:
    listed = inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")[2]
    lines = [line for line in listed.splitlines() if line.startswith("    ") and not line.startswith("     ")]
    return [line.strip().partition(":")[0] for line in lines]


def test_the_options_are_public() -> None:
    assert (idlrt.ConnectOptions, idlrt.CallOptions) == (ConnectOptions, CallOptions)
    assert {"CallOptions", "ConnectOptions", "InstanceOptions", "ServerOptions"} <= set(idlrt.__all__)


def test_types_and_defaults_agree() -> None:
    declared = get_type_hints(ConnectOptions)
    checked = get_type_hints(ConnectSettings)
    assert list(declared) == list(checked) == list(CONNECT_DEFAULTS)
    # The kind of client replaces `None`.
    assert {name for name in declared if declared[name] != checked[name]} == {"calls_per_connection"}


@pytest.mark.parametrize("options", [ConnectOptions, CallOptions])
def test_every_option_is_documented_once(options: Any) -> None:
    assert documented_names(options) == list(options.__annotations__)


@pytest.mark.parametrize("kind", KINDS)
def test_signatures_list_all_options_with_their_defaults(kind: Any) -> None:
    target, *options = inspect.signature(kind.connect).parameters.values()
    assert (target.name, target.annotation) == ("target", "str")
    assert {each.name: each.default for each in options} == CONNECT_DEFAULTS
    assert {each.kind for each in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert [each.annotation for each in options if each.name == "heartbeat"] == ["float | None"]


@pytest.mark.parametrize("kind", KINDS)
def test_help_names_and_describes_all_options(kind: Any) -> None:
    shown = pydoc.plain(pydoc.render_doc(kind.connect))
    assert "idlrt.ConnectOptions" in shown
    assert all(f"\n        {name}: " in shown for name in ConnectOptions.__annotations__)
    shown = pydoc.plain(pydoc.render_doc(kind.using))
    assert "idlrt.CallOptions" in shown
    assert all(f"\n        {name}: " in shown for name in CallOptions.__annotations__)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_option_is_refused_with_the_nearest_one(kind: Any) -> None:
    with pytest.raises(TypeError) as caught:
        kind.connect("a:1", max_conections=3)
    what = f"{kind.__name__}.connect() got an unexpected keyword argument 'max_conections'"
    assert str(caught.value) == f"{what}; did you mean 'max_connections'?"
    with pytest.raises(TypeError, match="'retires'; known: calls_per_connection, config, "):
        kind.connect("a:1", retires=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_connections": "3"}, "max_connections must be at least 1, got '3'"),
        ({"calls_per_connection": 0}, "calls_per_connection must be at least 1, got 0"),
        ({"limits": 5}, "limits must be idlrt.Limits, got 5"),
        ({"tls": True}, "tls must be idlrt.Tls, got True; Tls() trusts the system's authorities"),
        ({"text_errors": "ignore"}, "text_errors must be 'strict', 'replace' or 'surrogateescape', not 'ignore'"),
        ({"framing": 5}, "framing must be a string, got 5"),
        ({"policy": 5}, "policy must be a mapping of keys to values, got 5"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(kind: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(idlrt.ConfigurationError) as caught:
        kind.connect("a:1", **options)
    assert str(caught.value) == why


@pytest.mark.parametrize("kind", KINDS)
def test_every_default_can_be_given(kind: Any) -> None:
    assert kind.connect("a:1", **CONNECT_DEFAULTS) is not None
