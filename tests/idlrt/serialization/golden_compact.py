"""The values of `golden_bytes` in the compact protocol: name → bytes in hex; blanks are only for the eye.

A short head of a field is its distance from the last id and its type, a long one its type and its id.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

COMPACT: dict[str, str] = {
    "empty struct": "00",
    "i32": "15 02  00",
    "negative i32": "15 03  15 ffffffff0f  00",
    "true": "01 09  00",
    "false": "02 09  00",
    "i8": "23 ff  00",
    "i16": "04 d804 ffff03  00",
    "i64": "06 feff03 909cb0d080c1818202  00",
    "double": "67 000000000000f83f  00",
    "negative zero": "67 0000000000000080  00",
    "infinity": "67 000000000000f07f  00",
    "string": "78 0a 68c3a9e282acf09f9880  00",
    "empty string": "78 00  00",
    "string with a zero": "78 01 00  00",
    "binary": "88 02 ff00  00",
    "long binary": "88 8002" + "78" * 256 + "00",
    "uuid": "9d 00112233445566778899aabbccddeeff  00",
    "enum": "05 ffff03 05  00",
    "unknown enum": "05 ffff03 9a01  00",
    "in the order of ids": "05 ffff03 02  01 09  73 01  04 d804 04  06 feff03 06  00",
    "every scalar": (
        "11  13 80  14 8004  15 01  16 ffffffffffffffffff01  17 000000000000e03f"
        "18 02 6f6b  18 01 00  1d 00112233445566778899aabbccddeeff  15 04  00"
    ),
    "union of a number": "16 0a  00",
    "union of a text": "28 00  00",
    "union of a struct": "3c 15 06 00  00",
    "exception": "15 12  18 02 6e6f  19 08  00",
    "recursion": "15 02  19 2c 00 15 04 00  1c 3c 00 00  00",
    "defaults": "15 0e  18 06 6e6f626f6479  19 18 01 61  15 04  1c 15 02 00  11  00",
    "empty list": "59 06  00",
    "lists": (
        "19 21 01 02"
        "19 23 01 ff"
        "19 14 02"
        "19 25 02 04"
        "19 16 06"
        "19 17 000000000000f03f"
        "19 28 01 61 00"
        "19 18 01 ff"
        "19 1d 00112233445566778899aabbccddeeff"
        "19 25 02 0a"
        "19 2c 15 02 00 15 04 15 06 00"
        "19 1c 16 02 00"
        "19 29 15 02 05"
        "19 1a 18 01 7a"
        "19 2b 01 86 01 6b 02 00"
        "00"
    ),
    "sets": (
        "1a 11 01"
        "1a 16 01"
        "1a 17 0000000000000040"
        "1a 18 01 74"
        "1a 1d 00112233445566778899aabbccddeeff"
        "1a 15 02"
        "1a 1c 15 02 00"
        "1a 19 25 02 04"
        "1a 1a 18 01 73"
        "1a 1b 01 59 02 11 01"
        "00"
    ),
    "maps": (
        "1b 01 57 02 000000000000f03f"
        "1b 02 85 01 61 02 00 04"
        "1b 01 46 02 04"
        "1b 01 88 01 6b 01 76"
        "1b 01 83 01 ff 01"
        "1b 01 5c 02 15 02 00"
        "1b 01 11 01 02"
        "1b 01 c8 15 02 00 01 70"
        "1b 01 95 18 01 61 02"
        "1b 01 a9 16 02 15 04"
        "1b 01 ba 01 85 01 6d 02 13 03"
        "1b 01 8b 01 64 01 69 02 1c 28 01 78 00"
        "1b 01 d5 00112233445566778899aabbccddeeff 04"
        "00"
    ),
}

# As in `golden_bytes.HEADS`.
COMPACT_HEADS = {
    (1, "ping", 1): "82 21 01 04 70696e67",
    (2, "get", -1): "82 41 ffffffff0f 03 676574",
    (3, "é", 2**31 - 1): "82 61 ffffffff07 02 c3a9",
    (4, "", -(2**31)): "82 81 8080808008 00",
}
