"""Which keys there are, and what they may be.

Everything is one table of dotted keys: `retries`, `backoff.base`, `hedge.delay`, `methods.get.timeout`, `routes`. In a
file they are nested tables, in a registry the settings of a service, as text. The types say what is allowed and what it
means (their docstrings are the documentation), and plugins bring their own: a table with the name of a fault mode, a
guard or a balancer holds the settings of that.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from idlrt.balance import BALANCERS
from idlrt.core import Backoff, CallPolicy, Chance, Fraction, Seconds
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS

__all__ = [
    "Problem",
    "Section",
    "ServicePolicy",
    "check",
    "convert",
    "fields",
    "flatten",
    "near",
    "nested",
    "parsed",
    "place",
    "section",
    "sections",
    "switch",
    "worded",
    "wrong",
]

# The top of the table, and what stands there for services only.
CALL: Final = ""
SERVICE: Final = "service"
METHODS: Final = "methods"
# Keys that the history of a service's settings is kept under; nothing that holds for calls.
BOOKKEEPING: Final = "config."


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a service as a whole."""

    routes: Annotated[
        list[Any], Meta(description="routing rules, which narrow the choice of instances (`idlrt.routers`).")
    ] = []
    warm_up: Annotated[
        Seconds, Meta(description="time in which a new instance ramps up to its full share of calls; 0 disables.")
    ] = 0.0
    panic: Annotated[
        Fraction,
        Meta(description="panic threshold: if a smaller fraction of the instances is healthy, all of them are called."),
    ] = 0.5
    tolerated: Annotated[
        int, Meta(ge=1, description="consecutive failures that mark an instance unhealthy until it responds to a ping.")
    ] = 3


class Section(msgspec.Struct, frozen=True):
    """A table of settings.

    Attributes:
        name: of the table; empty for the top.
        settings: what it holds.
        kind: what it belongs to, for people.
        is_per_method: whether it may be said of one method.
    """

    name: str
    settings: type[msgspec.Struct]
    kind: str
    is_per_method: bool = True


class Problem(msgspec.Struct, frozen=True):
    """Something wrong in a configuration.

    Attributes:
        key: where.
        why: what is wrong, and what could be done.
    """

    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"


@cache
def _own() -> Mapping[str, Section]:
    from idlrt.guard.breaker import CircuitBreaker
    from idlrt.guard.outlier import OutlierDetector
    from idlrt.guard.retry_budget import RetryBudget

    own = (
        Section(CALL, CallPolicy, "calls"),
        Section(SERVICE, ServicePolicy, "services", is_per_method=False),
        Section("backoff", Backoff, "pauses before retries"),
        Section("budget", RetryBudget.Settings, "budget for retries", is_per_method=False),
        Section("ejection", OutlierDetector.Settings, "ejection of outliers", is_per_method=False),
        Section("instance_breaker", CircuitBreaker.Settings, "circuit breaker of each instance", is_per_method=False),
    )
    return {each.name: each for each in own}


_PLUGINS: Final = (("fault mode", FAULT_MODES), ("guard", GUARDS), ("balancer", BALANCERS))


@cache
def section(name: str) -> Section | None:
    """The table called `name`; `None` if there is none. Loads the plugin that it belongs to."""
    own = _own().get(name)
    if own is not None:
        return own
    for kind, plugins in _PLUGINS:
        if name in plugins.names():
            settings: Any = getattr(plugins.get(name), "Settings", None)
            return Section(name, settings, kind) if settings is not None else None
    return None


def sections() -> list[Section]:
    """All tables: ours, then those of plugins."""
    names = [*_own(), *(name for _, plugins in _PLUGINS for name in plugins.names())]
    return [found for name in names if (found := section(name)) is not None and found.settings.__struct_fields__]


def fields(section: Section) -> tuple[str, ...]:
    """The keys of a table. (`backoff` is a table of its own.)"""
    return tuple(name for name in section.settings.__struct_fields__ if section.name or name != "backoff")


def place(key: str) -> tuple[str, str, str]:
    """Method, table and field of a dotted key; the method is empty for what holds for all.

    Raises:
        KeyError: there is no such key; what it could be is in the text.
    """
    method, rest = "", key
    if key.startswith(METHODS + "."):
        _, method, rest = _split_method(key)
    name, dot, field = rest.partition(".")
    if not dot:
        if rest == METHODS:
            raise KeyError("it is a table: set methods.NAME.KEY, as in methods.get.timeout")
        for top in (CALL, SERVICE):
            own = _own()[top]
            if rest in fields(own):
                if method and not own.is_per_method:
                    raise KeyError(f"{rest} holds for a service as a whole, not for one method")
                return method, top, rest
        table = section(name) if name not in (CALL, SERVICE) else None
        if table is not None and table.settings.__struct_fields__:
            raise KeyError(f"{name} is a table: set one of {_names(table)}")
        if table is not None:
            raise KeyError(f"nothing can be set of {name}")
        raise KeyError(f"there is no such key{near(rest, _top_names())}")
    found = section(name) if name not in (CALL, SERVICE) else None
    if found is None:
        raise KeyError(f"there is no table {name!r}{near(name, [each.name for each in sections() if each.name])}")
    if method and not found.is_per_method:
        raise KeyError(f"{name} holds for a service as a whole, not for one method")
    if field == "enabled" and found.kind == "guard":
        return method, name, field
    if field not in fields(found):
        if not fields(found):
            raise KeyError(f"nothing can be set of {name}")
        raise KeyError(f"{name} has no {field!r}{near(field, _fields_and_switch(found))}")
    return method, name, field


def _split_method(key: str) -> tuple[str, str, str]:
    _, name, rest = [*key.split(".", 2), "", ""][:3]
    if not name or not rest:
        raise KeyError("it must be methods.NAME.KEY, as in methods.get.timeout")
    return METHODS, name, rest


def _top_names() -> list[str]:
    own = _own()
    return [*fields(own[CALL]), *fields(own[SERVICE]), *(each.name for each in sections() if each.name)]


def _names(table: Section) -> str:
    return ", ".join(f"{table.name}.{name}" for name in _fields_and_switch(table))


def _fields_and_switch(table: Section) -> list[str]:
    return [*fields(table), *(["enabled"] if table.kind == "guard" else [])]


def near(name: str, known: Sequence[str]) -> str:
    """What could have been meant, to be put behind what is wrong."""
    known = [each for each in known if each != SERVICE]
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of nested tables. What is nested below a table's field stays as it is.

    A guard's table that is empty says that the guard stands: `enabled`. Other tables that are empty say nothing.
    """
    flat: dict[str, Any] = {}
    depth = prefix.count(".") - (2 if prefix.startswith(METHODS + ".") else 0)
    for key, value in nested.items():
        dotted = prefix + str(key)
        if isinstance(value, Mapping) and (depth < 1 or (dotted.count(".") < 2 and dotted.startswith(METHODS))):
            flat.update(flatten(cast("Mapping[str, Any]", value), dotted + ".") if value else _empty(dotted))
        else:
            flat[dotted] = value
    return flat


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return checked values by table and field."""
    own = _own()
    call, service = fields(own[CALL]), fields(own[SERVICE])
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        name, dot, field = key.partition(".")
        if dot:
            tables.setdefault(name, {})[field] = value
        elif key in call:
            tables.setdefault(CALL, {})[key] = value
        elif key in service:
            tables.setdefault(SERVICE, {})[key] = value
    return tables


def _empty(dotted: str) -> dict[str, Any]:
    """What a table says that is empty; if it cannot be one, it is there to be complained of."""
    name = dotted
    if dotted.startswith(METHODS + "."):
        name = dotted.split(".", 2)[-1] if dotted.count(".") > 1 else METHODS
    if name == METHODS:
        return {}
    found = section(name) if name not in (CALL, SERVICE) else None
    if found is None:
        return {dotted: {}}
    return {f"{dotted}.enabled": True} if found.kind == "guard" else {}


def parsed(value: Any) -> Any:
    """A value as it is, or as its text in a registry says."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"{value[:60]!r} is not JSON: {error}") from error
        except RecursionError:
            raise ConfigurationError(f"{value[:60]!r} is nested too deep") from None
    return value


def convert(section: Section, values: Mapping[str, Any]) -> Any:
    """The settings that `values` make.

    Raises:
        msgspec.ValidationError: they do not.
    """
    given = {name: value for name, value in values.items() if name in section.settings.__struct_fields__}
    return msgspec.convert(given, section.settings, strict=False)


def check(flat: Mapping[str, Any]) -> list[Problem]:
    """All that is wrong in a table of dotted keys; nothing if it holds.

    Each key is looked at alone, so that one mistake does not hide another.
    """
    return list(_problems(flat))


def _problems(flat: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in flat.items():
        if key.startswith(BOOKKEEPING):
            continue
        try:
            _, name, field = place(key)
        except KeyError as error:
            yield Problem(key, str(error.args[0]))
            continue
        found = section(name)
        assert found is not None  # `place` has found it
        if field == "enabled":
            if switch(value) is None:
                yield Problem(key, f"it must be true or false, not {value!r}")
            continue
        try:
            given = parsed(value)
            converted = convert(found, {field: given})
        except msgspec.ValidationError as error:
            yield Problem(*worded(key, field, str(error), value))
        except ConfigurationError as error:
            yield Problem(key, str(error))
        else:
            made: Any = getattr(converted, field)
            if isinstance(made, int | float) and not abs(made) <= _LARGEST:
                yield Problem(key, f"it must be at most {_LARGEST:g}, not {value!r}")
                continue
            yield from _meaning(key, name, field, made)
            yield from _making(key, found, converted)


def switch(value: Any) -> bool | None:
    """Whether something is on, as `enabled` says; `None`: it says nothing that can be understood."""
    try:
        return msgspec.convert(value, bool, strict=False)
    except msgspec.ValidationError:
        return None


def _making(key: str, found: Section, settings: Any) -> Iterator[Problem]:
    """What a guard or a fault mode itself says of its settings."""
    try:
        if found.kind == "guard":
            GUARDS.make(found.name, settings, Chance())
        elif found.kind == "fault mode":
            FAULT_MODES.make(found.name, settings, Chance()).close()
    except ConfigurationError as error:
        yield Problem(key, str(error))


def _meaning(key: str, table: str, field: str, value: Any) -> Iterator[Problem]:
    """What types cannot say: names of plugins, and rules."""
    if table == CALL and field in ("balancer", "fault"):
        plugins = BALANCERS if field == "balancer" else FAULT_MODES
        try:
            plugins.get(value)
        except ConfigurationError as error:
            yield Problem(key, str(error))
    elif table == SERVICE and field == "routes":
        from idlrt.route import Here
        from idlrt.route.chain import make_chain

        try:
            make_chain(value, Here(id="check"), Chance(), where=key)
        except ConfigurationError as error:
            head, colon, why = str(error).partition(": ")
            yield Problem(head, why) if colon and head.startswith(key) else Problem(key, str(error))


# Beyond it neither sockets nor clocks can count.
_LARGEST: Final = 1e9
_AT: Final = re.compile(r"^(?P<why>.*?) - at `\$(?P<path>[^`]*)`$", re.S)


def worded(key: str, field: str, error: str, value: Any) -> tuple[str, str]:
    """Where something is wrong, and what, from what msgspec says of it."""
    match = _AT.match(error)
    if match is None:
        return key, error
    deeper = match["path"].removeprefix(f".{field}") if field else match["path"]
    why = match["why"]
    return key + deeper, f"{why[:1].lower()}{why[1:]}, not {value!r}" if not deeper else f"{why[:1].lower()}{why[1:]}"


def wrong(problems: Sequence[Problem], where: str) -> ConfigurationError:
    """The error for problems in `where`."""
    if len(problems) == 1:
        return ConfigurationError(f"{where}: {problems[0]}")
    lines = "".join(f"\n  {each}" for each in problems)
    return ConfigurationError(f"{where}: {len(problems)} things are wrong:{lines}")
