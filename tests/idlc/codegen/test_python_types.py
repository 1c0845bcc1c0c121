"""How generated structs, unions, exceptions and enums behave."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

import idlrt
from idlrt import codegen as rpc

COLOR = "enum Color { RED = 1, GREEN = 2 }\nstruct Car { 1: Color color, 2: list<Color> more, 3: map<Color, i32> by }"


def test_structs_take_keywords_only(compiled) -> None:
    module = compiled("struct S { 1: i32 x }")
    with pytest.raises(TypeError):
        module.S(1)
    with pytest.raises(TypeError):
        module.S(y=1)


def test_structs_compare_hash_print_and_copy_by_value(compiled) -> None:
    module = compiled("struct S { 1: i32 x, 2: list<i32> more } struct T { 1: i32 x, 2: list<i32> more }")
    one, two = module.S(x=1, more=[2]), module.S(x=1, more=[2])
    assert one == two
    assert hash(one) == hash(two)
    assert one != module.S(x=2)
    assert one != module.T(x=1, more=[2])
    assert repr(one) == "S(x=1, more=[2])"
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_structs_without_fields(compiled) -> None:
    module = compiled("struct S {} exception X {} union U {} enum E {}")
    assert module.S() == module.S()
    assert idlrt.decode(module.S, idlrt.encode(module.S())) == module.S()
    assert list(module.E) == []
    assert isinstance(module.X(), rpc.DeclaredError)
    with pytest.raises(TypeError, match="exactly one"):
        module.U()


def test_recursive_types(compiled) -> None:
    module = compiled(
        """
        struct Tree { 1: i32 value, 2: Tree left, 3: optional Tree right, 4: list<Tree> rest, 5: map<string, Tree> by }
        struct Odd { 1: Even next }
        struct Even { 1: Odd next }
        union Json { 1: string text, 2: list<Json> items, 3: map<string, Json> members }
        typedef list<Node> Nodes
        struct Node { 1: Nodes children }
        exception Bad { 1: Bad cause }
        """
    )
    tree = module.Tree(value=1, left=module.Tree(), rest=[module.Tree(value=2)], by={"a": module.Tree(value=3)})
    json = module.Json(members={"a": module.Json(items=[module.Json(text="x")])})
    for value in (
        tree,
        json,
        module.Odd(next=module.Even(next=module.Odd())),
        module.Node(children=[module.Node(children=[])]),
        module.Bad(cause=module.Bad()),
    ):
        assert idlrt.decode(type(value), idlrt.encode(value)) == value


def test_a_union_has_exactly_one_field(compiled) -> None:
    module = compiled("union U { 1: i32 a, 2: string b, 3: list<i32> c }")
    assert module.U(a=0).b is None
    with pytest.raises(TypeError, match="U is a union: exactly one field must be set, got none"):
        module.U()
    with pytest.raises(TypeError, match=r"exactly one field must be set, got 2 \(a, b\)"):
        module.U(a=1, b="x")


def test_which_names_the_field_that_is_set(compiled) -> None:
    module = compiled("union U { 1: i32 from, 2: string b }")
    assert idlrt.which(module.U(from_=0)) == "from_"
    assert idlrt.which(module.U(b="")) == "b"


def test_unions_work_with_match(compiled) -> None:
    module = compiled("struct Card { 1: string number } union Payment { 1: Card card, 2: i32 cash }")

    def describe(payment: object) -> str:
        match payment:
            case module.Payment(card=module.Card(number=number)):
                return f"card {number}"
            case module.Payment(cash=int(amount)):
                return f"cash {amount}"
            case _:
                return "unknown"

    assert describe(module.Payment(card=module.Card(number="1"))) == "card 1"
    assert describe(module.Payment(cash=5)) == "cash 5"
    newer = idlrt.decode(module.Payment, b"\x08\x00\x09\x00\x00\x00\x01\x00")
    assert describe(newer) == "unknown"
    assert idlrt.which(newer) is None


def test_unions_compare_hash_and_pickle(compiled) -> None:
    module = compiled("union U { 1: i32 a, 2: list<i32> b }")
    value = module.U(b=[1])
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(value) == hash(module.U(b=[1]))
    assert idlrt.decode(module.U, idlrt.encode(value)) == value


def test_an_unknown_number_of_an_enum_survives(compiled) -> None:
    module = compiled(COLOR)
    unknown = module.Color(7)
    assert isinstance(unknown, module.Color)
    assert unknown == 7
    assert not unknown.is_known
    assert module.Color.RED.is_known
    car = module.Car(color=unknown, more=[unknown, module.Color.RED], by={unknown: 1})
    again = idlrt.decode(module.Car, idlrt.encode(car))
    assert again == car
    assert isinstance(again.color, module.Color)
    assert pickle.loads(pickle.dumps(unknown)) == unknown
    assert isinstance(pickle.loads(pickle.dumps(unknown)), module.Color)
    assert copy.deepcopy(car) == car


@pytest.mark.parametrize(
    ("number", "name"), [(7, "UNKNOWN_7"), (-1, "UNKNOWN_MINUS_1"), (2**31 - 1, "UNKNOWN_2147483647")]
)
def test_an_unknown_number_of_an_enum_prints(compiled, number: int, name: str) -> None:
    unknown = compiled(COLOR).Color(number)
    assert unknown.name == name
    assert repr(unknown) == f"<Color.{name}: {number}>"
    assert str(unknown) == str(number)


def test_an_unknown_number_is_not_kept_by_the_enum(compiled) -> None:
    module = compiled(COLOR)
    module.Color(7)
    assert list(module.Color) == [module.Color.RED, module.Color.GREEN]
    with pytest.raises(ValueError, match="not a valid Color"):
        module.Color(2**31)


def test_an_unknown_number_of_an_enum_goes_to_json(compiled) -> None:
    module = compiled(COLOR)
    assert msgspec.json.encode(module.Car(color=module.Color(7))) == b'{"color":7,"more":null,"by":null}'


def test_structs_come_back_from_json(compiled) -> None:
    module = compiled(COLOR)
    for color in (module.Color.RED, module.Color(7)):
        car = module.Car(color=color, more=[color], by={color: 1})
        assert msgspec.json.decode(msgspec.json.encode(car), type=module.Car) == car


def test_enums_with_negative_numbers_and_two_names_for_one(compiled) -> None:
    module = compiled("enum E { A = -1, B = 5, C, D = 5 }")
    assert [module.E.A, module.E.B, module.E.C] == [-1, 5, 6]
    assert module.E.D is module.E.B


def test_exceptions_are_raised_and_caught(compiled) -> None:
    module = compiled("exception NotFound { 1: required i64 id, 2: string why = 'gone' }")
    with pytest.raises(module.NotFound) as caught:
        raise module.NotFound(id=1)
    assert caught.value.id == 1
    assert str(caught.value) == "id=1, why='gone'"
    assert isinstance(caught.value, idlrt.RpcError)


def test_exceptions_take_keywords_only(compiled) -> None:
    module = compiled("exception NotFound { 1: required i64 id }")
    with pytest.raises(TypeError):
        module.NotFound(1)
    with pytest.raises(TypeError, match="missing field 'id'"):
        module.NotFound()
    with pytest.raises(TypeError, match="unknown field 'ID'"):
        module.NotFound(id=1, ID=2)


def test_exceptions_compare_hash_print_and_pickle_by_value(compiled) -> None:
    module = compiled("exception X { 1: i64 id, 2: list<string> more } exception Y { 1: i64 id, 2: list<string> more }")
    one = module.X(id=1, more=["a"])
    assert one == module.X(id=1, more=["a"])
    assert one != module.X(id=2)
    assert one != module.Y(id=1, more=["a"])
    assert hash(one) == hash(module.X(id=1, more=["a"]))
    assert repr(one) == "X(id=1, more=['a'])"
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    assert idlrt.decode(module.X, idlrt.encode(one)) == one


def test_exceptions_keep_their_cause_and_traceback(compiled) -> None:
    module = compiled("exception X { 1: string message }")
    with pytest.raises(module.X) as caught:
        raise module.X(message="b") from KeyError("a")
    assert isinstance(caught.value.__cause__, KeyError)


def test_fields_may_be_in_any_order_of_ids(compiled) -> None:
    module = compiled("struct S { 3: i32 c, 1: required i32 a, 2: i32 b = 5 } exception X { 2: i32 b, 1: i32 a }")
    value = module.S(c=3, a=1)
    assert repr(value) == "S(c=3, a=1, b=5)"
    assert idlrt.decode(module.S, idlrt.encode(value)) == value
    assert idlrt.decode(module.X, idlrt.encode(module.X(a=1, b=2))) == module.X(a=1, b=2)


def test_uuids_binaries_and_every_base_type_come_back(compiled) -> None:
    import uuid

    module = compiled(
        """
        struct S { 1: bool a, 2: byte b, 3: i8 c, 4: i16 d, 5: i32 e, 6: i64 f, 7: double g, 8: string h, 9: binary i,
                   10: uuid j, 11: list<uuid> k, 12: set<binary> l, 13: map<uuid, double> m }
        """
    )
    value = module.S(
        a=True, b=1, c=-1, d=2, e=3, f=4, g=0.5, h="ü", i=b"\xff", j=uuid.UUID(int=5), k=[uuid.UUID(int=6)],
        l={b"x"}, m={uuid.UUID(int=7): 1.5},
    )  # fmt: skip
    assert idlrt.decode(module.S, idlrt.encode(value)) == value


def test_typedefs_are_what_they_stand_for(compiled) -> None:
    module = compiled("typedef i32 Id typedef list<Id> Ids typedef Ids More struct S { 1: Id id, 2: More more }")
    assert module.Id is int
    assert module.More == list[int]
    assert idlrt.decode(module.S, idlrt.encode(module.S(id=1, more=[2]))) == module.S(id=1, more=[2])


def test_senums_are_strings(compiled) -> None:
    module = compiled("senum Word { 'a', 'b' } struct S { 1: Word word }")
    assert idlrt.decode(module.S, idlrt.encode(module.S(word="a"))).word == "a"
