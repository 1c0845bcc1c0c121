"""One running server of a service, and all of them at a moment: what a registry tells and a client chooses from."""

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
_HEAVIEST: Final = 1_000_000
# Names become parts of paths and URLs in registries.
_NAME: Final = re.compile(r"[A-Za-z0-9_$:][A-Za-z0-9_.:$@+-]{0,254}")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")


class Status(enum.StrEnum):
    """Whether an instance is to be called."""

    UP = "up"
    DRAINING = "draining"
    """Finishes what it has; no further calls."""
    DISABLED = "disabled"
    """It runs and is not to be called: not yet, or not now."""


class ServiceKey(msgspec.Struct, frozen=True, order=True):
    """What instances are found by. The same service may run in several groups, which know nothing of each other.

    Raises:
        ConfigurationError: a name cannot be one.
    """

    service: str
    group: str = DEFAULT_GROUP

    def __post_init__(self) -> None:
        check_name("service", self.service)
        check_name("group", self.group)

    def __str__(self) -> str:
        return self.service if self.group == DEFAULT_GROUP else f"{self.group}/{self.service}"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running server of one service.

    Attributes:
        service: what it serves.
        group: in which its clients look for it.
        id: by which it is known within its service; stays the same as long as it runs. Empty becomes `host:port`.
        host: a name or number that its clients can reach.
        port: of TCP.
        protocols: the Thrift framings that it understands, in the words of `connect(framing=...)`, the preferred first.
        rpc_protocols: the RPC protocols that it speaks, each with the serializations that it reads, in order of
            preference. Empty if the program that registered it lists none, as version 0.1 and other frameworks do: it
            speaks Thrift then, in the framings of `protocols`.
        version: of the program, for people and routing rules.
        weight: its share of calls, relative to the others; 0 for none.
        zone: the data centre (or zone) that it stands in; empty if nobody said.
        tags: for routing rules; `{"tag": "gray"}` keeps an instance for calls that are tagged gray.
        timeout: seconds that its owner thinks a call may take; `None` if there is no advice.
        retries: how often its owner lets a call be tried again; `None` likewise.
        routing: data for routers, by name.
        started_at: when it began to serve, in seconds since 1970 (UTC); 0 if unknown. Warm-up counts from it.
        status: whether it is to be called.
        metadata: whatever else is known, as text by name.

    Raises:
        ConfigurationError: a value cannot be one.
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
            raise ConfigurationError(f"the host of an instance cannot be {self.host!r}")
        if not 0 < self.port < 65536:
            raise ConfigurationError(f"the port of an instance must be from 1 to 65535, not {self.port!r}")
        check_weight(self.weight)
        msgspec.structs.force_setattr(self, "rpc_protocols", check_rpc_protocols(self.rpc_protocols))

    @property
    def key(self) -> ServiceKey:
        """What it is found by."""
        return ServiceKey(self.service, self.group)

    @property
    def address(self) -> str:
        """Where it listens, as `connect` takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_callable(self) -> bool:
        """Whether calls may go to it."""
        return self.status is Status.UP and self.weight > 0


class Patch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator has said about an instance. It counts more than what the instance says of itself, and outlives
    it: a server that was disabled is disabled when it comes back under its id.

    Attributes:
        weight: instead of its own; `None` for its own.
        status: likewise. One that drains, or has itself disabled, is not switched on by it.
        tags: beside its own; empty text takes a tag away.
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
        """`instance` as its clients are to see it."""
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
        """This one, and what `later` says beside it."""
        return Patch(
            weight=later.weight if later.weight is not None else self.weight,
            status=later.status if later.status is not None else self.status,
            tags={**self.tags, **later.tags},
        )


_NO_PATCH: Final = Patch()


class Freshness(enum.StrEnum):
    """How far a snapshot can be trusted."""

    LIVE = "live"
    """The registry said so, and would have said if it had changed."""
    STALE = "stale"
    """The registry said so before it could not be reached any more."""
    SAVED = "saved"
    """From this machine's disk: what an earlier process knew."""
    PROTECTED = "protected"
    """The registry has none any more. Those it had last are kept: better than nobody."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All instances of a service at a moment.

    Attributes:
        key: the service.
        instances: in the order of their ids, with what operators said about them applied.
        settings: of the service, as text by name.
        revision: grows with every change that the registry makes; numbers of one registry only.
        freshness: how far it can be trusted.
    """

    key: ServiceKey
    instances: tuple[Instance, ...] = ()
    settings: Mapping[str, str] = {}
    revision: int = 0
    freshness: Freshness = Freshness.LIVE

    def get(self, id: str) -> Instance | None:
        """The instance called `id`."""
        return next((each for each in self.instances if each.id == id), None)

    @property
    def callable(self) -> tuple[Instance, ...]:
        """Those that calls may go to."""
        return tuple(each for each in self.instances if each.is_callable)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, and what is different from the one before.

    Attributes:
        snapshot: what is known now.
        added: instances that were not there.
        updated: instances that were there and are different now.
        removed: instances that are there no more, as they were last.
    """

    snapshot: Snapshot
    added: tuple[Instance, ...] = ()
    updated: tuple[Instance, ...] = ()
    removed: tuple[Instance, ...] = ()


def difference(old: Snapshot | None, new: Snapshot) -> Change:
    """What has changed from `old`, or from nothing, to `new`."""
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
    """See that `name` can stand in a path.

    Raises:
        ConfigurationError: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        allowed = "letters, digits and _ . : $ @ + -, not beginning with . @ + or -, 255 at most"
        raise ConfigurationError(f"the {what} of an instance cannot be {name!r}: {allowed}")


def check_weight(weight: object) -> None:
    """See that `weight` is one.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= _HEAVIEST:
        raise ConfigurationError(f"the weight of an instance must be from 0 to {_HEAVIEST}, not {weight!r}")
