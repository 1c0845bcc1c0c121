"""Registration of a server in a registry.

A server registers once it accepts connections, can be taken out of rotation and put back, and deregisters before it
stops, so that clients move to other instances while it still answers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypedDict, cast

from idlrt.core import THRIFT, Instance, RpcProtocols, Served, Status
from idlrt.core.keyword_options import suggestion
from idlrt.errors import ConfigurationError, RegistryError
from idlrt.net import Address
from idlrt.net.local_address import local_host_for
from idlrt.printable import plural
from idlrt.protocol.http.options import PREFIX_KEY
from idlrt.registry import Registration, Registry, RegistryUrl, shared_registries

__all__ = ["ADMIN_KEY", "AnnouncedPort", "InstanceOptions", "ServiceRegistrar"]

ADMIN_KEY: Final = "admin"
"""Key in the metadata of an instance: URL of its admin port."""

_ALL_INTERFACES: Final = ("", "0.0.0.0", "::")  # compared with, not listened on
# Timeouts of the registry when a server starts and stops, in seconds.
_REGISTER_TIMEOUT: Final = 1.0
_DEREGISTER_TIMEOUT: Final = 2.0
# Scheme of registries inside this process.
_MEMORY: Final = "memory"
_FRAMINGS: Final = ("header", "framed", "unframed")


class InstanceOptions(TypedDict, total=False):
    """Properties of a server's instance in a registry (`idlrt.core.Instance`).

    Attributes:
        advertise: address at which clients reach the server, `host` or `host:port`, if it differs from the address on
            which it listens (in a container, behind a forwarded port). Default: the address on which it listens; a
            server that listens on all interfaces advertises the address of the interface that routes to the registry.
        service: name of the service in the registry, for servers of one service. Default: the name in the IDL.
        group: group in which clients look for the instance. Default: `default`.
        id: unique name of the instance within its service. While another live instance with the same id exists at
            another address, this one waits to be registered. Default: the advertised `host:port`.
        version: version of the program, shown by tools and matched by routing rules. Default: empty.
        weight: share of calls relative to other instances; 0 receives no calls. Default: 100.
        zone: data center or availability zone, for routing rules. Default: empty.
        tags: names and values for routing rules; `{"tag": "gray"}` reserves the instance for calls with the tag `gray`.
            Default: none.
        timeout: recommended timeout of a call in seconds, for clients of other frameworks. Default: none.
        retries: recommended number of retries, for clients of other frameworks. Default: none.
        routing: data for routers, by the name of the router. Default: none.
        status: `up`, or `disabled` to register out of rotation until `enable()`. Default: `up`.
        metadata: other names and values. An instance with the `instance_token` of a previous one takes over its id at
            once, even at another address and before the previous session has expired. `admin` is the URL of the admin
            port, for tools; an empty one announces none. Default: none, and the admin port of the server if it is not
            limited to this machine, or if the registry is on this machine as well.
    """

    advertise: str
    service: str
    group: str
    id: str
    version: str
    weight: int
    zone: str
    tags: Mapping[str, str]
    timeout: float
    retries: int
    routing: Mapping[str, str]
    status: Status | str
    metadata: Mapping[str, str]


class AnnouncedPort(Protocol):
    """The admin port of the server, as it is announced."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        ...

    def url_at(self, host: str) -> str:
        """Return its URL, with `host` if it listens on all interfaces."""
        ...


class ServiceRegistrar:
    """Registers the services of one server, and deregisters them.

    Args:
        registry: URL of the registry; or a `Registry`, which the caller closes.
        options: properties of the instance.
        served: services of the server; each gets a registration.
        wanted: address on which the server will listen; port 0 is allowed.
        rpc_protocols: RPC protocols that the server supports, with the serializations of each.
        is_encrypted: whether clients need TLS.
        http_prefix: path in front of the routes of HTTP; empty for none.
        register_timeout: seconds that `wait_registered` waits for the registry.
        deregister_timeout: seconds that `deregister` waits for the registry, for all registrations together.

    Raises:
        ConfigurationError: an option is invalid, the registry is read-only, or the server has a Unix socket.
    """

    def __init__(
        self,
        registry: str | Registry,
        options: InstanceOptions,
        served: Served,
        wanted: Address,
        *,
        rpc_protocols: RpcProtocols,
        is_encrypted: bool,
        http_prefix: str = "",
        register_timeout: float = _REGISTER_TIMEOUT,
        deregister_timeout: float = _DEREGISTER_TIMEOUT,
    ) -> None:
        given = cast("object", registry)
        if not isinstance(given, str | Registry):
            raise ConfigurationError(f"registry: must be a URL or an idlrt Registry, got {given!r}")
        self._given = registry if isinstance(registry, Registry) else None
        self._url = RegistryUrl.parse(registry) if isinstance(registry, str) else None
        self._options: dict[str, Any] = dict(options)
        self._served = served
        self._rpc_protocols = rpc_protocols
        self._is_encrypted = is_encrypted
        self._http_prefix = http_prefix
        self._register_timeout = register_timeout
        self._deregister_timeout = deregister_timeout
        self._registry: Registry | None = None
        self._registrations: list[Registration] = []
        self._is_registered = threading.Event()
        self._is_over = False
        self._lock = threading.Lock()
        known = InstanceOptions.__annotations__
        for name in options:
            if name not in known:
                raise ConfigurationError(f"unknown instance option {name!r}{suggestion(name, known)}")
        if "service" in options and len(served.services) > 1:
            count = plural(len(served.services), "service")
            raise ConfigurationError(f"instance: `service` requires a server with one service; this one has {count}")
        # Report invalid options now rather than in the background. The port may not be known yet.
        checked = self._given if self._url is None else Registry.connect(self._url, cache=False)
        if checked is not None and checked.is_read_only:
            raise ConfigurationError(f"cannot register at {checked}: the registry is read-only")
        self._instances(wanted if wanted.path else Address(wanted.host, wanted.port or 1))

    @property
    def registrations(self) -> Sequence[Registration]:
        """Registrations, one for each service; empty before `register` and after `deregister`."""
        return tuple(self._registrations)

    @property
    def registry(self) -> Registry | None:
        """The registry in which the server is registered; `None` before `register` and after `deregister`."""
        return self._registry

    def __str__(self) -> str:
        """URL of the registry, without secrets."""
        return str(self._given if self._url is None else self._url)

    @property
    def _is_registry_local(self) -> bool:
        if self._url is not None:
            url = self._url
        else:
            try:
                url = RegistryUrl.parse(str(self._given))
            except ConfigurationError:
                return False  # a registry of another kind, which may be anywhere
        return url.scheme == _MEMORY or all(Address(host, 0).is_loopback for host, _ in url.hosts)

    def _instances(self, bound: Address, admin: AnnouncedPort | None = None) -> list[Instance]:
        options = dict(self._options)
        host, port = self._advertised_address(str(options.pop("advertise", "")), bound)
        if "status" in options:
            try:
                options["status"] = Status(options["status"])
            except ValueError:
                raise ConfigurationError(
                    f"instance: `status` must be one of {', '.join(Status)}, got {options['status']!r}"
                ) from None
        name = options.pop("service", "")
        metadata = dict(options.pop("metadata", {}))
        if self._is_encrypted:
            metadata.setdefault("tls", "true")
        if self._http_prefix:
            metadata.setdefault(PREFIX_KEY, self._http_prefix)
        if admin is not None and (not admin.is_local or self._is_registry_local):
            metadata.setdefault(ADMIN_KEY, admin.url_at(host))
        if not metadata.get(ADMIN_KEY, "-"):
            del metadata[ADMIN_KEY]
        made: list[Instance] = []
        for number, handlers in enumerate(self._served.services):
            own = handlers.service.name
            # Methods of the first service only can be called without the `Service:` prefix.
            more = {"multiplexed": own} if number else {}
            made.append(
                Instance(
                    service=name or own,
                    host=host,
                    port=port,
                    # Clients of version 0.1 ignore instances that list none of these.
                    protocols=_FRAMINGS if THRIFT in self._rpc_protocols else tuple(self._rpc_protocols),
                    rpc_protocols=self._rpc_protocols,
                    started_at=time.time(),
                    metadata={**metadata, **more},
                    **options,
                )
            )
        return made

    def _advertised_address(self, advertised: str, bound: Address) -> tuple[str, int]:
        if bound.path:
            raise ConfigurationError(f"cannot register a server at {bound}: remote clients cannot reach a Unix socket")
        if advertised:
            given = Address.parse(advertised if _has_port(advertised) else f"{advertised}:{bound.port}")
            return given.host, given.port or bound.port
        if bound.host not in _ALL_INTERFACES:
            return bound.host, bound.port
        hosts = self._url.hosts if self._url is not None else ()
        return (local_host_for(*hosts[0]) if hosts else "127.0.0.1"), bound.port

    def register(self, bound: Address, admin: AnnouncedPort | None = None) -> None:
        """Register in the background, so that the server serves even while the registry is down. After `deregister`
        this does nothing.

        Args:
            bound: address on which the server listens.
            admin: its admin port; `None` if it has none.
        """
        with self._lock:
            if not self._is_over:
                instances = self._instances(bound, admin)
                if self._given is not None:
                    self._registry = self._given
                else:
                    assert self._url is not None
                    self._registry = shared_registries.acquire(self._url)
                self._registrations = [self._registry.register(each) for each in instances]
        self._is_registered.set()

    def wait_registered(self) -> None:
        """Wait until the registry has acknowledged the registrations, at most `register_timeout` seconds.

        Without a response the server serves unregistered, and registration continues in the background.
        """
        end = time.monotonic() + self._register_timeout
        self._is_registered.wait(self._register_timeout)
        for each in self._registrations:
            with contextlib.suppress(RegistryError):  # logged and retried by the registration
                each.wait(max(end - time.monotonic(), 0.0))

    def deregister(self) -> None:
        """Deregister, and wait for the registry's acknowledgement, at most `deregister_timeout` seconds. Idempotent."""
        with self._lock:
            self._is_over = True
            registrations, self._registrations = self._registrations, []
            registry, self._registry = self._registry, None
        # Send all requests first, so that an unresponsive registry costs one timeout, not one for each registration.
        end = time.monotonic() + self._deregister_timeout
        for each in registrations:
            each.deregister(0)
        for each in registrations:
            each.deregister(max(end - time.monotonic(), 0.0))
        if registry is not None and self._url is not None:
            shared_registries.release(self._url)

    def switch(self, status: Status) -> None:
        """Change the status of the instances, now or when they are registered."""
        with self._lock:
            if not self._registrations:
                self._options["status"] = status
            for each in self._registrations:
                each.update(status=status)


def _has_port(text: str) -> bool:
    return text.rpartition(":")[2].isdigit() and (text.count(":") == 1 or "]:" in text)
