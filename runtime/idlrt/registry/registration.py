"""What a server has of a registry: an instance that is registered, and can be changed and taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from idlrt.core import Instance, Status
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError, RegistryError, RegistryUnavailable
from idlrt.registry.registrar import Entry, RegistrationEvent, RegistrationState

__all__ = ["Registration"]

# Seconds that an answer is waited for, and that a registry gets for a goodbye.
TIMEOUT: Final = 5.0
GOODBYE: Final = 2.0


class Registration:
    """An instance that is registered, or will be as soon as the registry lets it. Made by `Registry.register`."""

    def __init__(self, entry: Entry, call: Callable[..., None], timeout: float = TIMEOUT) -> None:
        self._entry = entry
        self._timeout = timeout
        self._call = call
        self._forks = forks.count

    def __repr__(self) -> str:
        return f"<Registration of {self._entry.first.id} of {self._entry.first.key}>"

    @property
    def instance(self) -> Instance:
        """What is registered."""
        return self._entry.wanted or self._entry.first

    @property
    def error(self) -> RegistryError | None:
        """Why it is not registered yet, or what was changed last is not known yet; `None` if there is no trouble."""
        return self._entry.error

    @property
    def state(self) -> RegistrationState:
        """How it stands in the registry, as was known with the last heartbeat."""
        return self._entry.state

    def listen(self, listener: Callable[[RegistrationEvent], object]) -> None:
        """Have `listener` told of each new state, and of the one that it has now, on the registry's thread. It must be
        quick, and must not ask the registry. Nothing happens in a child of the process that registered it.
        """
        if self._forks == forks.count:
            self._call(self._entry.listen, listener)

    def wait(self, timeout: float | None = None) -> Instance:
        """Wait until the registry has acknowledged what was said last.

        Args:
            timeout: in seconds; `None` for the registry's default.

        Raises:
            RegistryError: it has not in time; it will still be tried.
        """
        entry = self._entry
        timeout = self._timeout if timeout is None else timeout
        what = f"{entry.first.id} of {entry.first.key}"
        if not entry.is_done.wait(timeout):
            raise entry.error or RegistryUnavailable(
                f"{what} is not registered within {timeout:.3g} s; it is still tried"
            )
        if entry.wanted is None and entry.written is None:
            raise entry.error or RegistryUnavailable(f"{what} was deregistered before it had been registered")
        return self.instance

    def update(self, **changes: Any) -> None:
        """Change what is registered: `weight`, `tags`, `status`, `metadata`... Not what it is found by.

        Raises:
            ConfigurationError: there is no such attribute, or it cannot be changed.
        """
        entry = self._entry
        for name in changes:
            if name in ("service", "group", "id") or name not in Instance.__struct_fields__:
                raise ConfigurationError(f"cannot change {name!r} of an instance")
        with entry.lock:
            wanted = entry.wanted
            if wanted is None:
                raise ConfigurationError(f"{entry.first.id} of {entry.first.key} was deregistered")
            changed = msgspec.structs.replace(wanted, **changes)
            if changed == wanted:
                return
            entry.wanted = changed
            entry.is_done.clear()
        self._call(entry.changed.set)

    def enable(self) -> None:
        """Let it be called."""
        self.update(status=Status.UP)

    def disable(self) -> None:
        """Let it not be called; it stays registered."""
        self.update(status=Status.DISABLED)

    def deregister(self, timeout: float = GOODBYE) -> None:
        """Take it away, and wait until the registry has acknowledged that, for `timeout` seconds at most. What cannot
        be said then is tried on, and ends with the session anyway. Allowed twice. Nothing happens in a child of the
        process that registered it.
        """
        entry = self._entry
        if self._forks != forks.count:
            return
        with entry.lock:
            is_first = entry.wanted is not None
            if is_first:
                entry.is_done.clear()
                entry.wanted = None
        if is_first:
            self._call(entry.changed.set)
        entry.is_done.wait(timeout)
