"""Handle to a registered instance: update, disable or deregister it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from idlrt.core import Instance, Status
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError, RegistryError, RegistryUnavailable
from idlrt.registry.registrar import Entry, RegistrationEvent, RegistrationState

__all__ = ["Registration"]

# Seconds: default timeout of requests, and time for deregistration when a program ends.
TIMEOUT: Final = 5.0
CLOSE_TIMEOUT: Final = 2.0


class Registration:
    """Handle to an instance that is registered, or will be once the registry accepts it; see `Registry.register`."""

    def __init__(self, entry: Entry, call: Callable[..., None], timeout: float = TIMEOUT) -> None:
        self._entry = entry
        self._timeout = timeout
        self._call = call
        self._forks = forks.count

    def __repr__(self) -> str:
        return f"<Registration of {self._entry.first.id} of {self._entry.first.key}>"

    @property
    def instance(self) -> Instance:
        """The instance to be registered, with all updates applied."""
        return self._entry.wanted or self._entry.first

    @property
    def error(self) -> RegistryError | None:
        """Why the instance, or its last update, is not registered yet; `None` if no attempt has failed."""
        return self._entry.error

    @property
    def state(self) -> RegistrationState:
        """State of the registration as of the last heartbeat."""
        return self._entry.state

    @property
    def was_registered(self) -> bool:
        """Whether the registry has acknowledged the registration at any time, so that clients may know the instance."""
        return self._entry.was_registered

    def listen(self, listener: Callable[[RegistrationEvent], object]) -> None:
        """Call `listener` with the current state and on each transition, on the registry's thread. It must return
        quickly and must not call the registry. No effect in a forked child of the registering process.
        """
        if self._forks == forks.count:
            self._call(self._entry.listen, listener)

    def wait(self, timeout: float | None = None) -> Instance:
        """Wait until the registry has acknowledged the registration and all updates so far.

        Args:
            timeout: seconds; `None` for the registry's default.

        Raises:
            RegistryError: it has not within `timeout`; registration goes on in the background.
        """
        entry = self._entry
        timeout = self._timeout if timeout is None else timeout
        what = f"{entry.first.id} of {entry.first.key}"
        if not entry.is_done.wait(timeout):
            raise entry.error or RegistryUnavailable(
                f"cannot register {what}: no acknowledgement within {timeout:.3g} s; retrying in the background"
            )
        if entry.wanted is None and entry.written is None:
            raise entry.error or RegistryUnavailable(
                f"cannot register {what}: it was deregistered before the registry acknowledged it"
            )
        return self.instance

    def update(self, **changes: Any) -> None:
        """Change attributes of the instance: `weight`, `tags`, `status`, `metadata`, … Not those that identify it.

        Raises:
            ConfigurationError: an attribute is unknown or fixed, or the instance was deregistered.
        """
        entry = self._entry
        what = f"{entry.first.id} of {entry.first.key}"
        for name in changes:
            if name not in Instance.__struct_fields__:
                raise ConfigurationError(f"cannot update {what}: an instance has no attribute {name!r}")
            if name in ("service", "group", "id"):
                raise ConfigurationError(
                    f"cannot update {what}: {name!r} identifies the instance; deregister it and register a new one"
                )
        with entry.lock:
            wanted = entry.wanted
            if wanted is None:
                raise ConfigurationError(f"cannot update {what}: it was deregistered")
            changed = msgspec.structs.replace(wanted, **changes)
            if changed == wanted:
                return
            entry.wanted = changed
            entry.is_done.clear()
        self._call(entry.changed.set)

    def enable(self) -> None:
        """Put the instance into rotation."""
        self.update(status=Status.UP)

    def disable(self) -> None:
        """Take the instance out of rotation; it stays registered."""
        self.update(status=Status.DISABLED)

    def deregister(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Delete the registration and wait for the acknowledgement, at most `timeout` seconds. After that, attempts go
        on in the background; at the latest the registration ends with the session. Idempotent. No effect in a forked
        child of the registering process.
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
