"""Common mistakes: what to say about them, and how to read on as if they had not been made.

Each function knows one mistake and looks at the place where the parser could not go on. The first one that recognises
something wins; without any, the message says what was expected and what was found.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from idlc.source import SourceFile
from idlc.syntax.lexer import END, Token

__all__ = ["Hint", "Place", "find_hint"]


class Place(msgspec.Struct):
    """Where the parser is stuck.

    Attributes:
        tokens: all tokens of the file.
        index: of the one that does not fit.
        list: which list it is in: `item` (top level), `member`, `function`, or `field`.
        opener: the bracket that list began with: `{`, `(`, or empty at top level.
        is_between: whether a new element of that list was expected.
        acceptable: types of the tokens that would have fitted.
    """

    source: SourceFile
    tokens: Sequence[Token]
    index: int
    list: str
    opener: str
    is_between: bool
    acceptable: frozenset[str]

    @property
    def token(self) -> Token:
        """The token that does not fit."""
        return self.tokens[self.index]

    def text(self, offset: int) -> str:
        """The text of a token near by, empty outside of the file."""
        index = self.index + offset
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def type(self, offset: int) -> str:
        """The type of a token near by."""
        index = self.index + offset
        return self.tokens[index].type if 0 <= index < len(self.tokens) else END

    def is_word(self, offset: int) -> bool:
        """Whether a token near by could be a name."""
        return self.type(offset) != "STRING" and self.text(offset)[:1].isidentifier()


class Hint(msgspec.Struct, kw_only=True):
    """What to say, and how to go on.

    Attributes:
        message: empty for "expected ..., found ...".
        shown: offsets, relative to the token, of the first and the last token to underline.
        fix: what to write instead of the underlined tokens, empty if that is not known.
        repair: `replace` reads the token as one of type `type`; `insert` puts one before it; `skip` leaves out `count`
            tokens; empty gives the whole element up.
        drop: how many tokens before the token belong to the mistake: elements made of them are taken back.
    """

    name: str = "syntax.unexpected"
    message: str = ""
    help: str = ""
    shown: tuple[int, int] = (0, 0)
    fix: str = ""
    repair: Literal["", "replace", "insert", "skip"] = ""
    type: str = ""
    count: int = 0
    drop: int = 0


def find_hint(place: Place) -> Hint | None:
    """What is known about the mistake at `place`."""
    for recognise in _MISTAKES:
        hint = recognise(place)
        if hint is not None:
            return hint
    return None


# Other dialects


def _fbthrift(message: str, **details: object) -> Hint:
    hint = Hint(name="syntax.unsupported", message=f"{message} of fbthrift and not supported")
    return msgspec.structs.replace(hint, **details)


def _structured_annotation(place: Place) -> Hint | None:
    if place.token.type != "@" or not place.is_word(1):
        return None
    count = 2
    if place.text(2) == "{":
        count = _balanced(place, 2)
    return _fbthrift("structured annotations are a feature", shown=(0, 1), repair="skip", count=count)


def _fbthrift_header(place: Place) -> Hint | None:
    if place.list != "item" or not place.is_between:
        return None
    if place.text(0) == "package" and place.type(1) == "STRING":
        help = "write a `namespace` for every language instead"
        return _fbthrift("`package` is a feature", shown=(0, 1), repair="skip", count=2, help=help)
    if place.text(0) == "interaction" and place.is_word(1):
        return _fbthrift("interactions are a feature", shown=(0, 1))
    if place.text(0) in ("safe", "transient", "permanent", "stateful", "client", "server"):
        ahead = next((offset for offset in (1, 2, 3) if place.text(offset) == "exception"), None)
        if ahead is not None:
            return _fbthrift("exception qualifiers are a feature", shown=(0, ahead - 1), repair="skip", count=ahead)
    return None


def _fbthrift_function(place: Place) -> Hint | None:
    if place.list != "function":
        return None
    if place.text(-1) in ("stream", "sink") and place.text(0) == "<":
        return _fbthrift(f"`{place.text(-1)}<...>` is a feature", shown=(-1, -1))
    if place.text(-2) in ("idempotent", "readonly"):
        help = 'write an annotation after the function: `(idempotent = "true")`'
        return _fbthrift(f"the qualifier `{place.text(-2)}` is a feature", shown=(-2, -2), help=help)
    if place.text(-2) == "performs":
        return _fbthrift("`performs` is a feature", shown=(-2, -2))
    return None


def _struct_literal(place: Place) -> Hint | None:
    if place.text(0) == "{" and place.type(-1) == "NAME" and place.text(-2) in ("=", ",", "[", ":"):
        help = 'write a map from the names of the fields: `{"name": value}`'
        return _fbthrift("struct literals with a type are a feature", shown=(-1, -1), help=help)
    return None


_OLD_NAMESPACES = {
    "cpp_namespace": "cpp",
    "java_package": "java",
    "py_module": "py",
    "php_namespace": "php",
    "perl_package": "perl",
    "ruby_namespace": "rb",
    "cocoa_prefix": "cocoa",
    "csharp_namespace": "csharp",
    "delphi_namespace": "delphi",
    "smalltalk_category": "smalltalk.category",
    "smalltalk_prefix": "smalltalk.prefix",
    "xsd_namespace": "xsd",
}


def _old_header(place: Place) -> Hint | None:
    scope = _OLD_NAMESPACES.get(place.text(0))
    if scope is None or place.list != "item" or not place.is_between:
        return None
    fix = f"namespace {scope} {place.text(1)}"
    return Hint(
        name="syntax.obsolete",
        message=f"`{place.text(0)}` is no longer part of Thrift",
        help=f"write `{fix}`",
        shown=(0, 1),
        fix=fix,
        repair="skip",
        count=2,
    )


def _protobuf_top(place: Place) -> Hint | None:
    if place.list != "item" or not place.is_between:
        return None
    word = place.text(0)
    if word in ("syntax", "edition") and place.text(1) == "=":
        message = f"`{word} = {place.text(2)}` is protobuf's, this is a Thrift file"
        return Hint(name="syntax.protobuf", message=message, shown=(0, 2), repair="skip", count=3)
    if word == "option" and place.is_word(1):
        return Hint(name="syntax.protobuf", message="`option` is protobuf's", help="remove this line")
    wanted = {"import": "include", "message": "struct", "record": "struct", "class": "struct", "interface": "service"}
    ours = wanted.get(word)
    if ours is not None and (place.is_word(1) or place.type(1) == "STRING"):
        return _instead(word, ours)
    return None


def _protobuf_field(place: Place) -> Hint | None:
    if place.list != "field":
        return None
    for offset in (-3, -2, -1):
        if place.text(offset) == "repeated" and place.is_word(offset + 1):
            type_, name = place.text(offset + 1), place.text(offset + 2) if place.is_word(offset + 2) else "name"
            return Hint(
                name="syntax.protobuf",
                message="`repeated` is protobuf's",
                help=f"write `list<{type_}> {name}`",
                shown=(offset, offset),
                drop=-offset,
            )
    return None


def _protobuf_rpc(place: Place) -> Hint | None:
    for offset in range(0, -6, -1):
        if place.text(offset) == "rpc" and place.is_word(offset + 1):
            return Hint(
                name="syntax.protobuf",
                message="`rpc` is protobuf's",
                help="a function is written `Result name(1: Request request)`",
                shown=(offset, offset),
                drop=-offset,
            )
    return None


# Words


def _instead(word: str, ours: str, **details: object) -> Hint:
    hint = Hint(message=f"`{word}` is not a keyword", help=f"write `{ours}`", fix=ours, repair="replace", type=ours.upper())
    return msgspec.structs.replace(hint, **details)


_BASE_TYPES = ("bool", "byte", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid")
_TOP_KEYWORDS = ("struct", "union", "exception", "enum", "service", "typedef", "const", "include", "namespace")


def _mistyped_definition(place: Place) -> Hint | None:
    if place.list != "item" or not place.is_between or place.type(0) != "NAME":
        return None
    if not (place.is_word(1) or place.type(1) in ("STRING", "STAR")):
        return None
    near = difflib.get_close_matches(place.text(0).lower(), _TOP_KEYWORDS, n=1, cutoff=0.7)
    if not near:
        return None
    return _instead(place.text(0), near[0], help=f"did you mean `{near[0]}`?")


def _mistyped_clause(place: Place) -> Hint | None:
    word = place.text(0)
    if "EXTENDS" in place.acceptable and (word in ("extend", "inherits", "implements") or word == ":"):
        if place.is_word(1):
            return _instead(word, "extends")
    elif "THROWS" in place.acceptable and word in ("throw", "raises", "raise", "thows", "trows", "exceptions"):
        if place.text(1) == "(":
            return _instead(word, "throws")
    elif "THROWS" in place.acceptable and place.text(-1) in ("throw", "raises", "raise") and word == "(":
        return _instead(place.text(-1), "throws", shown=(-1, -1), repair="", type="")
    return None


def _inheritance(place: Place) -> Hint | None:
    if place.text(0) == "extends" and place.text(-2) in ("struct", "union", "exception", "enum"):
        return Hint(
            message=f"{place.text(-2)}s cannot extend one another",
            help=f"put a field of type `{place.text(1)}` into it",
            shown=(0, 1),
            repair="skip",
            count=2,
        )
    return None


def _hyphen(place: Place) -> Hint | None:
    if place.type(0) != "HYPHENATED" or "NAME" not in place.acceptable:
        return None
    fix = place.text(0).replace("-", "_")
    return Hint(
        name="syntax.name", message="a name cannot have a `-`", help=f"write `{fix}`", fix=fix, repair="replace", type="NAME"
    )


def _unquoted_include(place: Place) -> Hint | None:
    if place.text(-1) == "include" and "STRING" in place.acceptable and place.is_word(0):
        fix = f'"{place.text(0)}"'
        return Hint(
            message="the path of an include is written in quotes",
            help=f"write `include {fix}`",
            fix=fix,
            repair="replace",
            type="STRING",
        )
    return None


# Fields, members, functions


def _missing_colon(place: Place) -> Hint | None:
    if place.list == "field" and place.type(-1) == "INT" and "COLON" in place.acceptable and len(place.acceptable) == 1:
        if place.is_word(0):
            return Hint(
                message=f"missing `:` after field id {place.text(-1)}", help=f"write `{place.text(-1)}:`", repair="insert", type="COLON"
            )
        if place.text(0) in ("=", ".", ")"):
            message = f"a field id is followed by `:`, not by `{place.text(0)}`"
            return Hint(message=message, help=f"write `{place.text(-1)}:`", fix=":", repair="replace", type="COLON")
    return None


def _name_before_type(place: Place) -> Hint | None:
    if place.list == "field" and place.text(0) == ":" and place.is_word(-1) and place.is_word(1):
        fix = f"{place.text(1)} {place.text(-1)}"
        return Hint(
            message="the type of a field comes before its name",
            help=f"write `{fix}`",
            shown=(-1, 1),
            fix=fix,
            repair="",
        )
    return None


def _missing_name_or_type(place: Place) -> Hint | None:
    if place.list != "field" or not place.is_word(-1) or "NAME" not in place.acceptable:
        return None
    if place.token.type not in ("COMMA", "SEMICOLON", "RBRACE", "RPAR", "EQUAL", "INT"):
        return None
    word = place.text(-1)
    if word in _BASE_TYPES:
        return Hint(help=f"write a name after the type: `{word} name`")
    return Hint(help=f"a field has a type and a name: `i32 {word}`, or `{word} name`")


def _member_value(place: Place) -> Hint | None:
    if place.list == "member" and place.text(0) == ":" and place.is_word(-1):
        return Hint(
            message="the number of an enum member is written with `=`", help="write `=`", fix="=", repair="replace", type="EQUAL"
        )
    return None


def _missing_result(place: Place) -> Hint | None:
    if place.list != "function":
        return None
    # Without a type, the name is taken for one, and the arguments for its annotations.
    if place.text(-1) == "(" and place.is_word(-2):
        offset = -2
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


def _untyped_const(place: Place) -> Hint | None:
    if place.text(0) == "=" and place.text(-2) == "const" and place.is_word(-1):
        return Hint(
            message=f"constant `{place.text(-1)}` has no type",
            help=f"write its type before its name: `const i32 {place.text(-1)} = ...`",
            shown=(-1, -1),
        )
    return None


# Symbols


def _missing_symbol(place: Place) -> Hint | None:
    if "MORETHAN" in place.acceptable and place.is_word(0) and place.is_word(-1):
        return Hint(repair="insert", type="MORETHAN", help="close the `<` before it with `>`")
    if len(place.acceptable) != 1:
        return None
    (wanted,) = place.acceptable
    if wanted == "EQUAL" and place.token.type in ("INT", "DOUBLE", "STRING"):
        return Hint(repair="insert", type="EQUAL", help="write `=` before the value")
    if wanted == "COMMA" and place.is_word(0):
        return Hint(repair="insert", type="COMMA", help="a map has two types: `map<key, value>`")
    return None


def _map_of_one(place: Place) -> Hint | None:
    if place.text(0) == ">" and place.acceptable == {"COMMA"}:
        return Hint(message="a map has two types", help="write `map<key, value>`")
    return None


def _separator_too_many(place: Place) -> Hint | None:
    if place.is_between and place.text(0) in (",", ";") and place.text(-1) in (",", ";", "{", "(", "}"):
        return Hint(message=f"one `{place.text(0)}` too many", help="remove it", repair="skip", count=1)
    return None


def _stray_bracket(place: Place) -> Hint | None:
    if place.list == "item" and place.is_between and place.text(0) in ("}", ")", "]", ">"):
        return Hint(
            name="syntax.bracket", message=f"`{place.text(0)}` closes nothing", help="remove it", repair="skip", count=1
        )
    return None


def _stray_symbol_before_body(place: Place) -> Hint | None:
    if place.text(0) in (":", "=") and place.text(1) == "{" and "LBRACE" in place.acceptable:
        return Hint(message=f"no `{place.text(0)}` goes before `{{`", help="remove it", repair="skip", count=1)
    return None


def _balanced(place: Place, offset: int) -> int:
    """The offset just after the bracket that closes the one at `offset`; a definition ends the search."""
    depth = 0
    while place.type(offset) != END:
        text = place.text(offset)
        if place.type(offset) != "STRING":
            depth += (text in ("{", "(", "[")) - (text in ("}", ")", "]"))
        offset += 1
        if depth <= 0:
            break
    return offset


_MISTAKES: tuple[Callable[[Place], Hint | None], ...] = (
    _structured_annotation,
    _fbthrift_header,
    _fbthrift_function,
    _struct_literal,
    _old_header,
    _protobuf_top,
    _protobuf_field,
    _protobuf_rpc,
    _inheritance,
    _mistyped_clause,
    _mistyped_definition,
    _hyphen,
    _unquoted_include,
    _missing_colon,
    _name_before_type,
    _member_value,
    _missing_result,
    _untyped_const,
    _map_of_one,
    _missing_symbol,
    _missing_name_or_type,
    _separator_too_many,
    _stray_bracket,
    _stray_symbol_before_body,
)
