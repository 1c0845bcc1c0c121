"""What a registry holds of a service's configuration: changed as a whole, checked before it is written, with a history.

The settings of a service are dotted keys and text. Beside them stand their version and what they were before, so that
any registry that keeps settings keeps their history too, and one command takes a change back.
"""

from __future__ import annotations

import contextlib
import getpass
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.config.checks import check, wrong
from idlrt.config.schema import BOOKKEEPING
from idlrt.core import DEFAULT_GROUP
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry

__all__ = ["Version", "change", "history", "rollback", "text_of", "without_history"]

_VERSION: Final = BOOKKEEPING + "version"
_HISTORY: Final = BOOKKEEPING + "history"
_KEPT: Final = 10
# Bytes of a history: registries take so much of a service and no more. Of long rules fewer versions are kept.
_LARGEST: Final = 24_576
_TIMEOUT: Final = 5.0


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a service at a time.

    Attributes:
        version: counts changes.
        settings: by dotted keys.
        at: when they were written, in seconds since 1970 (UTC); 0 if unknown.
        by: who wrote them.
        note: why.
    """

    version: int
    settings: Mapping[str, str] = {}
    at: float = 0.0
    by: str = ""
    note: str = ""


class _History(msgspec.Struct, frozen=True, kw_only=True):
    """As it is kept: the present version, whose settings stand beside it, and those before, the oldest first."""

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
) -> Version:
    """Change settings of a service.

    Args:
        changes: by dotted keys; `None` takes one away.
        whole: whether they are all that is to be there.
        note: why, for the history.

    Returns:
        What is there now.

    Raises:
        ConfigurationError: something is wrong with them; nothing was written.
        RegistryError: they could not be written.
    """
    for key in changes:
        if key.startswith(BOOKKEEPING):
            raise ConfigurationError(f"{key}: the history is written by itself")
    problems = check({key: value for key, value in changes.items() if value is not None})
    if problems:
        raise wrong(problems, f"settings of {service}")
    now, before = _read(registry, service, group, timeout)
    kept = {} if whole else dict(now.settings)
    settings = {key: value for key, value in {**kept, **changes}.items() if value is not None}
    return _write(registry, service, group, settings, note, timeout, now, before)


def history(
    registry: Registry, service: str, group: str = DEFAULT_GROUP, *, timeout: float = _TIMEOUT
) -> Sequence[Version]:
    """The settings of a service, now and before, the present ones last."""
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
    """Make the settings what they were before, as a new version.

    Args:
        to: which version; `None`: the one before the present one.

    Raises:
        ConfigurationError: that version is not known (any more).
    """
    now, kept = _read(registry, service, group, timeout)
    versions = (*kept.before, now)
    if to is None:
        if len(versions) < 2:
            raise ConfigurationError(f"the settings of {service} have no earlier version")
        wanted = versions[-2]
    else:
        found = next((each for each in versions if each.version == to), None)
        if found is None:
            known = ", ".join(str(each.version) for each in versions)
            raise ConfigurationError(f"there is no version {to} of the settings of {service}; known: {known}")
        wanted = found
    note = note or f"rollback to version {wanted.version}"
    return _write(registry, service, group, dict(wanted.settings), note, timeout, now, kept)


def text_of(value: Any) -> str:
    """A value as a registry keeps it."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def without_history(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings of a service, without what is kept about how they came to be."""
    return {key: value for key, value in settings.items() if not key.startswith(BOOKKEEPING)}


def _read(registry: Registry, service: str, group: str, timeout: float) -> tuple[Version, _History]:
    all_of_it = registry.instances(service, group, timeout=timeout).settings
    settings = without_history(all_of_it)
    # Somebody may have written into it; what holds now is not touched by that.
    number, kept = 0, _History()
    with contextlib.suppress(ValueError):
        number = max(int(all_of_it.get(_VERSION, "0")), 0)
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        kept = msgspec.json.decode(all_of_it.get(_HISTORY, "{}"), type=_History)
    number = max(number, *(each.version + 1 for each in kept.before), 0) if kept.before else number
    return Version(version=number, settings=settings, at=kept.at, by=kept.by, note=kept.note), kept


def _write(
    registry: Registry,
    service: str,
    group: str,
    settings: Mapping[str, str],
    note: str,
    timeout: float,
    now: Version,
    kept: _History,
) -> Version:
    new = Version(version=now.version + 1, settings=settings, at=time.time(), by=_user(), note=note)
    before = [*kept.before, now][-_KEPT:]  # the first one is that there was nothing
    history = msgspec.json.encode(_History(at=new.at, by=new.by, note=note, before=before))
    while before and len(history) > _LARGEST:
        del before[0]
        history = msgspec.json.encode(_History(at=new.at, by=new.by, note=note, before=before))
    gone: dict[str, str | None] = {key: None for key in now.settings if key not in settings}
    registry.configure(
        service,
        {
            **gone,
            **settings,
            _VERSION: str(new.version),
            _HISTORY: history.decode(),
        },
        group,
        timeout=timeout,
    )
    return new


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
