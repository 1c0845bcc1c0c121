"""Configuration files, TOML or JSON.

    [here]                      # this program, for rules: caller.zone, caller.app
    zone = "eu-1"

    [defaults]                  # of all services that it calls
    timeout = 2.0

    [services.UserService]      # of one: by its name in the registry, or in the IDL
    fault = "hedge"
    hedge.delay = 0.02
    methods.get.timeout = 0.2

    [[services.UserService.routes]]
    when = "method = find*"
    to = "tags.disk = ssd"

    [server]                    # guards of the server
    limiter.rate = 1000

Where it lies is told by `connect(config=...)` and `Server(config=...)`, or by the environment variable `IDLRT_CONFIG`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard, cast

import msgspec

from idlrt.config.checks import Problem, check, worded, wrong
from idlrt.config.effective import Layer
from idlrt.config.schema import BOOKKEEPING, flatten, near, place, section
from idlrt.core import CONFIG_VARIABLE
from idlrt.errors import ConfigurationError
from idlrt.route import Here

__all__ = ["ClientConfig", "ConfigFile", "ServerConfig", "read_config"]

_TABLES: Final = ("here", "defaults", "services", "server")


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read, and holds.

    Attributes:
        name: of the file, for messages; empty if there is none.
        here: what the program says of itself.
        defaults: what holds for all services, by dotted keys.
        services: what holds for one, likewise.
        server: guards of the server, likewise.
    """

    name: str = ""
    here: Here = Here()
    defaults: Mapping[str, Any] = {}
    services: Mapping[str, Mapping[str, Any]] = {}
    server: Mapping[str, Any] = {}

    def layers(self, *names: str) -> list[Layer]:
        """What it says of a service, from the farthest to the nearest.

        Args:
            names: of the service: those of the IDL and of the registry.
        """
        found: list[Layer] = []
        if self.defaults:
            found.append(Layer(f"{self.name}, defaults", self.defaults))
        for name in dict.fromkeys(names):
            if name in self.services:
                found.append(Layer(f"{self.name}, services.{name}", self.services[name]))
        return found


ClientConfig = str | os.PathLike[str] | Mapping[str, Any] | None
"""A configuration: a file, the same as nested tables, or `None` for the one that `IDLRT_CONFIG` names, if any."""

ServerConfig = ClientConfig


def read_config(source: ClientConfig = None) -> ConfigFile:
    """Read a configuration, and see that it holds.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong; all that is, is listed.
    """
    if source is None:
        source = os.environ.get(CONFIG_VARIABLE) or None
        if source is None:
            return ConfigFile()
    if isinstance(source, Mapping):
        return _checked(source, "config")
    if not isinstance(source, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"a configuration is a file or a mapping, not {source!r}")
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read the configuration {path}: {why}") from error
    try:
        nested: object = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigurationError(f"{path} is not {kind}: {error}") from error
    if not isinstance(nested, Mapping):
        raise ConfigurationError(f"{path} must hold tables, not {type(nested).__name__}")
    return _checked(cast("Mapping[str, Any]", nested), str(path))


def _checked(nested: Mapping[str, Any], name: str) -> ConfigFile:
    problems: list[Problem] = []
    problems.extend(
        Problem(str(key), f"unknown table{near(str(key), _TABLES)}") for key in nested if key not in _TABLES
    )
    tables: dict[str, Mapping[str, Any]] = {}
    for key in _TABLES:
        table: object = nested.get(key, {})
        if isinstance(table, Mapping):
            tables[key] = table
        else:
            problems.append(Problem(key, f"expected a table, got {table!r}"))
            tables[key] = {}
    here = _here(tables["here"], problems)
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
            found = section(place(key)[1])
        except KeyError:
            continue  # it is among the problems already
        if found is None or found.kind != "guard":
            problems.append(Problem(f"server.{key}", "only guards apply to servers"))
    if problems:
        raise wrong(problems, name)
    return ConfigFile(name=name, here=here, defaults=defaults, services=services, server=server)


def _is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _flat(table: Mapping[str, Any], prefix: str, problems: list[Problem]) -> dict[str, Any]:
    flat = flatten(table)
    found = [*check(flat), *(Problem(key, "reserved for registries") for key in flat if key.startswith(BOOKKEEPING))]
    problems.extend(Problem(f"{prefix}.{each.key}", each.why) for each in found)
    return flat


def _here(table: Mapping[str, Any], problems: list[Problem]) -> Here:
    known = Here.__struct_fields__
    found = [Problem(f"here.{key}", f"unknown key{near(key, known)}") for key in table if key not in known]
    problems.extend(found)
    try:
        return Here() if found else msgspec.convert(dict(table), Here, strict=False)
    except msgspec.ValidationError as error:
        key, why = worded("here", "", str(error), dict(table))
        problems.append(Problem(key, why))
        return Here()
