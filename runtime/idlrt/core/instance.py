"""Service instances and snapshots of them, as registries publish them and clients consume them."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from idlrt.core.rpc_protocols import RpcProtocols, check_rpc_protocols
from idlrt.errors import ConfigurationError

__all__ = [
    "DEFAULT_GROUP",
    "Change",
    "Freshness",
    "Instance",
    "Patch",
    "ServiceKey",
    "Snapshot",
    "Status",
    "difference",
]

DEFAULT_GROUP: Final = "default"
DEFAULT_WEIGHT: Final = 100
_MAX_WEIGHT: Final = 1_000_000
# Names become segments of paths and URLs in registries.
_NAME: Final = re.compile(r"[A-Za-z0-9_$:][A-Za-z0-9_.:$@+-]{0,254}")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")


class Status(enum.StrEnum):
    """Status of an instance in the registry."""

    UP = "up"
    DRAINING = "draining"
    """Completes the calls in flight; gets no new ones."""
    DISABLED = "disabled"
    """Running, but out of rotation."""


class ServiceKey(msgspec.Struct, frozen=True, order=True):
    """Lookup key of instances: service and group. Groups of the same service are isolated from each other.

    Raises:
        ConfigurationError: a name is invalid.
    """

    service: str
    group: str = DEFAULT_GROUP

    def __post_init__(self) -> None:
        check_name("service", self.service)
        check_name("group", self.group)

    def __str__(self) -> str:
        return self.service if self.group == DEFAULT_GROUP else f"{self.group}/{self.service}"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running instance of a service.

    Attributes:
        service: name of the service.
        group: group of the service.
        id: identifier within the service, stable while the instance runs; `host:port` if empty.
        host: host name or IP address that clients can reach.
        port: TCP port.
        protocols: Thrift framings that it accepts, named as in `connect(framing=...)`, preferred first.
        rpc_protocols: RPC protocols that it speaks, each with the serializations that it accepts, in order of
            preference. Empty if it was registered without, as by version 0.1 and other frameworks: it speaks Thrift
            then, in the framings of `protocols`.
        version: version of the program, for humans and routing rules.
        weight: share of calls relative to the other instances; 0 for none.
        zone: data center or availability zone; empty if unknown.
        tags: labels for routing rules; `{"tag": "gray"}` reserves an instance for calls with the tag gray.
        timeout: timeout of calls in seconds that its owner recommends; `None` for no recommendation.
        retries: number of retries that its owner recommends; `None` for no recommendation.
        routing: data for routers, by name.
        started_at: start time in seconds since 1970 (UTC), from which warm-up counts; 0 if unknown.
        status: whether it is in rotation.
        metadata: additional key-value text.

    Raises:
        ConfigurationError: a value is invalid.
    """

    service: str
    host: str
    port: int
    group: str = DEFAULT_GROUP
    id: str = ""
    protocols: tuple[str, ...] = ("header", "framed", "unframed")
    rpc_protocols: RpcProtocols = {}
    version: str = ""
    weight: int = DEFAULT_WEIGHT
    zone: str = ""
    tags: Mapping[str, str] = {}
    timeout: float | None = None
    retries: int | None = None
    routing: Mapping[str, str] = {}
    started_at: float = 0.0
    status: Status = Status.UP
    metadata: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if not self.id:
            msgspec.structs.force_setattr(self, "id", f"{self.host}:{self.port}".replace("%", "_"))
        check_name("service", self.service)
        check_name("group", self.group)
        check_name("id", self.id)
        if not _HOST.fullmatch(self.host):
            raise ConfigurationError(f"invalid host of an instance: {self.host!r}")
        if not 0 < self.port < 65536:
            raise ConfigurationError(f"port of an instance must be between 1 and 65535, got {self.port!r}")
        check_weight(self.weight)
        msgspec.structs.force_setattr(self, "rpc_protocols", check_rpc_protocols(self.rpc_protocols))

    @property
    def key(self) -> ServiceKey:
        """Lookup key: service and group."""
        return ServiceKey(self.service, self.group)

    @property
    def address(self) -> str:
        """Address as `connect` accepts it: `host:port`, IPv6 addresses in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_callable(self) -> bool:
        """Whether it is in rotation."""
        return self.status is Status.UP and self.weight > 0


class Patch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Overrides of an instance by an operator.

    They take precedence over the values that the instance registered, and survive it: an instance that was disabled is
    still disabled when it returns with the same id.

    Attributes:
        weight: overriding weight; `None` for the instance's own.
        status: overriding status; `None` for the instance's own. It does not enable an instance that is draining or
            that disabled itself.
        tags: additional tags; an empty value removes a tag.
    """

    weight: int | None = None
    status: Status | None = None
    tags: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if self.weight is not None:
            check_weight(self.weight)

    def __bool__(self) -> bool:
        return self != _NO_PATCH

    def apply(self, instance: Instance) -> Instance:
        """Return `instance` with the overrides applied."""
        changed: dict[str, Any] = {}
        if self.weight is not None:
            changed["weight"] = self.weight
        if self.status is not None and instance.status is Status.UP:
            changed["status"] = self.status
        if self.tags:
            tags = {**instance.tags, **self.tags}
            changed["tags"] = {name: value for name, value in tags.items() if value}
        return msgspec.structs.replace(instance, **changed) if changed else instance

    def merge(self, later: Patch) -> Patch:
        """Return the combination of both; `later` takes precedence."""
        return Patch(
            weight=later.weight if later.weight is not None else self.weight,
            status=later.status if later.status is not None else self.status,
            tags={**self.tags, **later.tags},
        )


_NO_PATCH: Final = Patch()


class Freshness(enum.StrEnum):
    """How current a snapshot is."""

    LIVE = "live"
    """Current: the registry is connected and pushes changes."""
    STALE = "stale"
    """Last known: the registry is unreachable."""
    SAVED = "saved"
    """From the disk cache of an earlier process."""
    PROTECTED = "protected"
    """The registry suddenly lists no instances; the last known ones are kept, because that is better than none."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All instances of a service at one point in time.

    Attributes:
        key: the service and its group.
        instances: the instances ordered by id, with the overrides of operators applied.
        settings: settings of the service, as text by name.
        revision: increases with each change in the registry; comparable within one registry only.
        freshness: how current it is.
    """

    key: ServiceKey
    instances: tuple[Instance, ...] = ()
    settings: Mapping[str, str] = {}
    revision: int = 0
    freshness: Freshness = Freshness.LIVE

    def get(self, id: str) -> Instance | None:
        """Return the instance with this id, or `None`."""
        return next((each for each in self.instances if each.id == id), None)

    @property
    def callable(self) -> tuple[Instance, ...]:
        """The instances in rotation."""
        return tuple(each for each in self.instances if each.is_callable)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot and its difference from the previous one.

    Attributes:
        snapshot: the new snapshot.
        added: new instances.
        updated: changed instances, in their new state.
        removed: instances that are gone, in their last state.
    """

    snapshot: Snapshot
    added: tuple[Instance, ...] = ()
    updated: tuple[Instance, ...] = ()
    removed: tuple[Instance, ...] = ()


def difference(old: Snapshot | None, new: Snapshot) -> Change:
    """Return the difference from `old` to `new`; `None` stands for an empty snapshot."""
    before = {each.id: each for each in old.instances} if old is not None else {}
    added: list[Instance] = []
    updated: list[Instance] = []
    for each in new.instances:
        known = before.pop(each.id, None)
        if known is None:
            added.append(each)
        elif known != each:
            updated.append(each)
    return Change(snapshot=new, added=tuple(added), updated=tuple(updated), removed=tuple(before.values()))


def check_name(what: str, name: object) -> None:
    """Check that `name` can be a segment of a path.

    Raises:
        ConfigurationError: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        allowed = "use at most 255 letters, digits and _ . : $ @ + -, not starting with . @ + or -"
        raise ConfigurationError(f"invalid {what} of an instance: {name!r}; {allowed}")


def check_weight(weight: object) -> None:
    """Check that `weight` is an integer in the allowed range.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= _MAX_WEIGHT:
        raise ConfigurationError(f"weight of an instance must be between 0 and {_MAX_WEIGHT}, got {weight!r}")
