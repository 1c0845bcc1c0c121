"""`(py.name = "...")` renames in Python what the IDL declares; what others see of it has the IDL's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import idlrt
from idlc.diagnostics import Diagnostic
from idlrt.testing import connected

RENAMED = """
namespace py demo
enum Colour { RED = 1 (py.name = "CRIMSON"), GREEN = 2, Blue = 3 (py.name = "BLUE") } (py.name = "Color")
typedef i64 user_id (py.name = "UserId")
const i32 kMaxUsers = 3 (py.name = "MAX_USERS")
struct user_info_t {
  1: required user_id uid (py.name = "id"),
  2: optional Colour colour = Colour.RED (py.name = "color"),
} (py.name = "User", go.name = "GoUser")
union Either { 1: i32 numberValue (py.name = "number"), 2: string text } (py.name = "NumberOrText")
exception no_such_user { 1: required user_id uid (py.name = "id") } (py.name = "UserNotFound")
service user_service {
  user_info_t getUserInfo(1: user_id theId (py.name = "id")) throws (1: no_such_user missing) (py.name = "get")
  Either pick(1: Either either) (py.name = "choose", http.post = "/pick")
} (py.name = "Users")
"""


def test_names_in_python_are_the_chosen_ones(compiled: Callable[[str], ModuleType]) -> None:
    stubs: Any = compiled(RENAMED)
    assert stubs.__all__ == [
        "AsyncUsers", "AsyncUsersClient", "Color", "MAX_USERS", "NumberOrText", "User", "UserId", "UserNotFound",
        "Users", "UsersClient", "users",
    ]  # fmt: skip
    assert list(stubs.Color.__members__) == ["CRIMSON", "GREEN", "BLUE"]
    assert repr(stubs.User(id=7)) == "User(id=7, color=<Color.CRIMSON: 1>)"
    assert stubs.UserNotFound(id=7).id == 7
    assert stubs.NumberOrText(number=1).number == 1


def test_names_outside_of_python_are_those_of_the_idl(compiled: Callable[[str], ModuleType]) -> None:
    stubs: Any = compiled(RENAMED)
    user = stubs.User(id=7, color=stubs.Color.BLUE)
    assert json.loads(idlrt.to_json(user)) == {"uid": 7, "colour": "Blue"}
    assert idlrt.from_json(stubs.User, b'{"uid": 7, "colour": "RED"}') == stubs.User(id=7)
    assert [field.name for field in stubs.User.__thrift_fields__] == ["uid", "colour"]
    service = stubs.UsersClient.__thrift_service__
    assert service.name == "user_service"
    assert [method.full_name for method in service.methods.values()] == [
        "user_service.getUserInfo",
        "user_service.pick",
    ]
    assert [field.name for field in service.methods["getUserInfo"].arguments] == ["theId"]


@pytest.mark.parametrize("protocol", ["binary", "jsonrpc"])
def test_calls_work_with_chosen_names(compiled: Callable[[str], ModuleType], protocol: str) -> None:
    stubs: Any = compiled(RENAMED)

    class Handler:
        def get(self, id: int) -> Any:
            if id == 0:
                raise stubs.UserNotFound(id=id)
            return stubs.User(id=id)

        def choose(self, either: Any) -> Any:
            return either

    options: Any = {"protocols": ["jsonrpc"]} if protocol == "jsonrpc" else {}
    scheme = "jsonrpc" if protocol == "jsonrpc" else "tcp"
    with idlrt.Server(stubs.users(Handler()), "tcp://127.0.0.1:0", **options) as server:
        server.start()
        with stubs.UsersClient.connect(f"{scheme}://{server.address.partition('://')[2]}") as client:
            assert client.get(id=5) == stubs.User(id=5)
            assert client.choose(stubs.NumberOrText(text="x")) == stubs.NumberOrText(text="x")
            with pytest.raises(stubs.UserNotFound, match="id=0"):
                client.get(0)


def test_a_hash_key_has_the_name_of_the_idl(compiled: Callable[[str], ModuleType]) -> None:
    stubs: Any = compiled('service S { i64 f(1: i64 userId (py.name = "user_id", rpc.hash_key)) }')
    method = stubs.SClient.__thrift_service__.methods["f"]
    assert dict(method.policy) == {"hash_by": "userId"}

    class Handler:
        def f(self, user_id: int) -> int:
            return user_id

    with connected(stubs.SClient, stubs.s(Handler())) as client:
        assert client.using(balancer="consistent_hash").f(7) == 7


@pytest.mark.parametrize(
    ("idl", "message"),
    [
        ('struct A {} (py.name = "class")', "`py.name` of struct `A`: `class` is a keyword of Python"),
        ('struct A {} (py.name = "a-b")', "`py.name` of struct `A`: 'a-b' is not an identifier"),
        ("struct A {} (py.name)", "`py.name` of struct `A`: '1' is not an identifier"),
        ('struct A {} (py.name = "_A")', "`py.name` of struct `A`: `_A` is private in Python"),
        ('struct A {} (py.name = "B", py.name = "C")', "`py.name` of struct `A`: it is given twice"),
        ('enum A { x (py.name = "name") }', "`py.name` of member `x`: `name` is reserved here"),
        ('exception A { 1: i32 x (py.name = "args") }', "`py.name` of field `x`: `args` is reserved here"),
        ('struct B {} struct A { 1: B x (py.name = "B") }', "`py.name` of field `x`: `B` is reserved here"),
        ('service S { void f() (py.name = "close") }', "`py.name` of function `f`: `close` is reserved here"),
        ('service S { void f(1: i32 x (py.name = "self")) }', "`py.name` of argument `x`: `self` is reserved here"),
        ('const i32 A = 1 (py.name = "rpc")', "`py.name` of constant `A`: `rpc` is reserved here"),
    ],
)
def test_names_that_are_not_possible_are_errors(
    refused: Callable[..., list[Diagnostic]], idl: str, message: str
) -> None:
    (error,) = refused({"demo.thrift": idl})
    assert (error.name, error.message) == ("python.name.invalid", f"invalid {message}")
    assert error.span is not None
    assert idl[error.span.start : error.span.end].startswith("py.name")
    assert error.help


@pytest.mark.parametrize(
    "idl",
    [
        'struct A {} (py.name = "B") struct B {}',
        'struct B {} struct A {} (py.name = "B")',
        'struct A {} (py.name = "C") struct B {} (py.name = "C")',
        'const i32 K = 1 enum A { x } (py.name = "K")',
        'enum A { x } const i32 K = 1 (py.name = "A")',
        'enum E { a, b (py.name = "a") }',
        'struct S { 1: i32 a (py.name = "b"), 2: i32 b }',
        'service S { void f(1: i32 a, 2: i32 b (py.name = "a")) }',
        'service S { void f() void g() (py.name = "f") }',
        'service A { void f() } service S extends A { void g() (py.name = "f") }',
    ],
)
def test_two_declarations_with_one_chosen_name_are_an_error(refused: Callable[..., list[Diagnostic]], idl: str) -> None:
    (error,) = refused({"demo.thrift": idl})
    assert error.name == "python.name.collision"
    assert error.span is not None
    assert idl[error.span.start : error.span.end].startswith("py.name")
    assert len(error.labels) == 1


def test_a_chosen_name_takes_precedence_over_generated_ones(compiled: Callable[[str], ModuleType]) -> None:
    stubs = compiled('service User { void f() } struct Address {} (py.name = "UserClient") struct int {}')
    assert {"UserClient", "UserClient_", "int_"} <= {*stubs.__all__}


def test_a_chosen_name_frees_files_of_one_namespace(
    refused: Callable[..., list[Diagnostic]], generate: Callable[..., Any]
) -> None:
    text = "namespace py acme\nstruct User { 1: i32 id }"
    (error,) = refused({"a.thrift": text, "b.thrift": text})
    assert error.name == "python.name.collision"
    assert '`(py.name = "...")`' in error.help

    generated = generate({"a.thrift": text, "b.thrift": f'{text} (py.name = "Caller")'})
    assert generated.module("acme").__all__ == ["Caller", "User"]


def test_a_chosen_name_of_a_service_frees_the_module_of_its_file(generate: Callable[..., Any]) -> None:
    # The function that binds service `User` is `user`, so that the module of `user.thrift` would be `user_`.
    generated = generate({"user.thrift": 'service User { void f() } (py.name = "Accounts")'})
    assert generated.path("user/user.py").exists()


def test_names_for_other_languages_have_no_effect(compiled: Callable[[str], ModuleType]) -> None:
    stubs = compiled('struct A { 1: i32 x (go.name = "Y") } (go.name = "B", java.name = "C", py3.name = "D")')
    assert stubs.__all__ == ["A"]
