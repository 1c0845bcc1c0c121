"""Schema of configurations: tables of settings, and their keys.

Settings are structs, one for each table: `backoff.jitter` is the field `jitter` of the struct of the table `backoff`.
Fault modes, guards and balancers, also those of plugins, have tables with their names; keys without a table are
settings of calls (`retries`) or of services (`routes`). The types of the fields define what is allowed, and carry the
descriptions that `idlrt config keys` shows.

Layers of a configuration exchange settings by dotted keys, as a registry stores them: `hedge.delay`,
`methods.get.timeout`. In files they are nested tables (`flatten`), and effective settings become structs (`nested`,
`convert`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from idlrt.balance import BALANCERS
from idlrt.core import CallPolicy, Fraction, Seconds
from idlrt.core.renamed import KEYS
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS
from idlrt.guard.breaker import BreakerSettings
from idlrt.guard.outlier import OutlierSettings
from idlrt.guard.retry_budget import RetryBudgetSettings

__all__ = [
    "Section",
    "ServicePolicy",
    "convert",
    "decoded",
    "fields",
    "flatten",
    "locate",
    "nested",
    "parse_enabled",
    "section",
    "sections",
    "subtables",
    "suggestion",
]

# Tables of keys without a table: settings of calls, and of services as a whole.
CALL: Final = ""
SERVICE: Final = "service"
METHODS: Final = "methods"
# Prefix of the keys under which a registry stores the history of a service's settings.
RESERVED_PREFIX: Final = "config."


class SamplingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sampling of traces in the program whose name in traces is that of the service."""

    rules: Annotated[list[Any], Meta(description="sampling rules of traces, which precede those of the program.")] = []
    sampler: Annotated[
        str, Meta(description="sampler of new traces: always, never, ratio:0.01, per_second:5 or adaptive:20.")
    ] = ""


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a service as a whole."""

    routes: Annotated[
        list[Any], Meta(description="routing rules, which narrow the choice of instances (`idlrt.routers`).")
    ] = []
    warm_up: Annotated[
        Seconds, Meta(description="time in which a new instance ramps up to its full share of calls; 0 disables.")
    ] = 0.0
    panic_threshold: Annotated[
        Fraction,
        Meta(description="panic threshold: if a smaller fraction of the instances is healthy, all of them are called."),
    ] = 0.5
    failure_threshold: Annotated[
        int, Meta(ge=1, description="consecutive failures that mark an instance unhealthy until it responds to a ping.")
    ] = 3
    budget: Annotated[RetryBudgetSettings, Meta(description="budget for retries")] = RetryBudgetSettings()
    ejection: Annotated[OutlierSettings, Meta(description="ejection of outliers")] = OutlierSettings()
    instance_breaker: Annotated[BreakerSettings, Meta(description="circuit breaker of each instance")] = (
        BreakerSettings()
    )
    sampling: Annotated[SamplingSettings, Meta(description="sampling of traces")] = SamplingSettings()


class Section(msgspec.Struct, frozen=True):
    """A table of settings.

    Attributes:
        name: name of the table; empty for settings of calls.
        settings: type of the settings.
        kind: what the settings configure, human-readable.
        is_per_method: whether methods may have their own settings.
    """

    name: str
    settings: type[msgspec.Struct]
    kind: str
    is_per_method: bool = True


@cache
def _own() -> Mapping[str, Section]:
    """Return the tables of settings of calls and of services: these settings, and the structs that they contain."""
    own = {
        CALL: Section(CALL, CallPolicy, "calls"),
        SERVICE: Section(SERVICE, ServicePolicy, "services", is_per_method=False),
    }
    for top in list(own.values()):
        # Defaults tell which fields are structs; looking into types takes milliseconds when a program starts.
        for name, default in msgspec.structs.asdict(top.settings()).items():
            if isinstance(default, msgspec.Struct):
                own[name] = Section(name, type(default), top.kind, top.is_per_method)
    return own


_PLUGINS: Final = (("fault mode", FAULT_MODES), ("guard", GUARDS), ("balancer", BALANCERS))


@cache
def section(name: str) -> Section | None:
    """Return the table called `name`, or `None`. Loads the plugin that it belongs to."""
    own = _own().get(name)
    if own is not None:
        return own
    for kind, plugins in _PLUGINS:
        if name in plugins.names():
            settings: Any = getattr(plugins.get(name), "Settings", None)
            return Section(name, settings, kind) if settings is not None else None
    return None


def sections() -> list[Section]:
    """Return all tables with settings: built-in ones, then those of plugins."""
    names = [*_own(), *(name for _, plugins in _PLUGINS for name in plugins.names())]
    return [found for name in names if (found := section(name)) is not None and found.settings.__struct_fields__]


@cache
def fields(section: Section) -> tuple[str, ...]:
    """Return the keys of a table, without those that are tables themselves."""
    inner = subtables(section.name)
    return tuple(name for name in section.settings.__struct_fields__ if name not in inner)


def subtables(name: str) -> tuple[str, ...]:
    """Return the names of the tables that a table contains: those of settings of calls and of services do."""
    if name not in (CALL, SERVICE):
        return ()
    own = _own()
    return tuple(each for each in own[name].settings.__struct_fields__ if each in own)


def locate(key: str) -> tuple[str, str, str]:
    """Return method, table and field of a dotted key. The method is empty for settings of all methods.

    Old names of renamed keys are accepted: the field is the current one.

    Raises:
        KeyError: the key is unknown; the text suggests a similar one.
    """
    method, rest = "", key
    if key.startswith(METHODS + "."):
        _, method, rest = _split_method(key)
    rest = KEYS.get(rest, rest)
    name, dot, field = rest.partition(".")
    if not dot:
        if rest == METHODS:
            raise KeyError("methods is a table; set methods.NAME.KEY, as in methods.get.timeout")
        for top in (CALL, SERVICE):
            own = _own()[top]
            if rest in fields(own):
                if method and not own.is_per_method:
                    raise KeyError(f"{rest} applies to a whole service, not to a single method")
                return method, top, rest
        table = section(name) if name not in (CALL, SERVICE) else None
        if table is not None and table.settings.__struct_fields__:
            raise KeyError(f"{name} is a table; set one of {_names(table)}")
        if table is not None:
            raise KeyError(f"{name} has no settings")
        raise KeyError(f"unknown key{suggestion(rest, _top_names())}")
    found = section(name) if name not in (CALL, SERVICE) else None
    if found is None:
        raise KeyError(f"unknown table {name!r}{suggestion(name, [each.name for each in sections() if each.name])}")
    if method and not found.is_per_method:
        raise KeyError(f"{name} applies to a whole service, not to a single method")
    if field == "enabled" and found.kind == "guard":
        return method, name, field
    if field not in fields(found):
        if not fields(found):
            raise KeyError(f"{name} has no settings")
        raise KeyError(f"{name} has no key {field!r}{suggestion(field, _fields_and_switch(found))}")
    return method, name, field


def _split_method(key: str) -> tuple[str, str, str]:
    _, name, rest = [*key.split(".", 2), "", ""][:3]
    if not name or not rest:
        raise KeyError("must be methods.NAME.KEY, as in methods.get.timeout")
    return METHODS, name, rest


def _top_names() -> list[str]:
    own = _own()
    return [*fields(own[CALL]), *fields(own[SERVICE]), *(each.name for each in sections() if each.name)]


def _names(table: Section) -> str:
    return ", ".join(f"{table.name}.{name}" for name in _fields_and_switch(table))


def _fields_and_switch(table: Section) -> list[str]:
    return [*fields(table), *(["enabled"] if table.kind == "guard" else [])]


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return the end of an error message about an unknown name: a similar name, or all known ones."""
    known = [each for each in known if each != SERVICE]
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as dotted keys. Tables within the value of a field stay as they are.

    The empty table of a guard enables the guard (`enabled`). Other empty tables have no effect.
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
    """Return the keys of an empty table; an unknown one stays, so that `check` reports it."""
    name = dotted
    if dotted.startswith(METHODS + "."):
        name = dotted.split(".", 2)[-1] if dotted.count(".") > 1 else METHODS
    if name == METHODS:
        return {}
    found = section(name) if name not in (CALL, SERVICE) else None
    if found is None:
        return {dotted: {}}
    return {f"{dotted}.enabled": True} if found.kind == "guard" else {}


def decoded(value: Any) -> Any:
    """Return a value, decoded if it is JSON text, as registries store lists and tables."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"invalid JSON {value[:60]!r}: {error}") from error
        except RecursionError:
            raise ConfigurationError(f"invalid JSON {value[:60]!r}: nested too deeply") from None
    return value


def convert(section: Section, values: Mapping[str, Any]) -> Any:
    """Return the settings of a table as a struct.

    Raises:
        msgspec.ValidationError: a value is invalid.
    """
    given = {name: value for name, value in values.items() if name in section.settings.__struct_fields__}
    return msgspec.convert(given, section.settings, strict=False)


def parse_enabled(value: Any) -> bool | None:
    """Return `enabled` as a boolean; `None` if the value is invalid."""
    try:
        return msgspec.convert(value, bool, strict=False)
    except msgspec.ValidationError:
        return None
