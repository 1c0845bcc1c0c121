"""Questions to DNS with `dnspython`. This is the seam where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from idlrt.errors import ConfigurationError, RegistryRefused, RegistryUnavailable

if TYPE_CHECKING:
    import dns.asyncresolver

__all__ = ["Addresses", "Lookup", "Target", "Targets", "need_dnspython", "together"]

T = TypeVar("T")

# Seconds after which it is asked again for what is not there.
_NOTHING: Final = 5.0
# What a resolver may send without being asked to use TCP (the DNS flag day of 2020).
_PAYLOAD: Final = 1232


class Target(msgspec.Struct, frozen=True):
    """An SRV record."""

    priority: int
    weight: int
    port: int
    host: str


class Targets(msgspec.Struct, frozen=True):
    """SRV records, and the seconds that they are good for."""

    records: Sequence[Target]
    ttl: float


class Addresses(msgspec.Struct, frozen=True):
    """Addresses, and the seconds that they are good for."""

    hosts: Sequence[str]
    ttl: float


def need_dnspython() -> None:
    """See that `dnspython` is there.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        import dns.asyncresolver  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ConfigurationError(
            "DNS is asked with dnspython, which is not installed: pip install idlc[dns]"
        ) from error


class Lookup:
    """Asks for records. A name that does not exist, or has none of a kind, has none, which is looked at again soon.

    Args:
        resolvers: addresses and ports; empty for those of this machine.
        timeout: seconds that a question may take, at all of them together.

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
            raise RegistryUnavailable(f"this machine has no resolver ({error}); write dns://RESOLVER") from error
        if resolvers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in resolvers]
        self._who = ", ".join(str(each) for each in self._resolver.nameservers)
        self._resolver.lifetime = timeout
        self._resolver.timeout = min(timeout, 1.0)
        self._resolver.use_edns(0, 0, _PAYLOAD)

    async def targets(self, name: str) -> Targets:
        """The SRV records of a name."""
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
        """The addresses of a name, of both kinds."""
        answers = await together(*(self._ask(name, kind) for kind in ("A", "AAAA")))
        hosts = [str(each.address) for records, _ in answers for each in records]
        # Of a kind that is not there little is said; what is there tells how long that is good for.
        ttls = [ttl for records, ttl in answers if records] or [ttl for _, ttl in answers]
        return Addresses(hosts, min(ttls))

    async def _ask(self, name: str, kind: str) -> tuple[list[Any], float]:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            asked = dns.name.from_text(name, None)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise RegistryRefused(f"{name!r} cannot be a name in DNS: {_words(error)}") from error
        try:
            answer = await self._resolver.resolve(asked, kind, raise_on_no_answer=False, search=True)
        except dns.resolver.NXDOMAIN:
            return [], _NOTHING
        except (dns.exception.DNSException, OSError) as error:
            if isinstance(error, dns.exception.Timeout):
                why = f"no answer within {self._resolver.lifetime:.3g} s"
            else:
                why = _words(error)
            raise RegistryUnavailable(f"cannot look up {kind} of {name} at {self._who}: {why}") from error
        if answer.rrset is None:
            return [], _NOTHING
        return list(answer.rrset), float(answer.chaining_result.minimum_ttl)


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """What all of them return. If one fails the others are waited for all the same: none is left behind."""
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
    """A host as its clients write it; empty for the root, which in SRV means that there is no such service."""
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text
