"""Hints about common mistakes in Thrift files: keywords, fields, functions, symbols.

Each function recognizes one mistake; see `hints`.
"""

from __future__ import annotations

import difflib

from idlc.syntax.place import Hint, Place, instead

__all__ = [
    "hyphen",
    "inheritance",
    "map_of_one",
    "member_value",
    "missing_colon",
    "missing_name_or_type",
    "missing_result",
    "missing_symbol",
    "mistyped_clause",
    "mistyped_definition",
    "name_before_type",
    "optional_and_required",
    "separator_too_many",
    "stray_bracket",
    "stray_symbol_before_body",
    "unquoted_include",
    "untyped_const",
]

# Words

_BASE_TYPES = ("bool", "byte", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid")
_TOP_KEYWORDS = ("struct", "union", "exception", "enum", "service", "typedef", "const", "include", "namespace")


def mistyped_definition(place: Place) -> Hint | None:
    """`strcut A {`."""
    if place.list != "item" or not place.is_between or place.type(0) != "NAME":
        return None
    if not (place.is_word(1) or place.type(1) in ("STRING", "STAR")):
        return None
    near = difflib.get_close_matches(place.text(0).lower(), _TOP_KEYWORDS, n=1, cutoff=0.7)
    if not near:
        return None
    return instead(place.text(0), near[0], help=f"did you mean `{near[0]}`?")


def mistyped_clause(place: Place) -> Hint | None:
    """`extend` and `throw`, and the keywords of other languages for them."""
    word = place.text(0)
    if "EXTENDS" in place.acceptable and (word in ("extend", "inherits", "implements") or word == ":"):
        if place.is_word(1):
            return instead(word, "extends")
    elif "THROWS" in place.acceptable and word in ("throw", "raises", "raise", "thows", "trows", "exceptions"):
        if place.text(1) == "(":
            return instead(word, "throws")
    elif "THROWS" in place.acceptable and place.text(-1) in ("throw", "raises", "raise") and word == "(":
        return instead(place.text(-1), "throws", shown=(-1, -1), repair=False)
    return None


def inheritance(place: Place) -> Hint | None:
    """`struct A extends B`."""
    if place.text(0) == "extends" and place.text(-2) in ("struct", "union", "exception", "enum"):
        return Hint(
            message=f"{place.text(-2)}s do not support inheritance",
            help=f"add a field of type `{place.text(1)}` instead",
            shown=(0, 1),
            repair="skip",
            count=2,
        )
    return None


def hyphen(place: Place) -> Hint | None:
    """Names with a `-`."""
    if place.type(0) != "HYPHENATED" or "NAME" not in place.acceptable:
        return None
    fix = place.text(0).replace("-", "_")
    return Hint(
        name="syntax.name",
        message="names cannot contain `-`",
        help=f"write `{fix}`",
        fix=fix,
        repair="replace",
        type="NAME",
    )


def unquoted_include(place: Place) -> Hint | None:
    """`include shared.thrift`."""
    if (
        place.text(-1) == "include"
        and "STRING" in place.acceptable
        and place.type(0) == "NAME"
        and "." in place.text(0)
    ):
        fix = f'"{place.text(0)}"'
        return Hint(
            message="the path of an include must be in quotes",
            help=f"write `include {fix}`",
            fix=fix,
            repair="replace",
            type="STRING",
        )
    return None


# Fields, members, functions


def missing_colon(place: Place) -> Hint | None:
    """`1 i32 a` and `1 = i32 a`."""
    if place.list == "field" and place.type(-1) == "INT" and "COLON" in place.acceptable and len(place.acceptable) == 1:
        if place.is_word(0):
            return Hint(
                message=f"missing `:` after field id {place.text(-1)}",
                help=f"write `{place.text(-1)}:`",
                repair="insert",
                type="COLON",
            )
        if place.text(0) in ("=", ".", ")"):
            message = f"expected `:` after field id {place.text(-1)}, found `{place.text(0)}`"
            return Hint(message=message, help=f"write `{place.text(-1)}:`", fix=":", repair="replace", type="COLON")
    return None


def name_before_type(place: Place) -> Hint | None:
    """`1: name: type`."""
    if place.list == "field" and place.text(0) == ":" and place.is_word(-1) and place.is_word(1):
        fix = f"{place.text(1)} {place.text(-1)}"
        return Hint(
            message="the type of a field must come before its name",
            help=f"write `{fix}`",
            shown=(-1, 1),
            fix=fix,
            repair="",
        )
    return None


def optional_and_required(place: Place) -> Hint | None:
    """`optional required i32 a`: the second word is parsed as the type, and the type as the name."""
    words = ("optional", "required")
    if place.list == "field" and place.is_word(-1) and place.text(-4) in words and place.text(-3) in words:
        return Hint(
            message="a field must be either `required` or `optional`",
            help=f"write `{place.text(-4)} {place.text(-2)} {place.text(-1)}`",
            shown=(-4, -3),
            drop=4,
        )
    return None


def missing_name_or_type(place: Place) -> Hint | None:
    """Fields of one word."""
    if place.list != "field" or not place.is_word(-1) or "NAME" not in place.acceptable:
        return None
    if place.token.type not in ("COMMA", "SEMICOLON", "RBRACE", "RPAR", "EQUAL", "INT"):
        return None
    word = place.text(-1)
    if word in _BASE_TYPES:
        return Hint(help=f"write a name after the type: `{word} name`")
    return Hint(help=f"a field requires a type and a name: `i32 {word}`, or `{word} name`")


def member_value(place: Place) -> Hint | None:
    """`A: 1` in an enum."""
    if place.list == "member" and place.text(0) == ":" and place.is_word(-1):
        return Hint(
            message="the value of an enum member must be written with `=`",
            help="write `=`",
            fix="=",
            repair="replace",
            type="EQUAL",
        )
    return None


def missing_result(place: Place) -> Hint | None:
    """`name(...)` without a return type."""
    if place.list != "function":
        return None
    # Without a return type, the name is parsed as one, and the arguments as its annotations.
    if place.text(-1) == "(" and place.is_word(-2):
        offset = -2
        if place.text(-2) in ("throw", "raises", "raise"):
            return instead(place.text(-2), "throws", shown=(-2, -2), repair=False)
    elif place.text(-1) == ")" and place.text(-2) == "(" and place.is_word(-3):
        offset = -3
    elif place.text(-2) == ")" and place.text(-3) == "(" and place.is_word(-4):
        offset = -4
    else:
        return None
    name = place.text(offset)
    return Hint(
        message=f"function `{name}` has no return type",
        help=f"write `void {name}(...)` if it returns nothing",
        shown=(offset, offset),
    )


def untyped_const(place: Place) -> Hint | None:
    """`const NAME = 1`."""
    if place.text(0) == "=" and place.text(-2) == "const" and place.is_word(-1) and place.text(-1) not in _BASE_TYPES:
        return Hint(
            message=f"constant `{place.text(-1)}` has no type",
            help=f"write a type before the name: `const i32 {place.text(-1)} = ...`",
            shown=(-1, -1),
        )
    return None


# Symbols


def missing_symbol(place: Place) -> Hint | None:
    """A missing symbol where only this symbol is valid, and the found token can follow it."""
    if "MORETHAN" in place.acceptable and place.is_word(0) and place.is_word(-1):
        return Hint(repair="insert", type="MORETHAN", help="close the `<` before it with `>`")
    if len(place.acceptable) != 1:
        return None
    (symbol,) = place.acceptable
    if symbol == "EQUAL" and place.token.type in ("INT", "DOUBLE", "STRING"):
        return Hint(repair="insert", type="EQUAL", help="write `=` before the value")
    if symbol == "COMMA" and place.is_word(0):
        return Hint(repair="insert", type="COMMA", help="write a key type and a value type: `map<key, value>`")
    return None


def map_of_one(place: Place) -> Hint | None:
    """`map<string>`."""
    if place.text(0) == ">" and place.acceptable == frozenset({"COMMA"}):
        return Hint(message="`map` requires a key type and a value type", help="write `map<key, value>`")
    return None


def separator_too_many(place: Place) -> Hint | None:
    """`,,`, or another separator without an element before it."""
    if place.is_between and place.text(0) in (",", ";") and place.text(-1) in (",", ";", "{", "(", "}"):
        return Hint(message=f"extra `{place.text(0)}`", help="remove it", repair="skip", count=1)
    return None


def stray_bracket(place: Place) -> Hint | None:
    """A closing bracket at the top of the file."""
    if place.list == "item" and place.is_between and place.text(0) in ("}", ")", "]", ">"):
        return Hint(
            name="syntax.bracket", message=f"unmatched `{place.text(0)}`", help="remove it", repair="skip", count=1
        )
    return None


def stray_symbol_before_body(place: Place) -> Hint | None:
    """`struct A: {`."""
    if place.text(0) in (":", "=") and place.text(1) == "{" and "LBRACE" in place.acceptable:
        return Hint(message=f"unexpected `{place.text(0)}` before `{{`", help="remove it", repair="skip", count=1)
    return None
