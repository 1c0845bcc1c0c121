"""URLs as Motan and Dubbo write them to describe an instance, and what they say in common.

    PROTOCOL://HOST:PORT/PATH?NAME=VALUE&NAME=VALUE

What both frameworks have a parameter for is written to it (`weight`, `timeout` and `timestamp` in milliseconds,
`retries`), and metadata to parameters of their own names. What they know nothing of stands as JSON in one parameter,
`idlrt`, which they ignore.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from idlrt.core import Instance, ServiceKey

__all__ = ["JavaUrl", "describe", "instance_of", "java_quote", "split_version"]

# Of the URL itself; all else is written without, and read as, metadata.
_OWN: Final = ("id", "protocols", "version", "zone", "tags", "routing", "metadata")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_PLAIN_VALUE: Final = re.compile(r"[^\s&?%+#](?:[^&?%+#\r\n\t]*[^\s&?%+#])?")
_URL: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/?]*@)?(\[[^\]]*\]|[^:/?]+)(?::(\d+))?(/[^?]*)?(?:\?(.*))?"
)
# Ours, when it is not a protocol that the others know.
THRIFT: Final = "thrift"


class JavaUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A URL in its parts; `parameters` as they stand there."""

    protocol: str
    host: str
    port: int
    path: str = ""
    parameters: Mapping[str, str] = {}

    @classmethod
    def parse(cls, text: str) -> JavaUrl:
        """The parts of `text`. Raises `ValueError`."""
        match = _URL.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no URL of a provider")
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
        """The URL, its parameters by name."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        parameters = "&".join(f"{name}={value}" for name, value in sorted(self.parameters.items()))
        return f"{self.protocol}://{host}:{self.port}/{self.path}?{parameters}"


def java_quote(text: str) -> str:
    """As `java.net.URLEncoder.encode(text, "UTF-8")`."""
    return quote_plus(text, safe="*-._").replace("~", "%7E")


def split_version(key: ServiceKey) -> tuple[str, str]:
    """Interface and version of a service called `INTERFACE:VERSION`, as Dubbo writes it; the version may be empty."""
    interface, _, version = key.service.partition(":")
    return interface, version


def describe(instance: Instance, reserved: frozenset[str]) -> dict[str, str]:
    """The parameters of an instance, unquoted, but for those that are `reserved` for the framework."""
    parameters: dict[str, str] = {}
    more: dict[str, Any] = {}
    for name, value in instance.metadata.items():
        is_plain = _PLAIN_NAME.fullmatch(name) and _PLAIN_VALUE.fullmatch(value) and value.isascii()
        if is_plain and name not in reserved and name not in _NUMBERS and name != "idlrt":
            parameters[name] = value
        else:
            more.setdefault("metadata", {})[name] = value
    default = Instance(service=instance.service, host=instance.host, port=instance.port)
    for name in _OWN:
        value = getattr(instance, name)
        if name != "metadata" and value != getattr(default, name):
            more[name] = value
    parameters["weight"] = str(instance.weight)
    if instance.timeout is not None:
        parameters["timeout"] = str(max(round(instance.timeout * 1000), 1))
    if instance.retries is not None:
        parameters["retries"] = str(instance.retries)
    if instance.started_at:
        parameters["timestamp"] = str(round(instance.started_at * 1000))
    if instance.status not in ("up", "disabled"):
        more["status"] = instance.status
    parameters["idlrt"] = msgspec.json.encode(more).decode()
    return parameters


_NUMBERS: Final = frozenset({"weight", "timeout", "retries", "timestamp"})


def instance_of(key: ServiceKey, url: JavaUrl, reserved: frozenset[str], **more: Any) -> Instance:
    """The instance that a URL describes, its parameters unquoted.

    Raises:
        ValueError: it describes none (`ConfigurationError` is one).
    """
    said: dict[str, Any] = dict(more)
    own = url.parameters.get("idlrt")
    if own is None:
        # Somebody else's, who speaks one protocol on this port.
        said["protocols"] = (url.protocol,)
    else:
        for name, value in msgspec.json.decode(own, type=dict[str, Any]).items():
            if name in _OWN or (name == "status" and more.get("status") == "disabled"):
                said[name] = value
    said["metadata"] = {
        name: value
        for name, value in url.parameters.items()
        if name not in reserved and name not in _NUMBERS and name != "idlrt"
    } | said.get("metadata", {})
    said["weight"] = round(_number(url, "weight", 100))
    if "timeout" in url.parameters:
        said["timeout"] = _number(url, "timeout", 0) / 1000 or None
    if "retries" in url.parameters:
        said["retries"] = round(_number(url, "retries", 0))
    said["started_at"] = _number(url, "timestamp", 0) / 1000
    raw = {"service": key.service, "group": key.group, "host": url.host, "port": url.port, **said}
    return msgspec.convert(raw, Instance, strict=False)


def _number(url: JavaUrl, name: str, default: float) -> float:
    try:
        return max(float(url.parameters.get(name, default)), 0.0)
    except ValueError:
        return default
