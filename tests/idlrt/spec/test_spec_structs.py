"""Enums, structs and unions as values."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from idlrt import spec as rpc
from idlrt.spec import FrozenMap, value_hash, which


class Color(rpc.Enum):
    RED = 1
    BLUE = -2


class Point(rpc.Struct, kw_only=True):
    x: int
    tags: list[str] = msgspec.field(default_factory=list)
    scores: dict[str, set[int]] | None = None

    __thrift_fields__ = (
        rpc.required(1, "x", rpc.I32),
        rpc.optional(2, "tags", rpc.list_of(rpc.STRING)),
        rpc.optional(3, "scores", rpc.map_of(rpc.STRING, rpc.set_of(rpc.I32))),
    )


class Place(rpc.FrozenStruct, kw_only=True, frozen=True):
    x: int


class Pick(rpc.Union, kw_only=True):
    number: int | None = None
    text: str | None = None
    point: Point | None = None


class Preset(rpc.Union, kw_only=True):
    number: int | None = None
    tags: list[str] | None = None

    __thrift_default__ = ("tags", lambda: ["a"])


# Enums.


def test_an_unknown_number_is_kept():
    unknown = Color(7)
    assert isinstance(unknown, Color)
    assert unknown == 7
    assert (unknown.name, unknown.value) == ("UNKNOWN_7", 7)
    assert Color(-9).name == "UNKNOWN_MINUS_9"
    assert "UNKNOWN_7" in repr(unknown)
    assert not unknown.is_known
    assert Color.RED.is_known
    assert hash(unknown) == hash(7)


def test_unknown_numbers_do_not_grow_the_enum():
    for number in range(100, 200):
        Color(number)
    assert list(Color) == [Color.RED, Color.BLUE]
    assert 150 not in Color._value2member_map_


def test_unknown_numbers_survive_pickling():
    assert pickle.loads(pickle.dumps(Color(7))) == Color(7)
    assert pickle.loads(pickle.dumps(Color.RED)) is Color.RED


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, "RED", None, 1.5])
def test_what_is_no_i32_is_no_enum(value):
    with pytest.raises(ValueError, match="is not a valid Color"):
        Color(value)


# Structs.


def test_structs_are_compared_and_hashed_by_value():
    one, other = Point(x=1, tags=["a"], scores={"k": {1}}), Point(x=1, tags=["a"], scores={"k": {1}})
    assert one == other
    assert hash(one) == hash(other)
    assert one != Point(x=2, tags=["a"], scores={"k": {1}})
    assert {one: "here"}[other] == "here"
    assert len({one, other}) == 1


def test_defaults_are_not_shared():
    assert Point(x=1).tags is not Point(x=1).tags


def test_structs_are_copied_pickled_and_printed():
    value = Point(x=1, scores={"a": {2}})
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    assert repr(value) == "Point(x=1, tags=[], scores={'a': {2}})"


def test_frozen_structs_hash_and_do_not_change():
    place = Place(x=1)
    assert hash(place) == hash(Place(x=1))
    with pytest.raises(AttributeError):
        place.x = 2  # type: ignore[misc]


# Unions.


def test_a_union_has_exactly_one_field():
    assert which(Pick(number=0)) == "number"
    assert which(Pick(text="")) == "text"
    with pytest.raises(TypeError, match="Pick is a union: exactly one field must be set, got none"):
        Pick()
    with pytest.raises(TypeError, match=r"got 2 \(number, text\)"):
        Pick(number=1, text="a")


def test_a_union_may_have_its_own_default():
    one, other = Preset(), Preset()
    assert one.tags == ["a"]
    assert one.tags is not other.tags
    assert which(Preset(number=1)) == "number"


def test_unions_match():
    def describe(pick: Pick) -> str:
        match pick:
            case Pick(number=int(number)):
                return f"number {number}"
            case Pick(point=Point(x=x)):
                return f"point {x}"
            case _:
                return "other"

    assert [describe(each) for each in (Pick(number=3), Pick(point=Point(x=4)), Pick(text="t"))] == [
        "number 3",
        "point 4",
        "other",
    ]


def test_unions_are_compared_and_hashed_by_value():
    assert Pick(number=1) == Pick(number=1)
    assert hash(Pick(point=Point(x=1))) == hash(Pick(point=Point(x=1)))
    assert Pick(number=1) != Pick(text="1")


# What may be a key.


def test_a_frozen_map_is_a_mapping_that_hashes():
    frozen = FrozenMap({"a": 1, "b": 2})
    assert frozen == {"a": 1, "b": 2}
    assert frozen == FrozenMap([("b", 2), ("a", 1)])
    assert hash(frozen) == hash(FrozenMap([("b", 2), ("a", 1)]))
    assert (frozen["a"], len(frozen), sorted(frozen), "c" in frozen, frozen.get("c")) == (1, 2, ["a", "b"], False, None)
    assert repr(frozen) == "FrozenMap({'a': 1, 'b': 2})"
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert {frozen: 1}[FrozenMap({"a": 1, "b": 2})] == 1


def test_a_frozen_map_does_not_follow_what_it_was_made_of():
    source = {"a": 1}
    frozen = FrozenMap(source)
    source["a"] = 2
    assert frozen["a"] == 1
    with pytest.raises(TypeError):
        frozen["a"] = 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, [2, {3}]], [1, [2, {3}]]),
        ({"a": [1], "b": {2}}, {"b": {2}, "a": [1]}),
        ({1, 2}, frozenset({2, 1})),
        (FrozenMap({1: (2,)}), {1: (2,)}),
        (Point(x=1, tags=["t"]), Point(x=1, tags=["t"])),
        (1, True),
    ],
)
def test_equal_values_have_equal_hashes(one, other):
    assert one == other
    assert value_hash(one) == value_hash(other)
