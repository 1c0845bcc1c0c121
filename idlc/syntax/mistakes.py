"""Hints about common mistakes in Thrift files: keywords, fields, functions, symbols.

Each function recognizes one mistake; see `hints`.
"""

from __future__ import annotations

import difflib

from idlc.syntax.error_context import ErrorContext, Hint, wrong_keyword

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


def mistyped_definition(context: ErrorContext) -> Hint | None:
    """`strcut A {`."""
    if context.list != "item" or not context.is_between or context.type(0) != "NAME":
        return None
    if not (context.is_word(1) or context.type(1) in ("STRING", "STAR")):
        return None
    near = difflib.get_close_matches(context.text(0).lower(), _TOP_KEYWORDS, n=1, cutoff=0.7)
    if not near:
        return None
    return wrong_keyword(context.text(0), near[0], help=f"did you mean `{near[0]}`?")


def mistyped_clause(context: ErrorContext) -> Hint | None:
    """`extend` and `throw`, and the keywords of other languages for them."""
    word = context.text(0)
    if "EXTENDS" in context.acceptable and (word in ("extend", "inherits", "implements") or word == ":"):
        if context.is_word(1):
            return wrong_keyword(word, "extends")
    elif "THROWS" in context.acceptable and word in ("throw", "raises", "raise", "thows", "trows", "exceptions"):
        if context.text(1) == "(":
            return wrong_keyword(word, "throws")
    elif "THROWS" in context.acceptable and context.text(-1) in ("throw", "raises", "raise") and word == "(":
        return wrong_keyword(context.text(-1), "throws", shown=(-1, -1), repair=False)
    return None


def inheritance(context: ErrorContext) -> Hint | None:
    """`struct A extends B`."""
    if context.text(0) == "extends" and context.text(-2) in ("struct", "union", "exception", "enum"):
        return Hint(
            message=f"{context.text(-2)}s do not support inheritance",
            help=f"add a field of type `{context.text(1)}` instead",
            shown=(0, 1),
            repair="skip",
            count=2,
        )
    return None


def hyphen(context: ErrorContext) -> Hint | None:
    """Names with a `-`."""
    if context.type(0) != "HYPHENATED" or "NAME" not in context.acceptable:
        return None
    fix = context.text(0).replace("-", "_")
    return Hint(
        name="syntax.name",
        message="names cannot contain `-`",
        help=f"write `{fix}`",
        fix=fix,
        repair="replace",
        type="NAME",
    )


def unquoted_include(context: ErrorContext) -> Hint | None:
    """`include shared.thrift`."""
    if (
        context.text(-1) == "include"
        and "STRING" in context.acceptable
        and context.type(0) == "NAME"
        and "." in context.text(0)
    ):
        fix = f'"{context.text(0)}"'
        return Hint(
            message="the path of an include must be in quotes",
            help=f"write `include {fix}`",
            fix=fix,
            repair="replace",
            type="STRING",
        )
    return None


# Fields, members, functions


def missing_colon(context: ErrorContext) -> Hint | None:
    """`1 i32 a` and `1 = i32 a`."""
    if (
        context.list == "field"
        and context.type(-1) == "INT"
        and "COLON" in context.acceptable
        and len(context.acceptable) == 1
    ):
        if context.is_word(0):
            return Hint(
                message=f"missing `:` after field id {context.text(-1)}",
                help=f"write `{context.text(-1)}:`",
                repair="insert",
                type="COLON",
            )
        if context.text(0) in ("=", ".", ")"):
            message = f"expected `:` after field id {context.text(-1)}, found `{context.text(0)}`"
            return Hint(message=message, help=f"write `{context.text(-1)}:`", fix=":", repair="replace", type="COLON")
    return None


def name_before_type(context: ErrorContext) -> Hint | None:
    """`1: name: type`."""
    if context.list == "field" and context.text(0) == ":" and context.is_word(-1) and context.is_word(1):
        fix = f"{context.text(1)} {context.text(-1)}"
        return Hint(
            message="the type of a field must come before its name",
            help=f"write `{fix}`",
            shown=(-1, 1),
            fix=fix,
            repair="",
        )
    return None


def optional_and_required(context: ErrorContext) -> Hint | None:
    """`optional required i32 a`: the second word is parsed as the type, and the type as the name."""
    words = ("optional", "required")
    if context.list == "field" and context.is_word(-1) and context.text(-4) in words and context.text(-3) in words:
        return Hint(
            message="a field must be either `required` or `optional`",
            help=f"write `{context.text(-4)} {context.text(-2)} {context.text(-1)}`",
            shown=(-4, -3),
            drop=4,
        )
    return None


def missing_name_or_type(context: ErrorContext) -> Hint | None:
    """Fields of one word."""
    if context.list != "field" or not context.is_word(-1) or "NAME" not in context.acceptable:
        return None
    if context.token.type not in ("COMMA", "SEMICOLON", "RBRACE", "RPAR", "EQUAL", "INT"):
        return None
    word = context.text(-1)
    if word in _BASE_TYPES:
        return Hint(help=f"write a name after the type: `{word} name`")
    return Hint(help=f"a field requires a type and a name: `i32 {word}`, or `{word} name`")


def member_value(context: ErrorContext) -> Hint | None:
    """`A: 1` in an enum."""
    if context.list == "member" and context.text(0) == ":" and context.is_word(-1):
        return Hint(
            message="the value of an enum member must be written with `=`",
            help="write `=`",
            fix="=",
            repair="replace",
            type="EQUAL",
        )
    return None


def missing_result(context: ErrorContext) -> Hint | None:
    """`name(...)` without a return type."""
    if context.list != "function":
        return None
    # Without a return type, the name is parsed as one, and the arguments as its annotations.
    if context.text(-1) == "(" and context.is_word(-2):
        offset = -2
        if context.text(-2) in ("throw", "raises", "raise"):
            return wrong_keyword(context.text(-2), "throws", shown=(-2, -2), repair=False)
    elif context.text(-1) == ")" and context.text(-2) == "(" and context.is_word(-3):
        offset = -3
    elif context.text(-2) == ")" and context.text(-3) == "(" and context.is_word(-4):
        offset = -4
    else:
        return None
    name = context.text(offset)
    return Hint(
        message=f"function `{name}` has no return type",
        help=f"write `void {name}(...)` if it returns nothing",
        shown=(offset, offset),
    )


def untyped_const(context: ErrorContext) -> Hint | None:
    """`const NAME = 1`."""
    if (
        context.text(0) == "="
        and context.text(-2) == "const"
        and context.is_word(-1)
        and context.text(-1) not in _BASE_TYPES
    ):
        return Hint(
            message=f"constant `{context.text(-1)}` has no type",
            help=f"write a type before the name: `const i32 {context.text(-1)} = ...`",
            shown=(-1, -1),
        )
    return None


# Symbols


def missing_symbol(context: ErrorContext) -> Hint | None:
    """A missing symbol where only this symbol is valid, and the found token can follow it."""
    if "MORETHAN" in context.acceptable and context.is_word(0) and context.is_word(-1):
        return Hint(repair="insert", type="MORETHAN", help="close the `<` before it with `>`")
    if len(context.acceptable) != 1:
        return None
    (symbol,) = context.acceptable
    if symbol == "EQUAL" and context.token.type in ("INT", "DOUBLE", "STRING"):
        return Hint(repair="insert", type="EQUAL", help="write `=` before the value")
    if symbol == "COMMA" and context.is_word(0):
        return Hint(repair="insert", type="COMMA", help="write a key type and a value type: `map<key, value>`")
    return None


def map_of_one(context: ErrorContext) -> Hint | None:
    """`map<string>`."""
    if context.text(0) == ">" and context.acceptable == frozenset({"COMMA"}):
        return Hint(message="`map` requires a key type and a value type", help="write `map<key, value>`")
    return None


def separator_too_many(context: ErrorContext) -> Hint | None:
    """`,,`, or another separator without an element before it."""
    if context.is_between and context.text(0) in (",", ";") and context.text(-1) in (",", ";", "{", "(", "}"):
        return Hint(message=f"extra `{context.text(0)}`", help="remove it", repair="skip", count=1)
    return None


def stray_bracket(context: ErrorContext) -> Hint | None:
    """A closing bracket at the top of the file."""
    if context.list == "item" and context.is_between and context.text(0) in ("}", ")", "]", ">"):
        return Hint(
            name="syntax.bracket", message=f"unmatched `{context.text(0)}`", help="remove it", repair="skip", count=1
        )
    return None


def stray_symbol_before_body(context: ErrorContext) -> Hint | None:
    """`struct A: {`."""
    if context.text(0) in (":", "=") and context.text(1) == "{" and "LBRACE" in context.acceptable:
        return Hint(message=f"unexpected `{context.text(0)}` before `{{`", help="remove it", repair="skip", count=1)
    return None
