"""Names that Python cannot have, or that mean something in a stub, get one stable replacement."""

from __future__ import annotations

import builtins
import enum
import keyword
import pickle

import msgspec
import pytest

import idlrt
from idlc.codegen.python import names
from idlrt import codegen as rpc
from idlrt.testing import connected


def test_every_keyword_of_this_python_is_escaped() -> None:
    assert set(keyword.kwlist) <= names.KEYWORDS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("id", "id"),
        ("from", "from_"),
        ("None", "None_"),
        ("self", "self_"),
        ("rpc", "rpc_"),
        ("list", "list_"),
        ("int", "int_"),
        ("_id", "id_"),
        ("__id", "id_"),
        ("__init__", "init_"),
        ("_from", "from_"),
        ("_", "n_"),
        ("__", "n_"),
        ("_1", "n1_"),
        ("match", "match"),
        ("type", "type"),
        ("print", "print"),
    ],
)
def test_member_names(name: str, expected: str) -> None:
    assert names.member_name(name) == expected


def test_a_member_avoids_the_names_that_its_class_uses() -> None:
    assert names.member_name("close", names.CLIENT_NAMES) == "close_"
    assert names.member_name("args", names.EXCEPTION_NAMES) == "args_"
    assert names.member_name("name", names.ENUM_NAMES) == "name_"


@pytest.mark.parametrize("name", ["Final", "Protocol", "TypeAlias", "annotations", "rpc", "str", "class"])
def test_top_level_names_avoid_what_every_stub_uses(name: str) -> None:
    assert names.top_level_name(name) == f"{name}_"


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("user", "user"),
        ("a-b", "a_b"),
        ("a.b", "a_b"),
        ("a b", "a_b"),
        ("class", "class_"),
        ("2fa", "n2fa"),
        ("_hidden", "hidden_"),
        ("__init__", "init_"),
        ("_2", "n2_"),
        ("_", "n_"),
        ("-", "n_"),
        ("TYPE_CHECKING", "TYPE_CHECKING_"),
    ],
)
def test_module_file_names(stem: str, expected: str) -> None:
    assert names.module_file_name(stem) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UserService", "user_service"),
        ("HTTPServer2", "http_server2"),
        ("Hbase", "hbase"),
        ("THBaseService", "th_base_service"),
        ("getUserByID", "get_user_by_id"),
        ("a", "a"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert names.snake_case(name) == expected


def test_a_name_with_an_underscore_may_be_taken_as_well() -> None:
    assert names.member_name("from", frozenset({"from_"})) == "from__"


def test_client_names_are_all_that_clients_have() -> None:
    for client in (rpc.Client, rpc.AsyncClient):
        assert {name for name in dir(client) if not name.startswith("_")} == names.CLIENT_NAMES


def test_exception_names_are_all_that_exceptions_have() -> None:
    assert {name for name in dir(rpc.DeclaredError) if not name.startswith("_")} <= names.EXCEPTION_NAMES


def test_structs_have_no_public_names_of_their_own() -> None:
    for base in (rpc.Struct, rpc.Union):
        assert not {name for name in dir(base) if not name.startswith("_")}


def test_enum_names_are_all_that_enums_have() -> None:
    public = {name for name in (*dir(rpc.Enum), *dir(int), *dir(enum.EnumMeta)) if not name.startswith("_")}
    assert public <= names.ENUM_NAMES


def test_builtins_that_annotations_use_are_builtins() -> None:
    assert all(hasattr(builtins, name) for name in names.BUILTINS)


def test_keywords_as_fields_keep_their_name_on_the_wire(compiled) -> None:
    module = compiled('struct S { 1: i32 from, 2: string class = "a", 3: list<i32> None }')
    value = module.S(from_=1, None_=[2])
    assert value.class_ == "a"
    assert idlrt.decode(module.S, idlrt.encode(value)) == value
    assert [field.name for field in module.S.__thrift_fields__] == ["from", "class", "None"]
    assert [field.attribute for field in module.S.__thrift_fields__] == ["from_", "class_", "None_"]


def test_renamed_fields_keep_their_name_in_json(compiled) -> None:
    module = compiled("struct S { 1: i32 from, 2: i32 _id }")
    data = msgspec.json.encode(module.S(from_=1, id_=2))
    assert data == b'{"from":1,"_id":2}'
    assert msgspec.json.decode(data, type=module.S) == module.S(from_=1, id_=2)


def test_a_field_called_like_its_type_does_not_hide_it(compiled) -> None:
    module = compiled(
        """
        enum Color { RED = 1 }
        struct Point { 1: i32 x }
        struct S { 1: Color Color = Color.RED, 2: list<Point> Point, 3: Point other, 4: map<string, Color> more }
        """
    )
    value = module.S(Point_=[module.Point(x=1)], other=module.Point(x=2), more={"a": module.Color.RED})
    assert value.Color_ is module.Color.RED
    assert idlrt.decode(module.S, idlrt.encode(value)) == value


def test_a_field_called_like_the_typedef_of_a_type_does_not_hide_it(compiled) -> None:
    module = compiled(
        """
        struct Point { 1: i32 x }
        typedef list<Point> Points
        typedef Points Line
        struct S { 1: Points Points, 2: Line Line, 3: Line Point, 4: Points rest }
        """
    )
    line = [module.Point(x=1)]
    value = module.S(Points=line, Line=line, Point_=line, rest=line)
    assert idlrt.decode(module.S, idlrt.encode(value)) == value


def test_a_field_called_like_its_own_struct_does_not_hide_it(compiled) -> None:
    module = compiled("struct Tree { 1: Tree Tree, 2: list<Tree> rest }")
    value = module.Tree(Tree_=module.Tree(rest=[module.Tree()]))
    assert idlrt.decode(module.Tree, idlrt.encode(value)) == value


def test_names_that_enums_use_are_escaped(compiled) -> None:
    module = compiled("enum E { name = 1, value, mro, real, from_bytes, is_known, None, self, _x, is_integer }")
    assert [member.name for member in module.E] == [
        "name_", "value_", "mro_", "real_", "from_bytes_", "is_known_", "None_", "self_", "x_", "is_integer_",
    ]  # fmt: skip
    assert module.E.name_.name == "name_"


def test_names_that_exceptions_use_are_escaped(compiled) -> None:
    module = compiled("exception E { 1: string args, 2: string with_traceback, 3: string add_note, 4: string message }")
    error = module.E(args_="a", with_traceback_="b", add_note_="c", message="d")
    error.add_note("still a method")
    assert idlrt.decode(module.E, idlrt.encode(error)) == error
    assert pickle.loads(pickle.dumps(error)) == error


class _Service:
    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args: f"{name}{args}"


def test_names_that_clients_use_are_escaped_and_kept_on_the_wire(compiled) -> None:
    module = compiled("service S { string close(), string using(1: string self), string connect(), string import() }")
    with connected(module.SClient, module.s(_Service())) as client:
        assert client.close_() == "close_()"
        assert client.using_("a") == "using_('a',)"
        assert client.connect_() == "connect_()"
        assert client.import_() == "import_()"
    assert list(module.SClient.__thrift_service__.methods) == ["close", "using", "connect", "import"]


def test_a_method_called_like_a_type_does_not_hide_it(compiled) -> None:
    module = compiled(
        """
        struct User { 1: i32 id }
        enum Kind { A }
        typedef list<User> Users
        service S { User User(1: User User), Users Users(1: Kind Kind), list<Kind> Kind(), string list(1: string str) }
        """
    )

    class Handler:
        def User_(self, User):
            return User

        def Users(self, Kind):
            return [module.User(id=Kind)]

        def Kind_(self):
            return [module.Kind.A]

        def list_(self, str_):
            return str_

    with connected(module.SClient, module.s(Handler())) as client:
        assert client.User_(module.User(id=1)) == module.User(id=1)
        assert client.Users(module.Kind.A) == [module.User(id=0)]
        assert client.Kind_() == [module.Kind.A]
        assert client.list_("x") == "x"


def test_parameters_called_like_the_private_names_of_a_stub(compiled) -> None:
    module = compiled("service S { string get(1: string _GET, 2: string rpc, 3: string _SERVICE) }")
    with connected(module.SClient, module.s(_Service())) as client:
        assert client.get("a", "b", "c") == "get('a', 'b', 'c')"


def test_a_service_called_like_its_file(generate) -> None:
    generated = generate({"Hbase.thrift": "service Hbase { void ping() }"})
    package = generated.module("Hbase")
    assert package.Hbase.__name__ == "Hbase"
    assert package.hbase(_Service()).service.name == "Hbase"
    assert package.HbaseClient.__module__.endswith(".Hbase.Hbase_")


def test_a_service_whose_name_is_lower_case(compiled) -> None:
    module = compiled("service calculator { string ping() }")
    with connected(module.calculatorClient, module.calculator_(_Service())) as client:
        assert client.ping() == "ping()"
    assert module.calculator.__name__ == "calculator"


@pytest.mark.parametrize("name", ["Protocol", "Final", "rpc", "int", "class", "_hidden", "TYPE_CHECKING", "Client"])
def test_structs_enums_and_services_with_names_that_stubs_use(compiled, name: str) -> None:
    module = compiled(
        f"struct {name} {{ 1: i32 x }} service S {{ {name} get(1: {name} arg) }} const {name} C = {{'x': 1}}"
    )
    assert module.C.x == 1
    package = __import__("sys").modules[module.__package__]
    given = type(module.C).__name__
    assert getattr(package, given) is type(module.C)


def test_private_names_of_several_services_stay_apart(compiled) -> None:
    module = compiled(
        """
        service A { string get(), string SERVICE() }
        service AGet { string get(), string Get() }
        service A_ { string get() }
        """
    )
    with connected(module.AGetClient, module.a_get(_Service())) as client:
        assert client.get() == "get()"
        assert client.Get() == "Get()"
    with connected(module.AClient, module.a(_Service())) as client:
        assert client.SERVICE() == "SERVICE()"
