"""Values that are sent to and fro."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from uuid import UUID

from idlrt.codegen import FrozenMap


def scalars(s: ModuleType) -> list[Any]:
    """Scalars: plain ones, and those at the ends of their ranges."""
    plain = s.Scalars(
        flag=True,
        tiny=-1,
        small=-300,
        middle=70_000,
        large=2**40,
        real=-0.1,
        text="grüße 😀",
        data=b"\0\xff",
        color=s.Color.BLUE,
    )
    least = s.Scalars(tiny=-(2**7), small=-(2**15), middle=-(2**31), large=-(2**63), real=-1e308, text="", data=b"")
    most = s.Scalars(
        flag=False,
        tiny=2**7 - 1,
        small=2**15 - 1,
        middle=2**31 - 1,
        large=2**63 - 1,
        real=1.7976931348623157e308,
        text="x" * 1000,
        data=bytes(range(256)) * 4,
        color=s.Color(12345),
    )
    return [plain, least, most, s.Scalars()]


def not_finite(s: ModuleType) -> list[Any]:
    """Doubles that are no numbers to JSON."""
    return [s.Scalars(real=float(text)) for text in ("inf", "-inf", "nan")]


def texts(s: ModuleType) -> list[Any]:
    """Texts that JSON escapes, except the control characters that Apache's Python writes unescaped."""
    return [
        s.Scalars(text=text) for text in ('"\\/\b\f\n\r\t', "\x7f\x80\u2028\uffff", "e\u0301 \U0001f600 \U0010ffff")
    ]


def flags(s: ModuleType) -> list[Any]:
    """Booleans, all true, all false and mixed."""
    mixed = s.Flags(
        one=True,
        two=False,
        row=[True, False, True],
        some={False, True},
        by_flag={True: False, False: True},
        by_name={"a": True, "b": False},
        rows=[[True], [], [False, True]],
        last=True,
    )
    false = s.Flags(one=False, row=[False] * 20, some={False}, by_flag={False: False}, last=False)
    true = s.Flags(two=True, row=[True] * 20, some={True}, by_flag={True: True}, last=True)
    return [mixed, false, true, s.Flags(last=False), s.Flags(rows=[[]])]


def gaps(s: ModuleType) -> list[Any]:
    """Steps between ids of 15 and more."""
    full = s.Gaps(first=1, at_fifteen=True, at_sixteen=False, after=-1, far="far", farther=[1, 2], last=2**40)
    return [full, s.Gaps(at_sixteen=True, last=1), s.Gaps(far=""), s.Gaps(last=-1)]


def nested(s: ModuleType) -> list[Any]:
    """Containers within containers, with several elements and with none."""
    full = s.Nested(
        cube=[[["a", "b"], []], [], [["c"]]],
        maps={1: {2: {3: "four", -3: ""}, 5: {}}, 6: {}},
        mixed={-1: [{300: {"x", "y", "z"}, -300: set()}, {}], 1: []},
        points=[{True: [s.Point(x=1, y=2), s.Point(x=3)], False: []}, {}],
        blobs={"a": [b"\0", b"", b"\xff" * 200], "b": []},
        ids=[{1, -1, 2**40}, set(), {7}],
        by_real={0.5: 1, -1e300: -1},
    )
    names = [name for name in full.__struct_fields__ if getattr(full, name) is not None]
    empty = s.Nested(**{name: type(getattr(full, name))() for name in names}, inner=[])
    return [full, empty, s.Nested(inner=[full, s.Nested(), empty])]


def shapes(s: ModuleType) -> list[Any]:
    """A union with each of its fields."""
    return [s.Shape(size=0), s.Shape(name=""), s.Shape(point=s.Point(x=1)), s.Shape(line=[s.Point(x=1), s.Point(x=2)])]


def containers(s: ModuleType) -> list[Any]:
    """Containers of everything, all empty, and none at all."""
    full = s.Containers(
        flags=[True, False],
        tinies=[-128, 127],
        smalls=[1, -1],
        middles=list(range(300)),
        larges=[2**63 - 1],
        reals=[0.5, -2.5],
        texts=["", "a", "b" * 300],
        blobs=[b"", b"\xff" * 3],
        colors=[s.Color.RED, s.Color(99)],
        points=[s.Point(x=1), s.Point(x=2, y=3)],
        shapes=shapes(s),
        grid=[[1, 2], [], [3]],
        names={"a", "b", "c"},
        ids={1, -1, 2**50},
        numbers={1: 1.5, -1: 0.0},
        counts={"one": 1, "": 0},
        words={"k": "v", "l": ""},
        by_color={s.Color.GREEN: s.Point(x=5)},
        deep={"a": {1: shapes(s), 2: []}, "b": {}},
        maps=[{"x": 1}, {}],
        sets=[{1, 2}, set()],
        by_flag={True: 1, False: 0},
    )
    names = [name for name in full.__struct_fields__ if getattr(full, name) is not None]
    empty = s.Containers(**{name: type(getattr(full, name))() for name in names})
    return [full, empty, s.Containers()]


def trees(s: ModuleType) -> list[Any]:
    """Recursion."""
    deep = s.Tree(value=0)
    for value in range(1, 30):
        deep = s.Tree(value=value, left=deep)
    return [s.Tree(), s.Tree(value=1, left=s.Tree(value=2), children=[s.Tree(), s.Tree(value=3, children=[])]), deep]


def everything(s: ModuleType) -> list[Any]:
    """Structs within structs; also what optional fields and defaults do."""
    small = s.Everything(scalars=s.Scalars())
    large = s.Everything(
        scalars=scalars(s)[0],
        containers=containers(s)[0],
        tree=trees(s)[1],
        shape=shapes(s)[3],
        answer=43,
        tags=[],
        trouble=s.NotFound(id=1, reason="why"),
        flags=flags(s)[0],
        gaps=gaps(s)[0],
        nested=nested(s)[2],
    )
    return [small, large]


def keyed(s: ModuleType) -> list[Any]:
    """Containers as keys."""
    return [
        s.Keyed(
            lists={(1, 2), (), (-1,)},
            by_set={frozenset({"a", "b", "c"}): 1, frozenset(): 2},
            maps={FrozenMap({1: "x", 2: "y"}), FrozenMap({})},
            by_grid={((1,), ()): "grid", (): "none"},
        ),
        s.Keyed(lists=set(), by_set={}),
    ]


def for_apache(s: ModuleType) -> list[Any]:
    """UUIDs, ids below zero, and fields that are declared in another order than that of their ids."""
    one, two = UUID("00112233-4455-6677-8899-aabbccddeeff"), UUID(int=1)
    identified = s.Identified(id=one, ids=[one, two, one], some={one, two}, names={one: "one", two: "two"})
    return [
        identified,
        s.Identified(ids=[], some=set(), names={}),
        s.Unnumbered(first=1, second="zwei", third=False, fourth=[1, -1], fifth=identified, sixth=True),
        s.Unnumbered(sixth=False),
        s.Disordered(forty=40, two="two", yes=True, one=[1]),
        s.Disordered(yes=False),
    ]


def for_everybody(s: ModuleType) -> list[Any]:
    """Values that all peers know, in all protocols."""
    errors = [s.NotFound(id=1), s.NotFound(id=-1, reason="ß"), s.Refused(code=5, because=["a", ""])]
    structs = [*scalars(s), *texts(s), *shapes(s), *containers(s), *trees(s), *flags(s), *gaps(s), *nested(s)]
    return [*structs, *everything(s), *errors]
