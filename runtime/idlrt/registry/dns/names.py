"""What the URL of a DNS registry says: whom to ask, and for which name."""

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
_PLACES: Final = re.compile(r"\{(\w*)\}")
_ANSWERS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a DNS registry.

    Attributes:
        resolvers: addresses and ports; empty for those of this machine.
        port: of all instances; 0 if SRV records tell it.
        template: of names; empty if `domain` or nothing tells them.
        domain: that services are in.
        resolves: whether the hosts that SRV records name are looked up.
        min_refresh: seconds that an answer is good for at least.
        max_refresh: at most.
        timeout: seconds that one look may take.
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
        """Those of `url`.

        Raises:
            ConfigurationError: something cannot be used.
        """
        url.check_options(("domain", "max_refresh", "min_refresh", "name", "port", "resolve", "timeout"))
        option = url.options.get
        if url.path:
            raise url.refuse(f"there is no place for /{url.path}; a domain is written domain={url.path}")
        if option("domain") and option("name"):
            raise url.refuse("there are a domain and a name; give one of them")
        for place in _PLACES.findall(option("name", "")):
            if place not in ("service", "group"):
                raise url.refuse(f"there is no {{{place}}} to fill into the name; known: {{service}}, {{group}}")
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
            raise url.refuse("min_refresh is over max_refresh")
        return found

    def name(self, key: ServiceKey) -> str:
        """The name to look a service up by.

        Raises:
            RegistryRefused: the group has no place in it.
        """
        is_default = key.group == DEFAULT_GROUP
        if self.template:
            if not is_default and "{group}" not in self.template:
                raise self._nowhere(key)
            return self.template.replace("{service}", key.service).replace("{group}", key.group)
        if self.domain:
            place = self.domain if is_default else f"{key.group}.{self.domain}"
            return f"{key.service}.{place}." if self.port else f"_{key.service}._tcp.{place}."
        if not is_default:
            raise self._nowhere(key)
        return key.service

    def _nowhere(self, key: ServiceKey) -> RegistryRefused:
        return RegistryRefused(
            f"no DNS name tells the group of {key}: give domain=DOMAIN, or name=TEMPLATE with {{group}} in it"
        )


def _resolver(url: RegistryUrl, host: str, port: int) -> tuple[str, int]:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise url.refuse(f"a resolver must be an address in numbers, not {host!r}") from None
    return host, port or _PORT


def _port(url: RegistryUrl) -> int:
    text = url.options.get("port")
    if text is None:
        return 0
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise url.refuse(f"port must be a number from 1 to 65535, not {text!r}; without it SRV records are asked for")
    return int(text)


def _resolves(url: RegistryUrl) -> bool:
    text = url.options.get("resolve")
    if text is None:
        return bool(url.hosts)
    answer = _ANSWERS.get(text.lower())
    if answer is None:
        raise url.refuse(f"resolve must be true or false, not {text!r}")
    return answer
