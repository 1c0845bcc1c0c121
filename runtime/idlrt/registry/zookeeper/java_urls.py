"""URLs with which Motan and Dubbo describe instances.

    PROTOCOL://HOST:PORT/PATH?NAME=VALUE&NAME=VALUE

Attributes for which both frameworks have a parameter are written to it (`weight`, `timeout` and `timestamp` in
milliseconds, `retries`), and each metadata entry to a parameter of the same name. All else is JSON in a single
parameter, `idlrt`, which the frameworks ignore.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus

import msgspec

from idlrt.core import THRIFT, Instance, RpcProtocols, ServiceKey, Status

__all__ = ["JavaUrl", "describe", "instance_of", "java_quote", "protocol_of", "split_version"]

_NUMBERS: Final = frozenset({"weight", "timeout", "retries", "timestamp"})
# Names and values that need no quoting.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_PLAIN_VALUE: Final = re.compile(r"(?! )[^&?%+#\x00-\x1f\x7f-\U0010ffff]+(?<! )")
_URL: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/?]*@)?(\[[^\]]*\]|[^:/?]+)(?::(\d+))?(/[^?]*)?(?:\?(.*))?"
)
_MAX_WEIGHT: Final = 1_000_000


class JavaUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Components of a URL; `parameters` are not unquoted."""

    protocol: str
    host: str
    port: int
    path: str = ""
    parameters: Mapping[str, str] = {}

    @classmethod
    def parse(cls, text: str) -> JavaUrl:
        """Parse a URL. Raises `ValueError`."""
        match = _URL.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a provider URL")
        protocol, host, port, path, query = match.groups()
        pairs = (each.partition("=") for each in (query or "").split("&") if each)
        return cls(
            protocol=protocol,
            host=host.strip("[]"),
            port=int(port or 0),
            path=(path or "").strip("/"),
            parameters={name: value for name, _, value in pairs},
        )

    def text(self) -> str:
        """Build the URL; parameters are sorted by name."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        parameters = "&".join(f"{name}={value}" for name, value in sorted(self.parameters.items()))
        return f"{self.protocol}://{host}:{self.port}/{self.path}?{parameters}"


def protocol_of(instance: Instance, known: Sequence[str]) -> str:
    """Return the protocol for the URL of an instance: the first that the framework knows, so that its own programs can
    call the instance, else `thrift`.
    """
    return next((each for each in (*instance.rpc_protocols, *instance.protocols) if each in known), THRIFT)


def java_quote(text: str) -> str:
    """Quote a string like `java.net.URLEncoder.encode(text, "UTF-8")`."""
    return quote_plus(text, safe="*-._").replace("~", "%7E")


def split_version(key: ServiceKey) -> tuple[str, str]:
    """Split a service name `INTERFACE:VERSION`, as Dubbo writes it. The version may be empty."""
    interface, _, version = key.service.partition(":")
    return interface, version


class _Extra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Content of the parameter `idlrt`: the attributes that differ from their defaults."""

    id: str = ""
    protocols: tuple[str, ...] = ("header", "framed", "unframed")
    rpc_protocols: RpcProtocols = {}
    version: str = ""
    zone: str = ""
    tags: Mapping[str, str] = {}
    routing: Mapping[str, str] = {}
    metadata: Mapping[str, str] = {}
    status: Status | None = None


def describe(instance: Instance, reserved: frozenset[str]) -> dict[str, str]:
    """Return the parameters that describe an instance, unquoted, without those `reserved` for the framework."""
    parameters: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for name, value in instance.metadata.items():
        is_plain = _PLAIN_NAME.fullmatch(name) and _PLAIN_VALUE.fullmatch(value)
        is_ours = name in reserved or name in _NUMBERS or name == "idlrt"
        (parameters if is_plain and not is_ours else metadata)[name] = value
    parameters["weight"] = str(instance.weight)
    if instance.timeout is not None:
        parameters["timeout"] = str(max(round(instance.timeout * 1000), 1))
    if instance.retries is not None:
        parameters["retries"] = str(instance.retries)
    if instance.started_at:
        parameters["timestamp"] = str(round(instance.started_at * 1000))
    default_id = Instance(service=instance.service, host=instance.host, port=instance.port).id
    extra = _Extra(
        id=instance.id if instance.id != default_id else "",
        protocols=instance.protocols,
        rpc_protocols=instance.rpc_protocols,
        version=instance.version,
        zone=instance.zone,
        tags=instance.tags,
        routing=instance.routing,
        metadata=metadata,
        status=Status.DRAINING if instance.status is Status.DRAINING else None,
    )
    parameters["idlrt"] = msgspec.json.encode(extra).decode()
    return parameters


def instance_of(key: ServiceKey, url: JavaUrl, reserved: frozenset[str], *, is_up: bool) -> Instance:
    """Build the instance that a URL describes; its parameters must be unquoted.

    Args:
        is_up: whether the framework considers the instance to be in rotation.

    Raises:
        ValueError: the URL is invalid (including `ConfigurationError` and `msgspec.ValidationError`).
    """
    own = url.parameters.get("idlrt")
    # Without the parameter, another framework has registered it, which speaks one protocol on this port.
    extra = msgspec.json.decode(own, type=_Extra) if own is not None else _Extra(protocols=(url.protocol,))
    metadata = {
        name: value
        for name, value in url.parameters.items()
        if name not in reserved and name not in _NUMBERS and name != "idlrt"
    }
    retries = _number(url, "retries")
    return Instance(
        service=key.service,
        group=key.group,
        id=extra.id,
        host=url.host,
        port=url.port,
        protocols=extra.protocols,
        rpc_protocols=extra.rpc_protocols,
        version=extra.version,
        weight=min(round(_number(url, "weight", 100)), _MAX_WEIGHT),
        zone=extra.zone,
        tags=extra.tags,
        timeout=_number(url, "timeout") / 1000 or None,
        retries=round(retries) if "retries" in url.parameters else None,
        routing=extra.routing,
        started_at=_number(url, "timestamp") / 1000,
        status=Status.UP if is_up else (extra.status or Status.DISABLED),
        metadata={**metadata, **extra.metadata},
    )


def _number(url: JavaUrl, name: str, default: float = 0.0) -> float:
    """Read a numeric parameter; invalid values of other programs become the default."""
    try:
        value = float(url.parameters.get(name, default))
    except ValueError:
        return default
    return max(value, 0.0) if math.isfinite(value) else default
