"""Target URLs of clients: one server (`tcp://host:port`, `unix:/path`), or a service of a registry.

    SCHEME://REGISTRY[/PATH]/SERVICE[?group=GROUP][&balancer=NAME][&OPTIONS OF THE REGISTRY]

as in `embedded://127.0.0.1:7400/UserService`. Without a path the service is the one of the client's IDL, so the URL of
the registry is enough. Several servers without a registry are separated by commas: `tcp://h1:9090,h2:9090` is short for
the registry `static://h1:9090,h2:9090`. The name of a protocol as the scheme selects `tcp` with that protocol:
`jsonrpc://host:port`. `http://host:port/prefix` and `https://host:port/prefix` are targets of HTTP
(`idlrt.client.http_target`).
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from idlrt.balance import BALANCERS
from idlrt.client.http_target import HTTP, HttpTarget, authority_of, is_http_target
from idlrt.core import DEFAULT_GROUP, ServiceKey
from idlrt.errors import ConfigurationError
from idlrt.net.address import Address
from idlrt.protocol.detection import is_protocol
from idlrt.registry.backend import REGISTRIES
from idlrt.registry.url import RegistryUrl

__all__ = ["NamedTarget", "ResolvedTarget", "parse_target", "resolve_protocol"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ADDRESSES: Final = ("tcp", "unix")
_SEVERAL: Final = re.compile(r"(?:tcp://)?([^/?#@]*,[^/?#@]*)(.*)", re.IGNORECASE | re.DOTALL)
_STATIC: Final = "static"
_THIS_MACHINE: Final = "localhost"


class NamedTarget(msgspec.Struct, frozen=True):
    """Service of a registry.

    Attributes:
        registry: URL of the registry.
        key: name and group of the service.
        balancer: name of the balancer; empty if the target names none.
    """

    registry: RegistryUrl
    key: ServiceKey
    balancer: str = ""

    def __str__(self) -> str:
        return f"{self.key} of {self.registry}"


def parse_target(text: str, service: str) -> Address | NamedTarget:
    """Parse a target URL.

    Args:
        service: name in the client's IDL, for targets that name no service.

    Raises:
        ConfigurationError: the target is invalid.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return Address.parse(text)  # raises
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
        BALANCERS.get(balancer)  # raises now if it is unknown, not at the first call
    return NamedTarget(url.with_path(path).without(("group", "balancer")), ServiceKey(name or service, group), balancer)


class ResolvedTarget(msgspec.Struct, frozen=True):
    """Target of a client, and the protocol that the arguments of `connect` select.

    Attributes:
        target: target without the name of a protocol.
        protocol: name of the protocol; empty for Thrift, or one that a registry announces.
        options: options of the protocol.
        is_encrypted: whether the target requires TLS; `None` if it does not say.
    """

    target: str
    protocol: str
    options: dict[str, Any]
    is_encrypted: bool | None = None


def resolve_protocol(target: str, framing: str | None, protocol: str | None) -> ResolvedTarget:
    """Return the target, its protocol and the options of that protocol, from arguments of `connect`.

    Args:
        target: its scheme may be the name of a protocol.
        framing: an option of Thrift.
        protocol: a serialization of Thrift, or the name of another protocol.

    Raises:
        ConfigurationError: the arguments contradict each other, or are not text.
    """
    for name, value in (("framing", framing), ("protocol", protocol)):
        if not isinstance(value, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"{name} must be a string, got {value!r}")
    rpc, given = "", target
    wire: dict[str, Any] = {"framing": framing}
    is_encrypted: bool | None = None
    match = _SCHEME.match(target) if isinstance(target, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if match is not None and is_http_target(target):
        web = HttpTarget.parse(target)
        rpc, target, is_encrypted = HTTP, web.servers, web.is_encrypted
        wire |= {"prefix": web.prefix, "authority": web.authority or None}
    elif match is not None and match[1].lower() not in _ADDRESSES and match[1].lower() not in REGISTRIES.names():
        scheme = match[1].lower()
        if is_protocol(scheme):
            rpc, target = scheme, f"tcp://{target[match.end() :]}"
    if protocol is not None and is_protocol(protocol):
        if rpc not in ("", protocol):
            what = f"target {given!r} selects {rpc}, but protocol={protocol!r} selects {protocol}"
            raise ConfigurationError(f"{what}; drop one of them")
        if protocol == HTTP and not rpc:
            wire |= {"authority": _authority(target)}
        rpc, protocol = protocol, None
    wire["serialization"] = protocol
    options = {name: value for name, value in wire.items() if value is not None}
    return ResolvedTarget(target, rpc, options, is_encrypted)


def _authority(target: str) -> str | None:
    """Return host and port of a server that HTTP is spoken to; `None` for a service of a registry."""
    found = parse_target(target, "any")
    return authority_of(found) if isinstance(found, Address) else None


def _static(servers: str, rest: str) -> RegistryUrl:
    """Return the URL of the static registry with these servers."""
    found = [Address.parse(each) for each in servers.split(",")]
    hosts = tuple((each.host or _THIS_MACHINE, each.port) for each in found)
    url = RegistryUrl.parse(f"{_STATIC}://{_THIS_MACHINE}{rest}")
    return msgspec.structs.replace(url, hosts=hosts)
