"""DNS lookups with `dnspython`, whose errors are translated here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from idlrt.errors import ConfigurationError, RegistryRefused, RegistryUnavailable

if TYPE_CHECKING:
    import dns.asyncresolver

__all__ = ["Addresses", "Lookup", "Target", "Targets", "check_dnspython", "gather_all"]

T = TypeVar("T")

# Seconds before a name without records is looked up again.
_EMPTY_TTL: Final = 5.0
# Maximum UDP payload in bytes, as agreed for the DNS flag day 2020; longer responses use TCP.
_PAYLOAD: Final = 1232


class Target(msgspec.Struct, frozen=True):
    """An SRV record."""

    priority: int
    weight: int
    port: int
    host: str


class Targets(msgspec.Struct, frozen=True):
    """SRV records and their TTL in seconds."""

    records: Sequence[Target]
    ttl: float


class Addresses(msgspec.Struct, frozen=True):
    """Addresses and their TTL in seconds."""

    hosts: Sequence[str]
    ttl: float


def check_dnspython() -> None:
    """Check that `dnspython` is installed.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        import dns.asyncresolver  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ConfigurationError(
            "cannot use a DNS registry: dnspython is not installed; run pip install 'idlc[dns]'"
        ) from error


class Lookup:
    """DNS resolver. A name that does not exist, or has no records of a type, yields an empty list with a short TTL.

    Args:
        resolvers: addresses and ports; empty for the resolvers of this machine.
        timeout: seconds that a lookup may take, over all resolvers.

    Raises:
        RegistryUnavailable: this machine has no resolver.
    """

    def __init__(self, resolvers: Sequence[tuple[str, int]], timeout: float) -> None:
        import dns.asyncresolver
        import dns.exception
        import dns.nameserver

        try:
            self._resolver: dns.asyncresolver.Resolver = dns.asyncresolver.Resolver(configure=not resolvers)
        except dns.exception.DNSException as error:
            raise RegistryUnavailable(f"this machine has no DNS resolver ({error}); write dns://RESOLVER") from error
        if resolvers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in resolvers]
        self._who = ", ".join(str(each) for each in self._resolver.nameservers)
        self._resolver.lifetime = timeout
        self._resolver.timeout = min(timeout, 1.0)
        self._resolver.use_edns(0, 0, _PAYLOAD)

    async def targets(self, name: str) -> Targets:
        """Look up the SRV records of a name."""
        records, ttl = await self._ask(name, "SRV")
        return Targets(
            [
                Target(each.priority, each.weight, each.port, _text(each.target))
                for each in records
                if _text(each.target)
            ],
            ttl,
        )

    async def addresses(self, name: str) -> Addresses:
        """Look up the IPv4 and IPv6 addresses of a name."""
        answers = await gather_all(*(self._ask(name, kind) for kind in ("A", "AAAA")))
        hosts = [str(each.address) for records, _ in answers for each in records]
        # The short TTL of an empty answer must not shorten that of the other type.
        ttls = [ttl for records, ttl in answers if records] or [ttl for _, ttl in answers]
        return Addresses(hosts, min(ttls))

    async def _ask(self, name: str, kind: str) -> tuple[list[Any], float]:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            asked = dns.name.from_text(name, None)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise RegistryRefused(f"{name!r} is not a valid DNS name: {_words(error)}") from error
        try:
            answer = await self._resolver.resolve(asked, kind, raise_on_no_answer=False, search=True)
        except dns.resolver.NXDOMAIN:
            return [], _EMPTY_TTL
        except (dns.exception.DNSException, OSError) as error:
            if isinstance(error, dns.exception.Timeout):
                why = f"no response within {self._resolver.lifetime:.3g} s"
            else:
                why = _words(error)
            raise RegistryUnavailable(f"cannot look up {kind} of {name} at {self._who}: {why}") from error
        if answer.rrset is None:
            return [], _EMPTY_TTL
        return list(answer.rrset), float(answer.chaining_result.minimum_ttl)


async def gather_all(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines concurrently and return their results. If one fails, wait for the others before raising."""
    done = await asyncio.gather(*work, return_exceptions=True)
    found: list[T] = []
    for each in done:
        if isinstance(each, BaseException):
            raise each
        found.append(each)
    return found


def _words(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _text(name: Any) -> str:
    """Return a host name without its final dot; empty for the root, which in SRV means that there is no service."""
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text
