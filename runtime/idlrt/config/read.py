"""Configuration files, TOML or JSON.

    [caller]                    # this program, for rules: caller.zone, caller.app
    zone = "eu-1"

    [defaults]                  # of all services that it calls
    timeout = 2.0

    [services.UserService]      # of one service: by its name in the registry, or in the IDL
    fault = "hedge"
    hedge.delay = 0.02
    methods.get.timeout = 0.2

    [[services.UserService.routes]]
    when = "method = find*"
    to = "tags.disk = ssd"

    [server]                    # guards of the server
    limiter.rate = 1000

The path is an argument, `connect(config=...)` and `Server(config=...)`, or the environment variable `IDLRT_CONFIG`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard, cast

import msgspec

from idlrt.config.checks import Problem, check, invalid, located
from idlrt.config.effective import Layer
from idlrt.config.schema import RESERVED_PREFIX, flatten, locate, section, suggestion
from idlrt.core import CONFIG_VARIABLE
from idlrt.core.renamed import renamed_in, warn_renamed
from idlrt.errors import ConfigurationError
from idlrt.exports import warn_deprecated
from idlrt.route import CallerInfo

__all__ = ["ClientConfig", "ConfigFile", "ServerConfig", "read_config"]

_TABLES: Final = ("caller", "defaults", "services", "server")
# The name of the table `caller` in version 0.1.
_OLD_CALLER: Final = "here"


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration file that was read and checked.

    Attributes:
        name: name of the file, for messages; empty if there is none.
        caller: attributes of the program, for routing rules.
        has_old_caller: whether the table has its old name, `here`.
        defaults: settings of all services, by dotted keys.
        services: settings of single services, likewise.
        server: guards of the server, likewise.
    """

    name: str = ""
    caller: CallerInfo = CallerInfo()
    has_old_caller: bool = False
    defaults: Mapping[str, Any] = {}
    services: Mapping[str, Mapping[str, Any]] = {}
    server: Mapping[str, Any] = {}

    def layers(self, *names: str) -> list[Layer]:
        """Return the settings of a service, in the order of increasing precedence.

        Args:
            names: names of the service: in the IDL and in the registry.
        """
        found: list[Layer] = []
        if self.defaults:
            found.append(Layer(f"{self.name}, defaults", self.defaults))
        for name in dict.fromkeys(names):
            if name in self.services:
                found.append(Layer(f"{self.name}, services.{name}", self.services[name]))
        return found

    def deprecations(self) -> list[Problem]:
        """Return a finding for each key with an old name; these are not errors."""
        found = [Problem(_OLD_CALLER, "deprecated: use caller")] if self.has_old_caller else []
        return found + [
            Problem(prefix + old, f"deprecated: use {new}")
            for prefix, table in self._tables()
            for old, new in renamed_in(table).items()
        ]

    def warn(self) -> None:
        """Issue a `DeprecationWarning` for each key with an old name."""
        if self.has_old_caller:
            warn_deprecated(f"{self.name}: [{_OLD_CALLER}] is deprecated: use [caller]")
        for prefix, table in self._tables():
            warn_renamed(table, f"{self.name}: {prefix}")

    def _tables(self) -> list[tuple[str, Mapping[str, Any]]]:
        services = [(f"services.{name}.", table) for name, table in self.services.items()]
        return [("defaults.", self.defaults), *services, ("server.", self.server)]


ClientConfig = str | os.PathLike[str] | Mapping[str, Any] | None
"""Path of a configuration file, its contents as nested tables, or `None` for the file that `IDLRT_CONFIG` names."""

ServerConfig = ClientConfig


def read_config(source: ClientConfig = None, *, warn: bool = True) -> ConfigFile:
    """Read a configuration and check it.

    Args:
        source: path or contents; `None`: the file that the environment variable `IDLRT_CONFIG` names, if it is set.
        warn: whether keys with old names cause a `DeprecationWarning`.

    Raises:
        ConfigurationError: it cannot be read, or is invalid; the message lists all errors.
    """
    if source is None:
        source = os.environ.get(CONFIG_VARIABLE) or None
        if source is None:
            return ConfigFile()
    found = _checked(*_loaded(source))
    if warn:
        found.warn()
    return found


def _loaded(source: object) -> tuple[Mapping[str, Any], str]:
    """Return the nested tables of a configuration, and its name."""
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source), "config"
    if not isinstance(source, str | os.PathLike):
        raise ConfigurationError(f"cannot read the configuration: must be a path or a mapping, got {source!r}")
    path = Path(cast("str | os.PathLike[str]", source))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read the configuration {path}: {why}") from error
    kind = "JSON" if path.suffix == ".json" else "TOML"
    try:
        nested: object = msgspec.json.decode(text) if kind == "JSON" else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"cannot read the configuration {path}: invalid {kind}: {error}") from error
    if not isinstance(nested, Mapping):
        raise ConfigurationError(
            f"cannot read the configuration {path}: expected a table at the top level, got {type(nested).__name__}"
        )
    return cast("Mapping[str, Any]", nested), str(path)


def _checked(nested: Mapping[str, Any], name: str) -> ConfigFile:
    problems: list[Problem] = []
    has_old_caller = _OLD_CALLER in nested
    if has_old_caller:
        if "caller" in nested:
            problems.append(Problem(_OLD_CALLER, "the same table as caller: keep caller only"))
        nested = {"caller" if key == _OLD_CALLER else key: value for key, value in nested.items()}
    problems.extend(
        Problem(str(key), f"unknown table{suggestion(str(key), _TABLES)}") for key in nested if key not in _TABLES
    )
    tables: dict[str, Mapping[str, Any]] = {}
    for key in _TABLES:
        table: object = nested.get(key, {})
        if isinstance(table, Mapping):
            tables[key] = table
        else:
            problems.append(Problem(key, f"expected a table, got {table!r}"))
            tables[key] = {}
    caller = _caller(tables["caller"], problems)
    defaults = _flat(tables["defaults"], "defaults", problems)
    services: dict[str, Mapping[str, Any]] = {}
    for service, table in tables["services"].items():
        if _is_table(table):
            services[service] = _flat(table, f"services.{service}", problems)
        else:
            problems.append(Problem(f"services.{service}", f"expected a table, got {table!r}"))
    server = _flat(tables["server"], "server", problems)
    for key in server:
        try:
            found = section(locate(key)[1])
        except KeyError:
            continue  # it is among the problems already
        if found is None or found.kind != "guard":
            problems.append(Problem(f"server.{key}", "only guards apply to servers"))
    if problems:
        raise invalid(problems, name)
    return ConfigFile(
        name=name,
        caller=caller,
        has_old_caller=has_old_caller,
        defaults=defaults,
        services=services,
        server=server,
    )


def _is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _flat(table: Mapping[str, Any], prefix: str, problems: list[Problem]) -> dict[str, Any]:
    flat = flatten(table)
    found = [
        *check(flat),
        *(Problem(key, "reserved for registries") for key in flat if key.startswith(RESERVED_PREFIX)),
    ]
    problems.extend(Problem(f"{prefix}.{each.key}", each.why) for each in found)
    return flat


def _caller(table: Mapping[str, Any], problems: list[Problem]) -> CallerInfo:
    known = CallerInfo.__struct_fields__
    found = [Problem(f"caller.{key}", f"unknown key{suggestion(key, known)}") for key in table if key not in known]
    problems.extend(found)
    try:
        return CallerInfo() if found else msgspec.convert(dict(table), CallerInfo, strict=False)
    except msgspec.ValidationError as error:
        key, why = located("caller", "", str(error), dict(table))
        problems.append(Problem(key, why))
        return CallerInfo()
