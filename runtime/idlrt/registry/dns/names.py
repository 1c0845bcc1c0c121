"""Options of a DNS registry URL: resolvers, and the name to look up for a service."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from idlrt.core import DEFAULT_GROUP, ServiceKey
from idlrt.errors import RegistryRefused
from idlrt.registry.url import RegistryUrl

__all__ = ["Settings"]

_PORT: Final = 53
_PLACEHOLDERS: Final = re.compile(r"\{(\w*)\}")
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a DNS registry.

    Attributes:
        resolvers: addresses and ports; empty for the resolvers of this machine.
        port: port of all instances; 0 to look up SRV records.
        template: template of the name; empty if none is given.
        domain: domain of the services; empty if none is given.
        resolves: whether to resolve the host names in SRV records.
        min_refresh: minimum seconds between two lookups.
        max_refresh: maximum seconds between two lookups.
        timeout: seconds that one lookup may take.
    """

    resolvers: tuple[tuple[str, int], ...]
    port: int
    template: str
    domain: str
    resolves: bool
    min_refresh: float
    max_refresh: float
    timeout: float

    @classmethod
    def of(cls, url: RegistryUrl) -> Settings:
        """Read the options of `url`.

        Raises:
            ConfigurationError: an option is invalid.
        """
        url.check_options(("domain", "max_refresh", "min_refresh", "name", "port", "resolve", "timeout"))
        option = url.options.get
        if url.path:
            raise url.refuse(f"a path (/{url.path}) is not supported; write domain={url.path} for a domain")
        if option("domain") and option("name"):
            raise url.refuse("domain and name exclude each other; give one of them")
        for placeholder in _PLACEHOLDERS.findall(option("name", "")):
            if placeholder not in ("service", "group"):
                raise url.refuse(f"unknown placeholder {{{placeholder}}} in name (known: {{service}}, {{group}})")
        found = cls(
            resolvers=tuple(_resolver(url, host, port) for host, port in url.hosts),
            port=_port(url),
            template=option("name", ""),
            domain=option("domain", "").strip("."),
            resolves=_resolves(url),
            min_refresh=url.seconds("min_refresh", 1.0),
            max_refresh=url.seconds("max_refresh", 60.0),
            timeout=url.seconds("timeout", 3.0),
        )
        if found.min_refresh > found.max_refresh:
            raise url.refuse(
                f"min_refresh must be at most max_refresh ({found.max_refresh:g}), got {found.min_refresh:g}"
            )
        return found

    def name(self, key: ServiceKey) -> str:
        """Return the name to look up for a service.

        Raises:
            RegistryRefused: the options have no place for the group.
        """
        is_default = key.group == DEFAULT_GROUP
        if self.template:
            if not is_default and "{group}" not in self.template:
                raise self._no_place_for_group(key)
            return self.template.replace("{service}", key.service).replace("{group}", key.group)
        if self.domain:
            place = self.domain if is_default else f"{key.group}.{self.domain}"
            return f"{key.service}.{place}." if self.port else f"_{key.service}._tcp.{place}."
        if not is_default:
            raise self._no_place_for_group(key)
        return key.service

    def _no_place_for_group(self, key: ServiceKey) -> RegistryRefused:
        return RegistryRefused(
            f"cannot look up {key}: no place for its group; set domain=DOMAIN, or name=TEMPLATE with {{group}}"
        )


def _resolver(url: RegistryUrl, host: str, port: int) -> tuple[str, int]:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise url.refuse(f"a resolver must be an IP address, got {host!r}") from None
    return host, port or _PORT


def _port(url: RegistryUrl) -> int:
    text = url.options.get("port")
    if text is None:
        return 0
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise url.refuse(f"port must be between 1 and 65535, got {text!r}; omit it to look up SRV records")
    return int(text)


def _resolves(url: RegistryUrl) -> bool:
    text = url.options.get("resolve")
    if text is None:
        return bool(url.hosts)
    answer = _BOOLEANS.get(text.lower())
    if answer is None:
        raise url.refuse(f"resolve must be true or false, got {text!r}")
    return answer
