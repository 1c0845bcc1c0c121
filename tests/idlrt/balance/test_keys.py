"""Hash keys of calls."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from idlrt.balance import key_of
from idlrt.codegen import Struct
from idlrt.core import Call, CallPolicy, Deadline
from idlrt.errors import ConfigurationError
from idlrt.spec import I64, STRING, VOID, method, optional, required, struct
from idlrt.testing import FakeDriver


class Home(Struct, kw_only=True):
    from_: str | None = None

    __thrift_fields__ = (optional(1, "from", STRING, attribute="from_"),)


class User(Struct, kw_only=True):
    id: int
    home: Home | None = None

    __thrift_fields__ = (required(1, "id", I64), optional(2, "home", struct(Home)))


class Service:
    def put(self, key: str, user: User | None = None) -> None: ...

    def ping(self) -> None: ...


PUT = method(Service.put, required(1, "key", STRING), optional(2, "user", struct(User)), result=VOID)
PING = method(Service.ping, result=VOID)


def key(*arguments: Any, by: str = "", method: Any = PUT, **options: Any) -> bytes:
    policy = CallPolicy(hash_by=by)
    return key_of(Call(method, arguments, "x", Deadline(1.0, 1.0), FakeDriver(), {}, options, policy))


USER = User(id=7, home=Home(from_="Bern"))


def test_the_first_argument() -> None:
    assert key("a", USER) == b"a"
    assert key(method=PING) == b""


def test_the_argument_that_the_policy_names() -> None:
    assert key("a", USER, by="key") == b"a"
    assert key("a", USER, by="user.id") == b"7"
    assert key("a", USER, by="user.home.from") == b"Bern", "as the IDL calls it"


def test_the_option_counts_most() -> None:
    assert key("a", USER, by="user.id", hash_key="mine") == b"mine"
    assert key("a", USER, by="user.id", hash_key=b"\xff") == b"\xff"
    assert key("a", hash_key=None) == b"None"


def test_calls_without_the_argument_share_a_key() -> None:
    assert key("a", None, by="user.id") == b""
    assert key("a", User(id=1), by="user.home.from") == b""


def test_text_that_has_no_bytes_is_a_key_too() -> None:
    assert key("\ud800") == b"\xed\xa0\x80"


@pytest.mark.parametrize(
    ("by", "method", "said"),
    [
        ("usr", PUT, "cannot hash put by 'usr': no argument 'usr' (arguments: key, user)"),
        ("key", PING, "cannot hash ping by 'key': no argument 'key' (arguments: none)"),
        ("user.name", PUT, "cannot hash put by 'user.name': User has no field 'name' (fields: id, home)"),
        ("key.name", PUT, "cannot hash put by 'key.name': key is of type string, which has no fields"),
        ("user.id.x", PUT, "cannot hash put by 'user.id.x': id is of type i64, which has no fields"),
        ("user..id", PUT, "cannot hash put by 'user..id': User has no field '' (fields: id, home)"),
    ],
)
def test_what_is_not_there_is_told_each_time(by: str, method: Any, said: str) -> None:
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            key("a", USER, by=by, method=method)
        assert str(caught.value) == said


def test_methods_are_told_apart() -> None:
    other = method(Service.put, required(1, "user", STRING), required(2, "key", STRING), result=VOID)
    assert key("a", "b", by="key") == b"a"
    assert key("a", "b", by="key", method=other) == b"b"


def test_a_policy_may_be_changed() -> None:
    call = Call(PUT, ("a", USER), "x", Deadline(1.0, 1.0), FakeDriver())
    assert key_of(call) == b"a"
    assert key_of(msgspec.structs.replace(call, policy=CallPolicy(hash_by="user.id"))) == b"7"
