"""Keys of conditions and sticky rules: attributes of calls, callers and instances.

Readers return text, empty for missing values. They never raise, because a rule is compiled before it is known which
methods it will be applied to.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, cast

from idlrt.core import Call, Instance
from idlrt.errors import ConfigurationError
from idlrt.route.base import CallerInfo
from idlrt.spec import Method

__all__ = [
    "CALLER",
    "SIDES",
    "Number",
    "Side",
    "caller_values",
    "check_key",
    "instance_reader",
    "is_key",
    "known_keys",
    "method_reader",
    "request_reader",
    "unknown_key",
]

CALLER: Final = "caller."


class Side(enum.StrEnum):
    """Subject of a condition."""

    CALL = "calls"
    INSTANCE = "instances"


_CALLER_KEYS: Final = ("caller.id", "caller.app", "caller.version", "caller.zone", "caller.host", "caller.labels.NAME")
SIDES: Final[Mapping[str, tuple[str, ...]]] = {
    "calls": (
        "service", "method", "argument.NAME[.FIELD...]", "argument.0[.FIELD...]", "metadata.NAME", "tag", "tags.NAME",
        *_CALLER_KEYS,
    ),
    "caller": _CALLER_KEYS,
    "instances": (
        "id", "host", "port", "address", "zone", "version", "group", "tags.NAME", "metadata.NAME", "routing.NAME",
    ),
}  # fmt: skip
"""Keys by subject, as shown in messages."""

_ENDS_IN_NAME: Final = {
    "calls": ("argument.", "metadata.", "tags.", "caller.labels."),
    "caller": ("caller.labels.",),
    "instances": ("tags.", "metadata.", "routing."),
}
_MOST_METHODS: Final = 10_000


class Number(str):
    """Name of an enum value that also matches by number."""

    __slots__ = ("number",)

    def __new__(cls, name: str, number: int) -> Number:
        """Create the text `name` with a number."""
        made = super().__new__(cls, name)
        made.number = str(number)
        return made

    number: str


def is_key(key: str, side: str) -> bool:
    """Whether `key` is a key of `side` (a key of `SIDES`)."""
    if key in SIDES[side] and "NAME" not in key:
        return True
    return any(key.startswith(head) and "" not in key.split(".") for head in _ENDS_IN_NAME[side])


def known_keys(side: Side) -> str:
    """Return the known keys, for messages."""
    return f"known for {side}: {', '.join(SIDES[side])}"


def unknown_key(key: str, side: Side) -> str:
    """Return the error message for an unknown key, with a suggestion."""
    other = Side.CALL if side is Side.INSTANCE else Side.INSTANCE
    if key.startswith(CALLER) and is_key(key, Side.CALL):
        return f"{key!r} is a key of the caller, but the condition is on instances; use '${key}' as a value instead"
    if is_key(key, other):
        return f"{key!r} is a key of {other}, but the condition is on {side}; {known_keys(side)}"
    head = key.split(".")[0]
    near = difflib.get_close_matches(key, SIDES[side], n=1) or [
        name for name in SIDES[side] if difflib.get_close_matches(head, [name.split(".")[0]], n=1)
    ]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown key {key!r}; {known_keys(side)}{hint}"


def check_key(key: str, side: Side) -> None:
    """Check that `key` is a key of `side`.

    Raises:
        ConfigurationError: it is not.
    """
    if not is_key(key, side):
        raise ConfigurationError(unknown_key(key, side))


def caller_values(key: str, caller: CallerInfo) -> Sequence[str]:
    """Return the values of a caller key such as `caller.zone`; a host has several."""
    name = key.removeprefix(CALLER)
    if name == "host":
        return (caller.host, *caller.addresses)
    if name.startswith("labels."):
        return (caller.labels.get(name.removeprefix("labels."), ""),)
    return (getattr(caller, name),)


def request_reader(key: str) -> Callable[[Call], str]:
    """Return a function that reads `key` from calls. For keys of the caller, see `caller_values`."""
    head, _, name = key.partition(".")
    if head == "service":
        return attrgetter("method.service")
    if head == "method":
        return attrgetter("method.name")
    if head == "tag":
        return attrgetter("tag")
    if head == "tags":
        return lambda call: _business_tag(call, name)
    if head == "metadata":
        return lambda call: call.metadata.get(name, "")
    return _argument(name.split("."))


def method_reader(key: str) -> Callable[[Method[..., Any]], str] | None:
    """Return a function that reads `key` from methods; `None` if it depends on more than the method of a call."""
    return _METHOD_READERS.get(key)


_METHOD_READERS: Final[Mapping[str, Callable[[Method[..., Any]], str]]] = {
    "service": attrgetter("service"),
    "method": attrgetter("name"),
}


def instance_reader(key: str) -> Callable[[Instance], str]:
    """Return a function that reads `key` from instances."""
    head, _, name = key.partition(".")
    if head == "port":
        return lambda instance: str(instance.port)
    if not name:
        return attrgetter(head)
    return lambda instance: getattr(instance, head).get(name, "")


def _business_tag(call: Call, name: str) -> str:
    """Return a business tag of the trace (`idlrt.observe.put`), or one for the next hop; empty without tracing."""
    trace = call.trace
    return "" if trace is None else trace.tags.get(name) or trace.once.get(name, "")


def _argument(path: Sequence[str]) -> Callable[[Call], str]:
    name, rest = path[0], path[1:]
    # Index of the argument by method; -1 if there is none of that name.
    places: dict[Method[..., Any], int] = {}

    def read(call: Call) -> str:
        place = places.get(call.method)
        if place is None:
            if len(places) >= _MOST_METHODS:
                places.clear()
            place = places[call.method] = _place(call.method, name)
        if not 0 <= place < len(call.arguments):
            return ""
        value = call.arguments[place]
        for step in rest:
            value = _inside(value, step)
        return value if type(value) is str else _text(value)

    return read


def _place(method: Method[..., Any], name: str) -> int:
    for place, field in enumerate(method.arguments):
        if name in (field.name, field.attribute):
            return place
    return int(name) if name.isascii() and name.isdecimal() and len(name) < 6 else -1


def _inside(value: Any, name: str) -> Any:
    """Return a field of a struct, a value of a map or an element of a list; `None` if there is none."""
    # From the class; only structs have it.
    fields: Iterable[Any] = getattr(value, "__thrift_fields__", ())
    for field in fields:
        if name in (field.name, field.attribute):
            return getattr(value, field.attribute, None)
    if isinstance(value, Mapping):
        by: Mapping[Any, Any] = cast("Any", value)
        return by[name] if name in by else by.get(int(name)) if _is_number(name) else None
    if isinstance(value, list | tuple) and _is_number(name):
        items: Sequence[Any] = cast("Any", value)
        return items[int(name)] if int(name) < len(items) else None
    return None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 20


def _text(value: Any) -> str:
    """Return the text form of a value, as in rules; empty for values without one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, enum.IntEnum):
        return Number(value.name, int(value))
    if isinstance(value, int):
        # Python refuses to convert huge integers to text.
        return str(value) if value.bit_length() <= 128 else ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    # A UUID is the only other scalar.
    return str(value) if type(value).__name__ == "UUID" else ""
