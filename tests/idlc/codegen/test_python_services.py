"""Protocols, clients and binding of services, called over a pair in memory."""

from __future__ import annotations

import asyncio
import inspect
import typing
import warnings

import pytest

import idlrt
from idlrt.testing import connected


class Anything:
    """Answers every method with its name and arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[typing.Any, ...]] = []

    def __getattr__(self, name: str) -> typing.Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def method(*args: typing.Any) -> str:
            self.calls.append((name, *args))
            return f"{name}{args}"

        return method


def test_a_service_extends_one_of_another_file(generate) -> None:
    generated = generate(
        {
            "base.thrift": "exception Down { 1: string why }\nservice Base { string ping() throws (1: Down d) }",
            "mid.thrift": "include 'base.thrift'\nservice Mid extends base.Base { string more(1: i32 x) }",
            "top.thrift": """
                namespace py over
                include "mid.thrift"
                service Top extends mid.Mid { string top() }
                service Empty extends Top {}
            """,
        }
    )
    top = generated.module("over")
    with connected(top.EmptyClient, top.empty(Anything())) as client:
        assert (client.ping(), client.more(1), client.top()) == ("ping()", "more(1,)", "top()")
        assert isinstance(client, generated.module("base").BaseClient)

    class Down:
        def ping(self) -> str:
            raise generated.module("base").Down(why="tired")

        def more(self, x: int) -> str:
            return ""

        def top(self) -> str:
            return ""

    client = connected(top.TopClient, top.top(Down()))
    with client, pytest.raises(generated.module("base").Down, match="tired"):
        client.ping()


def test_a_service_may_stand_before_the_one_it_extends(compiled) -> None:
    module = compiled("service B extends A { string b() } service A { string a() }")
    with connected(module.BClient, module.b(Anything())) as client:
        assert (client.a(), client.b()) == ("a()", "b()")


def test_the_asyncio_client_awaits(compiled) -> None:
    module = compiled("service S { string get(1: i32 x) }")

    async def run() -> str:
        async with connected(module.AsyncSClient, module.s(Anything())) as client:
            return await client.get(3)

    assert asyncio.run(run()) == "get(3,)"
    assert inspect.iscoroutinefunction(module.AsyncS.get)


def test_arguments_may_be_keywords_and_left_out(compiled) -> None:
    module = compiled("service S { string get(1: i32 x, 2: string from = 'a', 3: optional i32 z) }")
    with connected(module.SClient, module.s(Anything())) as client:
        assert client.get(x=1) == client.get(1) == client.get(1, from_="a") == "get(1, 'a', None)"
        assert client.get(z=3, from_="b", x=1) == "get(1, 'b', 3)"


def test_arguments_go_in_the_order_of_the_idl_whatever_their_ids(compiled) -> None:
    module = compiled("service S { string get(3: i32 c, 1: i32 a, 2: i32 b) }")
    with connected(module.SClient, module.s(Anything())) as client:
        assert client.get(3, 1, 2) == "get(3, 1, 2)"


def test_oneway_methods_answer_nothing(compiled) -> None:
    module = compiled("service S { oneway void tell(1: string what), string ask() }")
    handler = Anything()
    with connected(module.SClient, module.s(handler)) as client:
        assert client.tell("x") is None
        client.ask()
    assert handler.calls == [("tell", "x"), ("ask",)]
    assert module.SClient.__thrift_service__.methods["tell"].is_oneway


def test_declared_exceptions_arrive_as_their_class(compiled) -> None:
    module = compiled(
        """
        exception A { 1: i32 code }
        exception B { 1: i32 code }
        service S { void f(1: i32 x) throws (1: A a, 2: B b) }
        """
    )

    class Handler:
        def f(self, x: int) -> None:
            if x:
                raise module.A(code=x) if x == 1 else module.B(code=x)

    with connected(module.SClient, module.s(Handler())) as client:
        assert client.f(0) is None
        with pytest.raises(module.A):
            client.f(1)
        with pytest.raises(module.B) as caught:
            client.f(2)
    assert caught.value == module.B(code=2)


def test_a_handler_that_lacks_methods_is_refused(compiled) -> None:
    module = compiled("service S { void f(), void g() }")

    class Handler:
        def f(self) -> None: ...

    with pytest.raises(idlrt.ConfigurationError, match=r"missing method g$"):
        module.s(Handler())


def test_a_missing_method_that_is_renamed_in_python_is_named_as_in_the_idl_too(compiled) -> None:
    module = compiled("service S { void list() }")

    class Handler:
        def list(self) -> None: ...

    with pytest.raises(idlrt.ConfigurationError, match=r"missing method list_ \(`list` in the IDL\)$"):
        module.s(Handler())


def test_results_and_arguments_of_every_shape(compiled) -> None:
    module = compiled(
        """
        struct P { 1: i32 x }
        enum E { A = 1 }
        service S {
            map<string, list<P>> echo(1: map<string, list<P>> a),
            set<list<E>> keys(1: set<list<E>> b),
            binary data(1: binary c),
            uuid id(1: uuid d),
            bool no(1: bool e),
        }
        """
    )

    class Handler:
        def __getattr__(self, name: str) -> typing.Any:
            return lambda value: value

    import uuid

    with connected(module.SClient, module.s(Handler())) as client:
        assert client.echo({"a": [module.P(x=1)]}) == {"a": [module.P(x=1)]}
        assert client.keys({(module.E.A, module.E(9))}) == {(module.E.A, module.E(9))}
        assert client.data(b"\x00") == b"\x00"
        assert client.id(uuid.UUID(int=1)) == uuid.UUID(int=1)
        assert client.no(False) is False


def test_signatures_of_protocol_and_clients_agree(compiled) -> None:
    module = compiled("service S { i32 f(1: i32 a, 2: string b = 'x', 3: optional list<i32> c) }")
    signatures = {
        str(inspect.signature(each.f)) for each in (module.S, module.AsyncS, module.SClient, module.AsyncSClient)
    }
    assert len(signatures) == 1


def policies(service: typing.Any) -> dict[str, typing.Any]:
    return {name: dict(each.policy) for name, each in service.__thrift_service__.methods.items()}


def test_annotations_become_the_policy_of_a_method(compiled) -> None:
    module = compiled(
        r"""
        service S {
            string get() (rpc.timeout = "0.5", rpc.hedge.delay = "0.02", api.get = "/x", rpc.odd = "a \\ \"b\""),
            string key(1: i32 x, 2: string from (rpc.hash_key)),
            string short(1: i32 x (hash_key), 2: string y (rpc.hash_key = "false")),
            string path(1: i32 x) (rpc.hash_by = "x", rpc.chain_stop),
            string plain(1: i32 x),
        }
        """
    )
    assert policies(module.SClient) == {
        "get": {"timeout": "0.5", "hedge.delay": "0.02", "odd": 'a \\ "b"'},
        "key": {"hash_by": "from"},
        "short": {"hash_by": "x"},
        "path": {"hash_by": "x", "chain_stop": "true"},
        "plain": {},
    }
    assert module.S.get.__doc__ is not None
    assert "Defaults: timeout=0.5, hedge.delay=0.02," in module.S.get.__doc__
    assert module.S.plain.__doc__ is None


def test_service_annotations_are_the_defaults_of_its_own_methods(compiled) -> None:
    module = compiled(
        """
        service A { void a() }
        service B extends A {
            void b(),
            void c() (rpc.timeout = "2"),
            void d(1: i32 x (rpc.hash_key), 2: i32 y),
        } (rpc.timeout = "1", rpc.hash_by = "")
        service C extends B { void e() } (rpc.timeout = "3")
        """
    )
    assert policies(module.CClient) == {
        "a": {},
        "b": {"timeout": "1", "hash_by": ""},
        "c": {"timeout": "2", "hash_by": ""},
        "d": {"timeout": "1", "hash_by": "x"},
        "e": {"timeout": "3"},
    }


def test_an_old_name_of_a_key_at_a_method_overrides_the_current_one_at_its_service(compiled) -> None:
    module = compiled(
        """
        service S {
            void a() (rpc.backoff.base = "2"),
            void b(),
        } (rpc.backoff.base_delay = "1", rpc.breaker.errors = "0.5")
        """
    )
    assert policies(module.SClient) == {
        "a": {"backoff.base": "2", "breaker.errors": "0.5"},
        "b": {"backoff.base_delay": "1", "breaker.errors": "0.5"},
    }


DEPRECATED = """
    enum E { A = 1 } (deprecated = "use F")
    struct Old { 1: i32 x } (deprecated = "use New")
    exception Bad { 1: i32 x } (deprecated)
    union U { 1: i32 x } (deprecated = "use V")
    struct User { 1: Old old, 2: E e, 3: i32 gone (deprecated = "never set") }
    service S {
        string old(1: i32 x) (deprecated = "use new"),
        string fine(),
        string quoted() (deprecated = "say \\"please\\""),
    }
    service Gone { string f() } (deprecated = "use S")
    service Heir extends Gone { string g() }
"""


def test_deprecated_methods_warn_when_called(compiled) -> None:
    module = compiled(DEPRECATED)
    with connected(module.SClient, module.s(Anything())) as client:
        with pytest.warns(DeprecationWarning, match="use new"):
            assert client.old(1) == "old(1,)"
        with pytest.warns(DeprecationWarning, match='say "please"'):
            client.quoted()
        assert client.fine() == "fine()"


def test_deprecated_methods_of_asyncio_clients_warn_and_are_still_coroutines(compiled) -> None:
    module = compiled(DEPRECATED)

    async def run() -> str:
        async with connected(module.AsyncSClient, module.s(Anything())) as client:
            with pytest.warns(DeprecationWarning, match="use new"):
                return await client.old(1)

    assert asyncio.run(run()) == "old(1,)"


def test_deprecated_types_say_so_to_type_checkers(compiled) -> None:
    module = compiled(DEPRECATED)
    assert [each.__deprecated__ for each in (module.E, module.Old, module.Bad, module.U)] == [
        "use F",
        "use New",
        "Bad is deprecated",
        "use V",
    ]
    assert module.SClient.old.__deprecated__ == "use new"
    assert module.GoneClient.__deprecated__ == "use S"


def test_importing_and_decoding_deprecated_things_does_not_warn(compiled) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = compiled(DEPRECATED)
        data = b"\x0c\x00\x01\x08\x00\x01\x00\x00\x00\x05\x00\x08\x00\x02\x00\x00\x00\x01\x00"
        user = idlrt.decode(module.User, data)
    assert user.old.x == 5
    assert user.e is module.E.A


def test_a_deprecated_exception_is_still_raised_and_pickled(compiled) -> None:
    module = compiled(DEPRECATED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = module.Bad(x=1)
        assert idlrt.decode(module.Bad, idlrt.encode(error)) == error


def test_deprecated_fields_and_members_say_so_in_their_docstring(generate) -> None:
    text = generate({"demo.thrift": DEPRECATED}).text("demo/demo.py")
    assert '    """Deprecated. never set"""' in text
