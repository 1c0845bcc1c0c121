"""Settings of a service in a registry: validated changes, version history, rollback.

The settings of a service are dotted keys with text values. Their version, their history and their key format are stored
beside them, under `config.`, so that every registry that stores settings stores these too.

Key formats: version 0.2 renamed keys (`idlrt.core.renamed`). Clients of version 0.1 ignore settings with new names, and
clients of version 0.2 read both. So settings are written with old names (format 0.1) until an operator selects format
0.2 for the service; both names may be given in either format. 0.1 tools keep `config.format`, which they ignore.
"""

from __future__ import annotations

import contextlib
import getpass
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.config.checks import Problem, check, invalid
from idlrt.config.schema import RESERVED_PREFIX
from idlrt.core import DEFAULT_GROUP
from idlrt.core.renamed import current_key, first_key, renamed_in
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry

__all__ = ["FORMATS", "Version", "change", "history", "rollback", "to_text", "without_history"]

FORMATS: Final = ("0.1", "0.2")
"""Key formats: the versions whose names of keys are written. The first one is the default."""

_VERSION: Final = RESERVED_PREFIX + "version"
_HISTORY: Final = RESERVED_PREFIX + "history"
_FORMAT: Final = RESERVED_PREFIX + "format"
# Maximum number of earlier versions in the history.
_KEPT: Final = 10
# Maximum size of a history in bytes, because registries limit the size of settings. Long rules leave room for fewer
# versions.
_LARGEST: Final = 24_576
_TIMEOUT: Final = 5.0


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a service at one time.

    Attributes:
        version: number; grows by 1 with each change.
        settings: values by dotted keys, with the names of `format`.
        at: time of the change in seconds since 1970 (UTC); 0 if unknown.
        by: user who made it.
        note: reason.
        format: key format, one of `FORMATS`.
    """

    version: int
    settings: Mapping[str, str] = {}
    at: float = 0.0
    by: str = ""
    note: str = ""
    format: str = FORMATS[0]


class _History(msgspec.Struct, frozen=True, kw_only=True):
    """Stored form of the history: the current version, without its settings, and earlier ones, the oldest first."""

    at: float = 0.0
    by: str = ""
    note: str = ""
    before: list[Version] = []


def change(
    registry: Registry,
    service: str,
    changes: Mapping[str, str | None],
    group: str = DEFAULT_GROUP,
    *,
    whole: bool = False,
    note: str = "",
    timeout: float = _TIMEOUT,
    format: str | None = None,
) -> Version:
    """Change settings of a service.

    Args:
        changes: values by dotted keys, with current or old names; `None` removes a setting.
        whole: whether `changes` replaces all settings of the service.
        note: reason, for the history.
        timeout: of the registry, in seconds.
        format: key format of this and later changes, one of `FORMATS`; `None` keeps that of the service.

    Returns:
        The new version.

    Raises:
        ConfigurationError: a key or value is invalid; nothing was written.
        RegistryError: the settings could not be written.
    """
    if format not in (None, *FORMATS):
        raise ConfigurationError(f"unknown key format {format!r} (known: {', '.join(FORMATS)})")
    for key in changes:
        if key.startswith(RESERVED_PREFIX):
            raise ConfigurationError(f"cannot set {key}: reserved for the history of the settings")
    problems = check({key: value for key, value in changes.items() if value is not None})
    if problems:
        raise invalid(problems, f"settings of {service}")
    now, before = _read(registry, service, group, timeout)
    settings = {} if whole else dict(now.settings)
    # Removals first: one call may remove the old name of a key and set the current one.
    for key, value in sorted(changes.items(), key=lambda item: item[1] is not None):
        names = {current_key(key), first_key(key)}
        if value is None and names <= settings.keys():
            names = {key}  # the other one stays
        for name in names:
            settings.pop(name, None)
        if value is not None:
            settings[key] = value
    return _write(registry, service, group, settings, note, timeout, now, before, format or now.format)


def history(
    registry: Registry, service: str, group: str = DEFAULT_GROUP, *, timeout: float = _TIMEOUT
) -> Sequence[Version]:
    """Return the known versions of the settings of a service, the current one last."""
    now, before = _read(registry, service, group, timeout)
    return (*before.before, now)


def rollback(
    registry: Registry,
    service: str,
    group: str = DEFAULT_GROUP,
    *,
    to: int | None = None,
    note: str = "",
    timeout: float = _TIMEOUT,
) -> Version:
    """Restore earlier settings of a service, as a new version. The key format stays.

    Args:
        to: number of the version to restore; `None`: the one before the current one.

    Raises:
        ConfigurationError: the version is unknown, or no longer in the history.
    """
    now, kept = _read(registry, service, group, timeout)
    versions = (*kept.before, now)
    if to is None:
        if len(versions) < 2:
            raise ConfigurationError(f"cannot roll back the settings of {service}: there is no earlier version")
        wanted = versions[-2]
    else:
        found = next((each for each in versions if each.version == to), None)
        if found is None:
            known = ", ".join(str(each.version) for each in versions)
            raise ConfigurationError(
                f"cannot roll back the settings of {service}: unknown version {to} (known: {known})"
            )
        wanted = found
    note = note or f"rollback to version {wanted.version}"
    return _write(registry, service, group, dict(wanted.settings), note, timeout, now, kept, now.format)


def to_text(value: Any) -> str:
    """Return a value as the text that a registry stores."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def without_history(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a service without the keys of their history."""
    return {key: value for key, value in settings.items() if not key.startswith(RESERVED_PREFIX)}


def _read(registry: Registry, service: str, group: str, timeout: float) -> tuple[Version, _History]:
    all_of_it = registry.instances(service, group, timeout=timeout).settings
    settings = without_history(all_of_it)
    # Another program may have damaged the history. The settings themselves do not depend on it.
    number, kept = 0, _History()
    with contextlib.suppress(ValueError):
        number = max(int(all_of_it.get(_VERSION, "0")), 0)
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        kept = msgspec.json.decode(all_of_it.get(_HISTORY, "{}"), type=_History)
    number = max(number, *(each.version + 1 for each in kept.before), 0) if kept.before else number
    format = all_of_it.get(_FORMAT, "")
    now = Version(
        version=number,
        settings=settings,
        at=kept.at,
        by=kept.by,
        note=kept.note,
        format=format if format in FORMATS else FORMATS[0],
    )
    return now, kept


def _write(
    registry: Registry,
    service: str,
    group: str,
    settings: Mapping[str, str],
    note: str,
    timeout: float,
    now: Version,
    kept: _History,
    format: str,
) -> Version:
    settings = _in_format(settings, format, service)
    new = Version(version=now.version + 1, settings=settings, at=time.time(), by=_user(), note=note, format=format)
    before = [*kept.before, now][-_KEPT:]  # the first one is empty
    history = msgspec.json.encode(_History(at=new.at, by=new.by, note=note, before=before))
    while before and len(history) > _LARGEST:
        del before[0]
        history = msgspec.json.encode(_History(at=new.at, by=new.by, note=note, before=before))
    gone: dict[str, str | None] = {key: None for key in now.settings if key not in settings}
    own: dict[str, str | None] = {_VERSION: str(new.version), _HISTORY: history.decode()}
    if format != now.format:
        own[_FORMAT] = format
    registry.configure(service, {**gone, **settings, **own}, group, timeout=timeout)
    return new


def _in_format(settings: Mapping[str, str], format: str, service: str) -> dict[str, str]:
    """Return settings with the names of a key format.

    Raises:
        ConfigurationError: a setting has two values, one by each name, as a 0.1 tool or a program may have written it.
    """
    twice = [
        Problem(old, f"also set as {new}, its current name; remove one of them, as with `idlrt config set ... {old}=`")
        for old, new in renamed_in(settings).items()
        if new in settings
    ]
    if twice:
        raise invalid(twice, f"settings of {service}")
    name = first_key if format == FORMATS[0] else current_key
    return {name(key): value for key, value in settings.items()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
