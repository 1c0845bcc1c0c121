"""Whom a client calls, as text: one server (`tcp://host:port`, `unix:/path`), or whatever serves a service, by its
name.

    SCHEME://REGISTRY[/PATH]/SERVICE[?group=GROUP][&balancer=NAME][&OPTIONS OF THE REGISTRY]

as in `embedded://127.0.0.1:7400/UserService`. Without a path the service is the one of the client's IDL, so the URL of
the registry itself will do. Several servers that no registry knows are written one after the other,
`tcp://h1:9090,h2:9090`, which is short for the registry `static://h1:9090,h2:9090`. The name of a protocol stands for
`tcp` and that protocol: `jsonrpc://host:port`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from idlrt.balance import BALANCERS
from idlrt.core import DEFAULT_GROUP, ServiceKey
from idlrt.errors import ConfigurationError
from idlrt.net.address import Address
from idlrt.protocol.detection import is_protocol
from idlrt.registry.backend import REGISTRIES
from idlrt.registry.url import RegistryUrl

__all__ = ["NamedTarget", "parse_target", "spoken_to"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ADDRESSES: Final = ("tcp", "unix")
_SEVERAL: Final = re.compile(r"(?:tcp://)?([^/?#@]*,[^/?#@]*)(.*)", re.IGNORECASE | re.DOTALL)
_STATIC: Final = "static"
_THIS_MACHINE: Final = "localhost"


class NamedTarget(msgspec.Struct, frozen=True):
    """A service that is found by its name.

    Attributes:
        registry: where.
        key: which.
        balancer: how one of its instances is chosen; empty if the target does not say.
    """

    registry: RegistryUrl
    key: ServiceKey
    balancer: str = ""

    def __str__(self) -> str:
        return f"{self.key} of {self.registry}"


def parse_target(text: str, service: str) -> Address | NamedTarget:
    """What a client is told to call.

    Args:
        service: of the client's IDL, for targets that do not name one.

    Raises:
        ConfigurationError: it cannot be read.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return Address.parse(text)  # refused there
    match = _SCHEME.match(text)
    if match is None or match[1].lower() in _ADDRESSES:
        several = _SEVERAL.fullmatch(text) if not text.lower().startswith("unix:") else None
        if several is None:
            return Address.parse(text)
        url = _static(several[1], several[2])
    else:
        url = RegistryUrl.parse(text)
    path, _, name = url.path.rpartition("/")
    group = url.options.get("group", DEFAULT_GROUP)
    balancer = url.options.get("balancer", "")
    if balancer:
        BALANCERS.get(balancer)  # what is wrong is said now
    return NamedTarget(url.with_path(path).without(("group", "balancer")), ServiceKey(name or service, group), balancer)


def spoken_to(target: str, framing: str | None, protocol: str | None) -> tuple[str, str, dict[str, Any]]:
    """Return the target, the name of its protocol, and the options of that protocol, from arguments of `connect`. The
    name is empty if they do not say: then it is Thrift, or what an instance of a registry speaks.

    Args:
        target: may have the name of a protocol as its scheme.
        framing: an option of Thrift.
        protocol: a serialization of Thrift, or the name of another protocol.

    Raises:
        ConfigurationError: the arguments contradict each other, or are not text.
    """
    for name, value in (("framing", framing), ("protocol", protocol)):
        if not isinstance(value, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"{name} of a client must be a name, not {value!r}")
    rpc, given = "", target
    match = _SCHEME.match(target) if isinstance(target, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if match is not None and match[1].lower() not in _ADDRESSES and match[1].lower() not in REGISTRIES.names():
        scheme = match[1].lower()
        if is_protocol(scheme):
            rpc, target = scheme, f"tcp://{target[match.end() :]}"
    if protocol is not None and is_protocol(protocol):
        if rpc not in ("", protocol):
            what = f"target {given!r} selects {rpc}, but protocol={protocol!r} selects {protocol}"
            raise ConfigurationError(f"{what}; drop one of them")
        rpc, protocol = protocol, None
    wire = {"framing": framing, "serialization": protocol}
    return target, rpc, {name: value for name, value in wire.items() if value is not None}


def _static(servers: str, rest: str) -> RegistryUrl:
    """Servers, as if a registry had them."""
    found = [Address.parse(each) for each in servers.split(",")]
    hosts = tuple((each.host or _THIS_MACHINE, each.port) for each in found)
    url = RegistryUrl.parse(f"{_STATIC}://{_THIS_MACHINE}{rest}")
    return msgspec.structs.replace(url, hosts=hosts)
