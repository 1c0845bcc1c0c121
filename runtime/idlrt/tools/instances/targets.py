"""Instances to read: admin ports by URL, and those that the instances of services announce in a registry."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import msgspec

from idlrt.client.target import NamedTarget, parse_target
from idlrt.core import Instance
from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.registry import Registry
from idlrt.registry.subscription import Subscription
from idlrt.server.registration import ADMIN_KEY
from idlrt.tools.instances.admin_url import AdminUrl, is_admin_url

__all__ = ["Target", "Targets"]

# Name of the service of a target that names none.
_NONE: Final = "$"

_NOT_ANNOUNCED: Final = (
    "it announces no admin port; start the server with admin=..., on an address that other machines reach if the "
    "registry is on another one"
)


class Target(msgspec.Struct, frozen=True):
    """An instance to read.

    Attributes:
        name: its name, if it is known before it is read; empty for the name that it has in its metrics.
        url: its admin port; `None` if it is unknown.
        error: why the admin port is unknown.
    """

    name: str
    url: AdminUrl | None
    error: str = ""

    @property
    def key(self) -> str:
        """Key that makes it different from others."""
        return str(self.url) if self.url is not None else self.name


class Targets:
    """Instances to read, from sources that may change. Use it in a `with` statement, or call `close`.

    Args:
        sources: URLs of admin ports, and services of registries as `connect` takes them
            (`embedded://127.0.0.1:7400/UserService?group=blue`).
        timeout: seconds to wait for a registry at first.

    Raises:
        ConfigurationError: a source is invalid.
        RegistryError: a registry is not available.
    """

    def __init__(self, sources: Sequence[str], *, timeout: float = 5.0) -> None:
        parsed = [AdminUrl.parse(each) if is_admin_url(each) else _service(each) for each in sources]
        self._fixed = [Target("", each) for each in parsed if isinstance(each, AdminUrl)]
        self._registries: list[Registry] = []
        self._watched: list[tuple[Subscription, bool]] = []
        try:
            for each in parsed:
                if isinstance(each, NamedTarget):
                    registry = Registry.connect(each.registry, cache=False)
                    self._registries.append(registry)
                    is_local = all(Address(host, 0).is_loopback for host, _ in each.registry.hosts)
                    self._watched.append((registry.subscribe(each.key.service, each.key.group), is_local))
            for subscription, _ in self._watched:
                subscription.wait(timeout)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> list[Target]:
        """Return the instances now, each once."""
        found = {each.key: each for each in self._fixed}
        for subscription, is_local in self._watched:
            snapshot = subscription.snapshot
            for each in snapshot.instances if snapshot is not None else ():
                target = _target(each, is_local=is_local)
                found[target.key] = target
        return list(found.values())

    def close(self) -> None:
        """Close the connections to registries. Idempotent."""
        for subscription, _ in self._watched:
            subscription.close()
        for registry in self._registries:
            registry.close()


def _service(text: str) -> NamedTarget:
    found = parse_target(text, _NONE)
    if not isinstance(found, NamedTarget):
        raise ConfigurationError(f"invalid source {text!r}: expected an admin URL, or a service of a registry")
    if found.key.service == _NONE:
        what = "a service is missing, as in embedded://127.0.0.1:7400/UserService"
        raise ConfigurationError(f"invalid source {str(found.registry)!r}: {what}")
    return found


def _target(instance: Instance, *, is_local: bool) -> Target:
    text = instance.metadata.get(ADMIN_KEY, "")
    if not text:
        return Target(instance.id, None, _NOT_ANNOUNCED)
    try:
        url = AdminUrl.parse(text)
    except ConfigurationError as error:
        return Target(instance.id, None, str(error))
    if url.address.path and not is_local:
        return Target(instance.id, None, f"it announces {url}, a socket of its machine")
    return Target(instance.id, url)
