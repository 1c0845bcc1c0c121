"""Turn names of the IDL into valid Python names.

One rule: a name that is taken gets an underscore behind it (`from` → `from_`); the name on the wire stays.
Leading underscores mean "private" to Python and its type checkers, so they become one at the end
(`_id` → `id_`). A name that starts with a digit gets an `n` in front. Taken are:

- everywhere: keywords, the builtins that annotations use, and the names that every stub uses itself;
- in a class: what its base class uses, and the types that the class's own annotations mention, because a
  member called like its type would hide it from the annotations that follow.

The lists are written out, so that the same IDL gives the same names with every version of Python.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set as AbstractSet

__all__ = [
    "CLIENT_NAMES",
    "ENUM_NAMES",
    "EXCEPTION_NAMES",
    "constant_name",
    "is_taken",
    "is_top_level_taken",
    "member_name",
    "module_file_name",
    "package_part",
    "snake_case",
    "top_level_name",
    "words",
]


def words(text: str) -> frozenset[str]:
    """Split a text into a set of words."""
    return frozenset(text.split())


KEYWORDS = words(
    "False None True and as assert async await break class continue def del elif else except finally for from "
    "global if import in is lambda nonlocal not or pass raise return try while with yield"
)
BUILTINS = words("bool bytes dict float frozenset int list set str tuple")
STUB_NAMES = words("Final Protocol TYPE_CHECKING TypeAlias annotations rpc")
PACKAGE_NAMES = frozenset({"TYPE_CHECKING"})

CLIENT_NAMES = frozenset({"close", "connect", "using"})
EXCEPTION_NAMES = frozenset({"add_note", "args", "with_traceback"})
ENUM_NAMES = words(
    "as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag is_integer is_known mro name "
    "numerator real to_bytes value"
)

_MEMBER = KEYWORDS | BUILTINS | {"rpc", "self"}
_TOP_LEVEL = KEYWORDS | BUILTINS | STUB_NAMES


def member_name(name: str, taken: AbstractSet[str] = frozenset()) -> str:
    """Return the name of a field, enum member, method or parameter. `taken` names are reserved in its class."""
    return _free(name, _MEMBER | taken)


def is_taken(name: str, taken: AbstractSet[str] = frozenset()) -> bool:
    """Whether `name` is reserved for members. `taken` names are reserved in the class."""
    return name in _MEMBER or name in taken


def top_level_name(name: str) -> str:
    """Return the name of a type, constant or service."""
    return _free(name, _TOP_LEVEL)


def is_top_level_taken(name: str) -> bool:
    """Whether `name` is reserved at the top level of a module."""
    return name in _TOP_LEVEL


def _free(name: str, taken: AbstractSet[str]) -> str:
    if name.startswith("_"):
        name = name.strip("_")
        name = name + "_" if name and not name[0].isdigit() else f"n{name}_"
    while name in taken:
        name += "_"
    return name


def package_part(name: str) -> str:
    """One part of a namespace as a package name."""
    name = _identifier(name)
    if not name.isidentifier() and name not in KEYWORDS:
        name = "_" + name
    return name + "_" if name in KEYWORDS else name


def module_file_name(stem: str) -> str:
    """The name of the module of an IDL file: `a-b.thrift` → `a_b`, `class.thrift` → `class_`, `2fa.thrift` → `n2fa`."""
    name = _identifier(stem)
    if name and not name.isidentifier():
        name = _identifier("n" + name)
    return _free(name, KEYWORDS | PACKAGE_NAMES)


def _identifier(text: str) -> str:
    """Text of characters that identifiers may have, in the form that Python compares them in (NFKC).

    `import` looks for a file with the name in that form, whatever the form in the source is.
    """
    return "".join(c if f"a{c}".isidentifier() else "_" for c in unicodedata.normalize("NFKC", text))


def snake_case(name: str) -> str:
    """`UserService` → `user_service`, `HTTPServer2` → `http_server2`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return name.lower()


def constant_name(name: str) -> str:
    """`getUser` → `GET_USER`."""
    return snake_case(name).upper()
