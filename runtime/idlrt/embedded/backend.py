"""Registry backend for the embedded registry: `embedded://HOST[:PORT]`.

Options: `timeout` (session timeout in seconds, 6), `token` for a registry with an access list, `tls=true` with `ca`,
`cert` and `key` (files) for a registry that uses TLS.

Services are watched with long polls over one connection: each request asks for the changes since a revision, and the
registry responds when there are some. So a change arrives one network latency after it was made, and no change is lost
between two polls.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.embedded.api import AsyncRegistryClient, Conflict, InstanceName, NoSession, Refused
from idlrt.embedded.replica import Replica
from idlrt.embedded.server import DEFAULT_PORT
from idlrt.embedded.values import correction_of, record_of
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
    RpcError,
)
from idlrt.registry import AlreadyRegistered, RegistryUrl, ServiceData, SessionLost, Update
from idlrt.server import TOKEN

if TYPE_CHECKING:
    from idlrt import Tls

__all__ = ["EmbeddedBackend"]

_POLL: Final = 20.0
# Minimum timeout of calls in seconds; half the session timeout if that is longer.
_MIN_TIMEOUT: Final = 3.0
_TIMEOUT: Final = 6.0
# Maximum number of instances in a heartbeat.
_MAX_NAMES: Final = 1000


class EmbeddedBackend:
    """Registry backend for the embedded registry. Implements `Backend`."""

    is_read_only = False

    def __init__(self, url: RegistryUrl) -> None:
        url.check_options(("timeout", "token", "tls", "ca", "cert", "key"))
        if len(url.hosts) != 1:
            raise url.refuse(
                f"expected one host, got {len(url.hosts)}: the embedded registry is one process; for a cluster use "
                "zookeeper or etcd"
            )
        if url.path or url.user:
            raise url.refuse("users and paths are not supported; write embedded://HOST:PORT")
        host, port = url.hosts[0]
        self._target = f"[{host}]:{port or DEFAULT_PORT}" if ":" in host else f"{host}:{port or DEFAULT_PORT}"
        self._timeout = url.seconds("timeout", _TIMEOUT)
        self._call_timeout = max(_MIN_TIMEOUT, self._timeout / 2)
        self._tls = _tls(url)
        self._metadata = {TOKEN: token} if (token := url.options.get("token")) else {}
        self.heartbeat = self._timeout / 3
        self._session = 0
        self._made: AsyncRegistryClient | None = None
        # Whether the registry splits long responses into parts; versions before 0.2 do not.
        self._has_parts = True

    @property
    def _client(self) -> AsyncRegistryClient:
        if self._made is None:
            # Heartbeats use this connection all the time, so pings and a periodic reconnection gain nothing.
            made = AsyncRegistryClient.connect(
                self._target,
                framing="header",
                timeout=self._call_timeout,
                connect_timeout=self._call_timeout,
                calls_per_connection=1_000_000,
                ping_after=None,
                tls=self._tls,
                # Settings of services do not apply to the registry.
                config={},
            )
            self._made = made.using(metadata=self._metadata)
        return self._made

    async def open(self, lost: Callable[[], None]) -> None:
        with _translated():
            session = await self._client.begin(_client_name(), int(self._timeout * 1000))
        self._session = session.id
        self._has_parts = True
        self.heartbeat = session.timeout_ms / 3000

    async def close(self) -> None:
        made, self._made = self._made, None
        session, self._session = self._session, 0
        if made is not None:
            try:
                if session:
                    with _translated():
                        await made.end(session)
            finally:
                await made.close()

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        with _translated():
            if not registered:
                await self._client.keep(self._session)
            names = [InstanceName(group=each.group, service=each.service, id=each.id) for each in registered]
            missing: set[tuple[str, str, str]] = set()
            for start in range(0, len(names), _MAX_NAMES):
                for each in await self._renew(names[start : start + _MAX_NAMES]):
                    missing.add((each.group, each.service, each.id))
        return [each for each in registered if (each.group, each.service, each.id) in missing]

    async def _renew(self, names: list[InstanceName]) -> list[InstanceName]:
        try:
            return await self._client.renew(self._session, names)
        except ApplicationError as error:
            if error.code != ApplicationCode.UNKNOWN_METHOD:
                raise
            # A registry of an earlier version, which does not report missing instances.
            await self._client.keep(self._session)
            return []

    async def register(self, instance: Instance) -> None:
        with _translated():
            await self._client.register(self._session, record_of(instance))

    async def reclaim(self, instance: Instance) -> None:
        with _translated():
            record = record_of(instance)
            try:
                await self._client.reclaim(self._session, record)
            except ApplicationError as error:
                if error.code != ApplicationCode.UNKNOWN_METHOD:
                    raise
                await self._client.register(self._session, record)

    async def deregister(self, instance: Instance) -> None:
        with _translated():
            await self._client.deregister(self._session, instance.group, instance.service, instance.id)

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        replica = Replica(key)
        while True:
            if await self._poll(replica, _POLL):
                yield replica.found()

    async def find(self, key: ServiceKey) -> ServiceData:
        replica = Replica(key)
        await self._poll(replica)
        return replica.found()

    async def _poll(self, replica: Replica, seconds: float = 0.0) -> bool:
        """Poll the changes of a service; return whether there are any.

        Args:
            seconds: time to wait for a change.
        """
        key, wait_ms = replica.key, int(seconds * 1000)
        client = self._client.using(timeout=seconds + self._call_timeout) if seconds else self._client
        cursor = ""
        with _translated():
            while self._has_parts:
                try:
                    part = await client.part(key.group, key.service, replica.epoch, replica.revision, wait_ms, cursor)
                except ApplicationError as error:
                    if error.code != ApplicationCode.UNKNOWN_METHOD:
                        raise
                    self._has_parts = False
                    break
                if part.next is None:
                    return replica.apply(part)
                replica.add(part)
                cursor = part.next
            return replica.apply_changes(
                await client.changes(key.group, key.service, replica.epoch, replica.revision, wait_ms)
            )

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        now = Replica(key)
        await self._poll(now)
        # A revision is only meaningful together with the registry's epoch.
        then = Replica(key, epoch=now.epoch, revision=since)
        await self._poll(then)
        return now.update(then)

    async def groups(self) -> list[str]:
        return await self._names(lambda after: self._client.groups_after(after), lambda: self._client.groups())

    async def services(self, group: str) -> list[str]:
        return await self._names(
            lambda after: self._client.services_after(group, after), lambda: self._client.services(group)
        )

    async def _names(
        self, some: Callable[[str], Awaitable[list[str]]], all: Callable[[], Awaitable[list[str]]]
    ) -> list[str]:
        names: list[str] = []
        with _translated():
            while self._has_parts:
                try:
                    more = await some(names[-1] if names else "")
                except ApplicationError as error:
                    if error.code != ApplicationCode.UNKNOWN_METHOD:
                        raise
                    self._has_parts = False
                    break
                if not more:
                    return names
                names += more
            return await all()

    async def remove(self, key: ServiceKey) -> None:
        with _translated():
            try:
                await self._client.remove(key.group, key.service)
            except ApplicationError as error:
                if error.code != ApplicationCode.UNKNOWN_METHOD:
                    raise
                raise RegistryRefused(
                    f"cannot remove {key}: the registry at {self._target} is an older version; upgrade it"
                ) from None

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        with _translated():
            await self._client.correct(key.group, key.service, id, correction_of(patch))

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        with _translated():
            await self._client.configure(key.group, key.service, dict(settings))


@contextlib.contextmanager
def _translated() -> Generator[None]:
    """Translate errors of calls to registry errors."""
    try:
        yield
    except RegistryError:
        raise
    except NoSession:
        raise SessionLost("the registry has ended this client's session") from None
    except Conflict as error:
        raise AlreadyRegistered(error.message) from None
    except Refused as error:
        raise RegistryRefused(error.message) from None
    except ApplicationError as error:
        raise RegistryUnavailable(f"internal error of the registry: {error}") from error
    except RpcError as error:
        raise RegistryUnavailable(str(error)) from error


def _client_name() -> str:
    """Describe this program, for the registry's log."""
    return f"{platform.node()} {os.getpid()} {os.path.basename(sys.argv[0] or 'python')}"


def _tls(url: RegistryUrl) -> Tls | None:
    from idlrt import Tls

    options = url.options
    if options.get("tls", "false") not in ("true", "false"):
        raise url.refuse(f"tls must be true or false, got {options['tls']!r}")
    if options.get("tls") != "true":
        return None
    return Tls(authorities=options.get("ca", ""), certificate=options.get("cert", ""), key=options.get("key", ""))
