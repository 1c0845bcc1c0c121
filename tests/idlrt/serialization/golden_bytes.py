"""Values and their bytes in the binary protocol, written by hand; `golden` has them for the other protocols too.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import wire_types as t
from golden_compact import COMPACT, COMPACT_HEADS
from golden_json import JSON, JSON_HEADS

from idlrt.codegen import FrozenMap

_UID = UUID("00112233-4455-6677-8899-aabbccddeeff")

# name → value, its bytes in hex; blanks are only for the eye.
GOLDEN: dict[str, tuple[Any, str]] = {
    "empty struct": (t.Empty(), "00"),
    "i32": (t.Point(x=1), "08 0001 00000001  00"),
    "negative i32": (t.Point(x=-2, y=-(2**31)), "08 0001 fffffffe  08 0002 80000000  00"),
    "true": (t.Optionals(from_=True), "02 fffb 01  00"),
    "false": (t.Optionals(from_=False), "02 fffb 00  00"),
    "i8": (t.Optionals(tiny=-1), "03 0002 ff  00"),
    "i16": (t.Optionals(small=-32768), "06 012c 8000  00"),
    "i64": (t.Optionals(large=0x0102030405060708), "0a 7fff 0102030405060708  00"),
    "double": (t.Optionals(real=1.5), "04 0006 3ff8000000000000  00"),
    "negative zero": (t.Optionals(real=-0.0), "04 0006 8000000000000000  00"),
    "infinity": (t.Optionals(real=float("inf")), "04 0006 7ff0000000000000  00"),
    "string": (t.Optionals(text="hé€😀"), "0b 0007 0000000a 68c3a9e282acf09f9880  00"),
    "empty string": (t.Optionals(text=""), "0b 0007 00000000  00"),
    "string with a zero": (t.Optionals(text="\0"), "0b 0007 00000001 00  00"),
    "binary": (t.Optionals(data=b"\xff\x00"), "0b 0008 00000002 ff00  00"),
    "long binary": (t.Optionals(data=b"x" * 256), "0b 0008 00000100" + "78" * 256 + "00"),
    "uuid": (t.Optionals(uid=_UID), "10 0009 00112233445566778899aabbccddeeff  00"),
    "enum": (t.Optionals(color=t.Color.DARK), "08 8000 fffffffd  00"),
    "unknown enum": (t.Optionals(color=t.Color(77)), "08 8000 0000004d  00"),
    "in the order of ids": (
        t.Optionals(color=t.Color.RED, from_=True, tiny=1, small=2, large=3),
        "08 8000 00000001  02 fffb 01  03 0002 01  06 012c 0002  0a 7fff 0000000000000003  00",
    ),
    "every scalar": (
        t.Scalars(
            flag=True,
            tiny=-128,
            small=256,
            middle=-1,
            large=-(2**63),
            real=0.5,
            text="ok",
            data=b"\0",
            uid=_UID,
            color=t.Color.BLUE,
        ),
        (
            "02 0001 01  03 0002 80  06 0003 0100  08 0004 ffffffff  0a 0005 8000000000000000  04 0006 3fe0000000000000"
            "0b 0007 00000002 6f6b  0b 0008 00000001 00  10 0009 00112233445566778899aabbccddeeff  08 000a 00000002  00"
        ),
    ),
    "union of a number": (t.Pick(number=5), "0a 0001 0000000000000005  00"),
    "union of a text": (t.Pick(text=""), "0b 0002 00000000  00"),
    "union of a struct": (t.Pick(point=t.Point(x=3)), "0c 0003 08 0001 00000003 00  00"),
    "exception": (
        t.Broke(code=9, why="no", notes=[]),
        "08 0001 00000009  0b 0002 00000002 6e6f  0f 0003 0b 00000000  00",
    ),
    "recursion": (
        t.Tree(value=1, children=[t.Tree(), t.Tree(value=2)], left=t.Tree(left=t.Tree())),
        "08 0001 00000001  0f 0002 0c 00000002 00 08 0001 00000002 00  0c 0003 0c 0003 00 00  00",
    ),
    "defaults": (
        t.Defaults(),
        (
            "08 0001 00000007  0b 0002 00000006 6e6f626f6479  0f 0003 0b 00000001 00000001 61"
            "08 0004 00000002  0c 0005 08 0001 00000001 00  02 0006 01  00"
        ),
    ),
    "empty list": (t.Lists(larges=[]), "0f 0005 0a 00000000  00"),
    "lists": (
        t.Lists(
            flags=[True, False],
            tinies=[1, -1],
            smalls=[1],
            middles=[1, 2],
            larges=[3],
            reals=[1.0],
            texts=["a", ""],
            blobs=[b"\xff"],
            uids=[_UID],
            colors=[t.Color.RED, t.Color(5)],
            points=[t.Point(x=1), t.Point(x=2, y=3)],
            picks=[t.Pick(number=1)],
            lists=[[1], []],
            sets=[{"z"}],
            maps=[{"k": 1}, {}],
        ),
        (
            "0f 0001 02 00000002 01 00"
            "0f 0002 03 00000002 01 ff"
            "0f 0003 06 00000001 0001"
            "0f 0004 08 00000002 00000001 00000002"
            "0f 0005 0a 00000001 0000000000000003"
            "0f 0006 04 00000001 3ff0000000000000"
            "0f 0007 0b 00000002 00000001 61 00000000"
            "0f 0008 0b 00000001 00000001 ff"
            "0f 0009 10 00000001 00112233445566778899aabbccddeeff"
            "0f 000a 08 00000002 00000001 00000005"
            "0f 000b 0c 00000002 08 0001 00000001 00 08 0001 00000002 08 0002 00000003 00"
            "0f 000c 0c 00000001 0a 0001 0000000000000001 00"
            "0f 000d 0f 00000002 08 00000001 00000001 08 00000000"
            "0f 000e 0e 00000001 0b 00000001 00000001 7a"
            "0f 000f 0d 00000002 0b 0a 00000001 00000001 6b 0000000000000001 0b 0a 00000000"
            "00"
        ),
    ),
    "sets": (
        t.Sets(
            flags={True},
            larges={-1},
            reals={2.0},
            texts={"t"},
            uids={_UID},
            colors={t.Color.RED},
            points={t.Point(x=1)},
            lists={(1, 2)},
            sets={frozenset({"s"})},
            maps={FrozenMap({1: (True,)})},
        ),
        (
            "0e 0001 02 00000001 01"
            "0e 0002 0a 00000001 ffffffffffffffff"
            "0e 0003 04 00000001 4000000000000000"
            "0e 0004 0b 00000001 00000001 74"
            "0e 0005 10 00000001 00112233445566778899aabbccddeeff"
            "0e 0006 08 00000001 00000001"
            "0e 0007 0c 00000001 08 0001 00000001 00"
            "0e 0008 0f 00000001 08 00000002 00000001 00000002"
            "0e 0009 0e 00000001 0b 00000001 00000001 73"
            "0e 000a 0d 00000001 08 0f 00000001 00000001 02 00000001 01"
            "00"
        ),
    ),
    "maps": (
        t.Maps(
            numbers={1: 1.0},
            counts={"a": 1, "": 2},
            sizes={1: 2},
            words={"k": "v"},
            blobs={b"\xff": 1},
            members={t.Color.RED: t.Point(x=1)},
            by_flag={True: False},
            by_point={t.Point(x=1): "p"},
            by_list={("a",): 1},
            by_set={frozenset({1}): [2]},
            by_map={FrozenMap({"m": 1}): {3}},
            deep={"d": {1: [t.Pick(text="x")]}},
            uids={_UID: t.Color.BLUE},
        ),
        (
            "0d 0001 08 04 00000001 00000001 3ff0000000000000"
            "0d 0002 0b 08 00000002 00000001 61 00000001 00000000 00000002"
            "0d 0003 06 0a 00000001 0001 0000000000000002"
            "0d 0004 0b 0b 00000001 00000001 6b 00000001 76"
            "0d 0005 0b 03 00000001 00000001 ff 01"
            "0d 0006 08 0c 00000001 00000001 08 0001 00000001 00"
            "0d 0007 02 02 00000001 01 00"
            "0d 0008 0c 0b 00000001 08 0001 00000001 00 00000001 70"
            "0d 0009 0f 08 00000001 0b 00000001 00000001 61 00000001"
            "0d 000a 0e 0f 00000001 0a 00000001 0000000000000001 08 00000001 00000002"
            "0d 000b 0d 0e 00000001 0b 08 00000001 00000001 6d 00000001 03 00000001 03"
            "0d 000c 0b 0d 00000001 00000001 64 0a 0f 00000001 0000000000000001 0c 00000001 0b 0002 00000001 78 00"
            "0d 000d 10 08 00000001 00112233445566778899aabbccddeeff 00000002"
            "00"
        ),
    ),
}


def golden(name: str, protocol: str = "binary") -> tuple[Any, bytes]:
    """A value and its bytes."""
    value, data = GOLDEN[name]
    if protocol == "compact":
        return value, bytes.fromhex(COMPACT[name])
    return value, JSON[name].encode() if protocol == "json" else bytes.fromhex(data)


# kind, name, sequence id → strict bytes, old bytes.
HEADS = {
    (1, "ping", 1): ("80010001 00000004 70696e67 00000001", "00000004 70696e67 01 00000001"),
    (2, "get", -1): ("80010002 00000003 676574 ffffffff", "00000003 676574 02 ffffffff"),
    (3, "é", 2**31 - 1): ("80010003 00000002 c3a9 7fffffff", "00000002 c3a9 03 7fffffff"),
    (4, "", -(2**31)): ("80010004 00000000 80000000", "00000000 04 80000000"),
}


def heads(protocol: str, *, strict: bool = True) -> dict[tuple[int, str, int], bytes]:
    """Kind, name, sequence id → bytes of the head."""
    if protocol == "json":
        return {head: text.encode() for head, text in JSON_HEADS.items()}
    if protocol == "compact":
        return {head: bytes.fromhex(data) for head, data in COMPACT_HEADS.items()}
    return {head: bytes.fromhex(data[0 if strict else 1]) for head, data in HEADS.items()}
