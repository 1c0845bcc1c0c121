"""Hints about constructs of fbthrift, protobuf, and early versions of Thrift (2008).

Each function recognizes one construct; see `hints`.
"""

from __future__ import annotations

from idlc.syntax.error_context import ErrorContext, Hint, wrong_keyword

__all__ = [
    "fbthrift_function",
    "fbthrift_header",
    "old_header",
    "protobuf_field",
    "protobuf_rpc",
    "protobuf_top",
    "struct_literal",
    "structured_annotation",
]


def _fbthrift(message: str, shown: tuple[int, int], *, skip: int = 0, help: str = "") -> Hint:
    return Hint(
        name="syntax.unsupported",
        message=f"{message} of fbthrift and not supported",
        shown=shown,
        help=help,
        repair="skip" if skip else "",
        count=skip,
    )


def structured_annotation(context: ErrorContext) -> Hint | None:
    """`@scope.Name{...}` before a definition or a field."""
    if context.token.type != "@" or not context.is_word(1):
        return None
    count = 2
    if context.text(2) == "{":
        count = context.after_bracket(2)
    return _fbthrift("structured annotations are a feature", (0, 1), skip=count)


def fbthrift_header(context: ErrorContext) -> Hint | None:
    """`package`, `interaction`, and qualifiers of exceptions."""
    if context.list != "item" or not context.is_between:
        return None
    if context.text(0) == "package" and context.type(1) == "STRING":
        help = "write a `namespace` for every language instead"
        return _fbthrift("`package` is a feature", (0, 1), skip=2, help=help)
    if context.text(0) == "interaction" and context.is_word(1):
        return _fbthrift("interactions are a feature", (0, 1))
    if context.text(0) in ("safe", "transient", "permanent", "stateful", "client", "server"):
        ahead = next((offset for offset in (1, 2, 3) if context.text(offset) == "exception"), None)
        if ahead is not None:
            return _fbthrift("exception qualifiers are a feature", (0, ahead - 1), skip=ahead)
    return None


def fbthrift_function(context: ErrorContext) -> Hint | None:
    """`stream<...>`, `sink<...>`, `idempotent`, `readonly`, `performs`."""
    if context.list != "function":
        return None
    if context.text(-1) in ("stream", "sink") and context.text(0) == "<":
        return _fbthrift(f"`{context.text(-1)}<...>` is a feature", (-1, -1))
    if context.text(-2) in ("idempotent", "readonly"):
        help = 'write an annotation after the function: `(idempotent = "true")`'
        return _fbthrift(f"the qualifier `{context.text(-2)}` is a feature", (-2, -2), help=help)
    if context.text(-2) == "performs":
        return _fbthrift("`performs` is a feature", (-2, -2))
    return None


def struct_literal(context: ErrorContext) -> Hint | None:
    """`Name{field = value}` as a value."""
    if context.text(0) == "{" and context.type(-1) == "NAME" and context.text(-2) in ("=", ",", "[", ":"):
        help = 'write a map with the names of fields as keys: `{"name": value}`'
        hint = _fbthrift("struct literals with a type are a feature", (-1, -1), help=help)
        hint.drop = 1
        return hint
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


def old_header(context: ErrorContext) -> Hint | None:
    """Namespaces in the syntax before `namespace` was introduced."""
    scope = _OLD_NAMESPACES.get(context.text(0))
    if scope is None or context.list != "item" or not context.is_between:
        return None
    fix = f"namespace {scope} {context.text(1)}"
    return Hint(
        name="syntax.obsolete",
        message=f"`{context.text(0)}` is no longer part of Thrift",
        help=f"write `{fix}`",
        shown=(0, 1),
        fix=fix,
        repair="skip",
        count=2,
    )


def protobuf_top(context: ErrorContext) -> Hint | None:
    """`syntax`, `import`, `message` and other keywords of protobuf, and keywords of programming languages."""
    if context.list != "item" or not context.is_between:
        return None
    word = context.text(0)
    if word in ("syntax", "edition") and context.text(1) == "=":
        message = f"`{word} = {context.text(2)}` is protobuf syntax, but this is a Thrift file"
        return Hint(name="syntax.protobuf", message=message, shown=(0, 2), repair="skip", count=3)
    if word == "option" and context.is_word(1):
        return Hint(name="syntax.protobuf", message="`option` is protobuf syntax", help="remove this line")
    if word == "package" and context.text(1) in (";", "{", ""):
        return Hint(message="`package` has no name", help="write `namespace * NAME` instead of `package NAME;`")
    keywords = {"import": "include", "message": "struct", "record": "struct", "class": "struct", "interface": "service"}
    keyword = keywords.get(word)
    if keyword is not None and (context.is_word(1) or context.type(1) == "STRING"):
        return wrong_keyword(word, keyword)
    return None


def protobuf_field(context: ErrorContext) -> Hint | None:
    """`repeated type name = 1`."""
    if context.list != "field":
        return None
    for offset in (-3, -2, -1):
        if context.text(offset) == "repeated" and context.is_word(offset + 1):
            type_, name = context.text(offset + 1), context.text(offset + 2) if context.is_word(offset + 2) else "name"
            return Hint(
                name="syntax.protobuf",
                message="`repeated` is protobuf syntax",
                help=f"write `list<{type_}> {name}`",
                shown=(offset, offset),
                drop=-offset,
            )
    return None


def protobuf_rpc(context: ErrorContext) -> Hint | None:
    """`rpc Name(Request) returns (Response)`."""
    for offset in range(0, -6, -1):
        if context.text(offset) == "rpc" and context.is_word(offset + 1):
            return Hint(
                name="syntax.protobuf",
                message="`rpc` is protobuf syntax",
                help="write a function as `Result name(1: Request request)`",
                shown=(offset, offset),
                drop=-offset,
            )
    return None
