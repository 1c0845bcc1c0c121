"""Values of `(sensitive)` fields and arguments are not shown: in `repr`, in errors of all codecs, in calls."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import msgspec
import pytest
from protocols import HOWS, How, each_protocol

import idlrt
from idlrt import codegen as rpc
from idlrt.core import BlockingDriver, Call, Deadline, Peer, ServerCall
from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.serialization.constraints import ConstraintViolation, constraints_of
from idlrt.serialization.plain_json import arguments_from_plain, arguments_to_plain
from idlrt.spec import Method

SECRET = "hunter2"
HIDDEN = {"sensitive": ""}


class Kind(rpc.Enum):
    PLAIN = 1


class Login(rpc.Struct, kw_only=True):
    name: str = ""
    password: str | None = None

    __thrift_fields__ = (
        rpc.optional(1, "name", rpc.STRING),
        rpc.optional(2, "password", rpc.STRING, annotations=HIDDEN),
    )


class Everything(rpc.Struct, kw_only=True):
    text: Any = None
    number: Any = None
    fraction: Any = None
    data: Any = None
    uuid: Any = None
    flag: Any = None
    kind: Any = None
    many: Any = None
    some: Any = None
    table: Any = None
    login: Any = None
    plain: Any = None

    __thrift_fields__ = (
        rpc.optional(1, "text", rpc.STRING, annotations=HIDDEN),
        rpc.optional(2, "number", rpc.I16, annotations=HIDDEN),
        rpc.optional(3, "fraction", rpc.DOUBLE, annotations=HIDDEN),
        rpc.optional(4, "data", rpc.BINARY, annotations=HIDDEN),
        rpc.optional(5, "uuid", rpc.UUID, annotations=HIDDEN),
        rpc.optional(6, "flag", rpc.BOOL, annotations=HIDDEN),
        rpc.optional(7, "kind", rpc.enum(Kind), annotations=HIDDEN),
        rpc.optional(8, "many", rpc.list_of(rpc.I64), annotations=HIDDEN),
        rpc.optional(9, "some", rpc.set_of(rpc.I32), annotations=HIDDEN),
        rpc.optional(10, "table", rpc.map_of(rpc.STRING, rpc.I32), annotations=HIDDEN),
        rpc.optional(11, "login", rpc.struct(Login), annotations=HIDDEN),
        rpc.optional(12, "plain", rpc.I32),
    )


class Frozen(rpc.FrozenStruct, kw_only=True, frozen=True):
    login: Login
    key: str = SECRET

    __thrift_fields__ = (
        rpc.required(1, "login", rpc.struct(Login)),
        rpc.optional(2, "key", rpc.STRING, annotations=HIDDEN),
    )


class Either(rpc.Union, kw_only=True):
    password: str | None = None
    number: int | None = None

    __thrift_fields__ = (
        rpc.optional(1, "password", rpc.STRING, annotations=HIDDEN),
        rpc.optional(2, "number", rpc.I32),
    )


class Denied(rpc.DeclaredError):
    name: str
    password: str | None = None

    __thrift_fields__ = (
        rpc.required(1, "name", rpc.STRING),
        rpc.optional(2, "password", rpc.STRING, annotations=HIDDEN),
    )


LOGIN: Method[..., Any] = Method(
    "login",
    rpc.required(1, "name", rpc.STRING),
    rpc.required(2, "password", rpc.STRING, annotations={**HIDDEN, "vt.min_size": "20"}),
    rpc.required(3, "pins", rpc.map_of(rpc.STRING, rpc.I16), annotations=HIDDEN),
    result=rpc.VOID,
)


def text_of(error: BaseException) -> str:
    """The error as a program logs it, with all causes."""
    return "".join(traceback.format_exception(error))


def test_repr_and_str_do_not_show_values() -> None:
    login = Login(name="eve", password=SECRET)
    assert repr(login) == str(login) == "Login(name='eve', password=***)"
    assert repr(Login(name="eve")) == "Login(name='eve', password=None)"
    assert repr(Frozen(login=login)) == f"Frozen(login={login!r}, key=***)"
    assert repr([{"a": login}]) == f"[{{'a': {login!r}}}]"
    assert repr(Either(password=SECRET)) == "Either(password=***, number=None)"
    assert repr(Either(number=3)) == "Either(password=None, number=3)"
    everything = Everything(many=[1234567], table={SECRET: 1}, login=login, plain=7)
    assert "many=***" in repr(everything)
    assert SECRET not in f"{everything!r} {everything}"


def test_exceptions_do_not_show_values() -> None:
    denied = Denied(name="eve", password=SECRET)
    assert repr(denied) == "Denied(name='eve', password=***)"
    assert str(denied) == "name='eve', password=***"
    assert str(Denied(name="eve")) == "name='eve'"
    assert SECRET not in text_of(denied)


def test_rich_prints_do_not_show_values() -> None:
    shown = [(name, repr(value)) for name, value in Login(name="eve", password=SECRET).__rich_repr__()]
    assert shown == [("name", "'eve'"), ("password", "***")]


def test_a_struct_that_contains_itself_is_shown() -> None:
    everything = Everything(plain=1)
    everything.plain = [everything]
    assert repr(everything).count("...") == 1


def test_classes_without_sensitive_fields_keep_their_repr() -> None:
    class Plain(rpc.Struct, kw_only=True):
        id: int

        __thrift_fields__ = (rpc.required(1, "id", rpc.I64),)

    assert Plain.__repr__ is rpc.Struct.__repr__ is msgspec.Struct.__repr__
    assert Login.__repr__ is not msgspec.Struct.__repr__


def test_values_stay_as_they_are() -> None:
    login, other = Login(name="eve", password=SECRET), Login(name="eve", password="x")
    assert login != other
    assert login == copy.deepcopy(login) == pickle.loads(pickle.dumps(login))
    assert hash(login) != hash(other)
    assert idlrt.decode(Login, idlrt.encode(login)) == login
    assert SECRET.encode() in idlrt.encode(login)
    assert idlrt.to_json(login) == f'{{"name":"eve","password":"{SECRET}"}}'
    denied = Denied(name="eve", password=SECRET)
    assert pickle.loads(pickle.dumps(denied)) == denied


WRONG = [
    ("text", 7654321), ("text", [SECRET]), ("text", f"{SECRET}\ud800"),
    ("number", SECRET), ("number", 7654321), ("number", 7654321.5),
    ("fraction", SECRET), ("fraction", 7654321 * 10**400),
    ("data", SECRET), ("data", 7654321),
    ("uuid", SECRET),
    ("kind", SECRET), ("kind", 7654321 * 10**9),
    ("many", SECRET), ("many", [1, SECRET]), ("many", [7654321 * 10**15]), ("many", 7654321),
    ("some", {SECRET}), ("some", SECRET),
    ("table", {SECRET: SECRET}), ("table", {7654321: 1}), ("table", SECRET), ("table", {SECRET: 7654321 * 10**9}),
    ("login", SECRET), ("login", Login(name=7654321)), ("login", {"name": SECRET}),  # type: ignore[arg-type]
]  # fmt: skip


@each_protocol
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_errors_of_writers_do_not_show_values(how: How, name: str, value: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"\*\*\*|UTF-8") as caught:
        how().struct(Everything).encode(Everything(**{name: value}))
    assert f"Everything.{name}" in str(caught.value)
    assert SECRET not in text_of(caught.value)
    assert "7654321" not in text_of(caught.value)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_errors_of_json_writers_do_not_show_values(name: str, value: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        idlrt.to_json(Everything(**{name: value}))
    assert f"$.{name}: " in str(caught.value)
    assert SECRET not in text_of(caught.value)
    assert "7654321" not in text_of(caught.value)


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ('{"text": 7654321}', "$.text: expected a string, got ***"),
        ('{"number": "hunter2"}', "$.number: expected i16, got ***"),
        ('{"number": 7654321}', "$.number: expected i16 (-32768 to 32767), got ***"),
        ('{"kind": "hunter2"}', "$.kind: invalid value, got ***"),
        ('{"many": [1, "hunter2"]}', "$.many: expected i64, got ***"),
        ('{"some": [7654321, 7654321]}', "$.some: invalid value, got ***"),
        ('{"table": {"hunter2": "x"}}', "$.table: expected i32, got ***"),
        ('{"login": {"name": 7654321}}', "$.login: expected a string, got ***"),
        ('{"plain": "hunter3"}', "$.plain: expected i32, got 'hunter3'"),
    ],
)
def test_errors_of_json_readers_do_not_show_values(json: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        idlrt.from_json(Everything, json)
    assert str(caught.value) == f"cannot read Everything from JSON: {message}"
    assert SECRET not in text_of(caught.value)


def test_errors_of_json_unions_do_not_show_values() -> None:
    with pytest.raises(RemoteProtocolError, match=r"\$\.password: expected a string, got \*\*\*$"):
        idlrt.from_json(Either, b'{"password": 7654321}')


@each_protocol
def test_errors_of_readers_do_not_show_values(how: How) -> None:
    class Wrong(rpc.Struct, kw_only=True):
        table: dict[str, Any]

        __thrift_fields__ = (rpc.required(10, "table", rpc.map_of(rpc.STRING, rpc.I32)),)

    data = how().struct(Wrong).encode(Wrong(table={SECRET: 5}))
    for end in range(1, len(data)):
        with pytest.raises(RemoteProtocolError) as caught:
            how().struct(Everything).decode_whole(data[:end])
        assert SECRET not in text_of(caught.value)
        assert f"'{SECRET[:3]}" not in text_of(caught.value)


@pytest.mark.parametrize("how", [how for how in HOWS if how.name == "json"], ids=repr)
def test_numbers_out_of_range_are_not_shown(how: How) -> None:
    data = b'{"2":{"i16":%d}}' % (3 * 2551440 + 1)
    with pytest.raises(RemoteProtocolError) as caught:
        how().struct(Everything).decode_whole(data)
    assert str(caught.value) == "cannot read Everything.number: number at offset 12 is out of range for i16"
    assert "7654321" not in text_of(caught.value)


@each_protocol
def test_errors_of_arguments_do_not_show_values(how: How) -> None:
    codec = how().record(LOGIN.arguments)
    wrong: list[tuple[Any, ...]] = [("eve", 7654321, {}), ("eve", "x", {SECRET: 7654321}), ("eve", "x", {SECRET: "y"})]
    for arguments in wrong:
        with pytest.raises(LocalProtocolError, match=r"got \S+ \*\*\*|but \*\*\* is out of range") as caught:
            codec.encode(arguments)
        assert SECRET not in text_of(caught.value)
        assert "7654321" not in text_of(caught.value)


def test_errors_of_json_arguments_do_not_show_values() -> None:
    wrong: list[Any] = [["eve", 7654321, {}], {"name": "eve", "password": "x", "pins": {SECRET: 7654321}}]
    for plain in wrong:
        with pytest.raises(RemoteProtocolError, match=r"got \*\*\*$") as caught:
            arguments_from_plain(LOGIN, plain)
        assert "7654321" not in text_of(caught.value)
        assert SECRET not in text_of(caught.value)
    with pytest.raises(LocalProtocolError, match=r"password: must be string, got \*\*\*$"):
        arguments_to_plain(LOGIN, ("eve", 7654321, {}))


def test_violations_of_constraints_do_not_show_values() -> None:
    check = constraints_of(LOGIN)
    assert check is not None
    with pytest.raises(ConstraintViolation) as caught:
        check(("eve", SECRET, {}))
    assert SECRET not in text_of(caught.value)


def test_calls_do_not_show_sensitive_arguments() -> None:
    arguments = ("eve", SECRET, {SECRET: 1})
    shown = "login('eve', ***, ***)"
    deadline, driver = Deadline(10.0, 5.0), BlockingDriver()
    call = Call(LOGIN, arguments, "tcp://here:1", deadline, driver, metadata={"authorization": SECRET})
    assert repr(call) == f"Call({shown}, target='tcp://here:1', metadata=['authorization'])"
    served = ServerCall(LOGIN, arguments, Peer(address="there:1"), {"authorization": SECRET}, deadline, driver)
    assert shown in repr(served)
    assert SECRET not in repr(served)
