"""The RPC protocols that an instance lists: what is accepted, and what everything else is refused with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from idlrt.core import Instance, format_rpc_protocols
from idlrt.errors import ConfigurationError

LISTED = {"thrift": ("binary", "compact", "json"), "jsonrpc": ("json",)}


def make(listed: Any) -> Instance:
    return Instance(service="Users", host="127.0.0.1", port=1, rpc_protocols=listed)


def test_an_instance_lists_none_unless_told() -> None:
    made = Instance(service="Users", host="127.0.0.1", port=1)
    assert made.rpc_protocols == {}
    assert made.protocols == ("header", "framed", "unframed"), "the framings mean what they always did"


def test_order_is_kept_and_lists_become_tuples() -> None:
    made = make({"thrift": ["binary", "compact", "json"], "jsonrpc": ["json"]})
    assert list(made.rpc_protocols.items()) == list(LISTED.items())
    assert made == make(LISTED)


def test_what_is_listed_does_not_change_with_the_callers_mapping() -> None:
    given = dict(LISTED)
    made = make(given)
    given.clear()
    assert made.rpc_protocols == LISTED


def test_as_much_as_is_allowed() -> None:
    names = tuple(f"{number:064d}" for number in range(16))
    assert make(dict.fromkeys(names, names)).rpc_protocols == dict.fromkeys(names, names)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (None, "expected a mapping of names to serializations, got None"),
        (["thrift"], r"expected a mapping of names to serializations, got \['thrift'\]"),
        ("thrift", "expected a mapping"),
        ({"thrift": "binary"}, "expected a list of serializations for 'thrift', got 'binary'"),
        ({"thrift": None}, "expected a list of serializations for 'thrift', got None"),
        ({"thrift": {"binary": 1}}, "expected a list of serializations for 'thrift'"),
        ({"thrift": ()}, "expected 1 to 16 serializations for 'thrift', got 0"),
        ({"thrift": ("binary",) * 17}, "expected 1 to 16 serializations for 'thrift', got 17"),
        ({"thrift": (1,)}, "invalid name of a serialization: 1; use 1 to 64 letters"),
        ({"thrift": ("a b",)}, "invalid name of a serialization: 'a b'"),
        ({"thrift": ("a\n",)}, r"invalid name of a serialization: 'a\\n'"),
        ({"thrift": ("a,b",)}, "invalid name of a serialization: 'a,b'"),
        ({"thrift": ("x" * 65,)}, "invalid name of a serialization"),
        ({"": ("binary",)}, "invalid name of an RPC protocol: ''"),
        ({"a=b": ("binary",)}, "invalid name of an RPC protocol: 'a=b'"),
        ({7: ("binary",)}, "invalid name of an RPC protocol: 7"),
        ({f"p{number}": ("binary",) for number in range(17)}, "expected at most 16 protocols, got 17"),
    ],
)
def test_everything_else_is_refused(listed: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"invalid RPC protocols of an instance: .*{why}"):
        make(listed)


def test_errors_do_not_repeat_all_of_a_long_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        make({"thrift": "x" * 100_000})
    assert len(str(caught.value)) < 300


def test_json_without_the_list_or_with_newer_keys_is_read() -> None:
    plain: dict[str, Any] = {"service": "Users", "host": "h", "port": 1}
    assert msgspec.convert(plain, Instance).rpc_protocols == {}
    newer = {**plain, "rpc_protocols": {"dubbo": ["hessian2"]}, "from_the_future": {"a": [1]}}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=Instance).rpc_protocols == {"dubbo": ("hessian2",)}


@pytest.mark.parametrize(
    "listed", [None, 1, [], {"thrift": None}, {"thrift": [1]}, {"thrift": []}, {"a b": ["c"]}, {"a": ["b"] * 17}]
)
def test_bad_json_is_a_validation_error(listed: Any) -> None:
    data = msgspec.json.encode({"service": "Users", "host": "h", "port": 1, "rpc_protocols": listed})
    with pytest.raises(msgspec.ValidationError, match=r"rpc_protocols|RPC protocol"):
        msgspec.json.decode(data, type=Instance)


def test_the_list_as_text() -> None:
    assert format_rpc_protocols({}) == ""
    assert format_rpc_protocols(LISTED) == "thrift=binary,compact,json jsonrpc=json"
