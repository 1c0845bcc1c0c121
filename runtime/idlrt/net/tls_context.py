"""TLS contexts, made of the files that `idlrt.net.tls.Tls` names.

The files are looked at again when connections are made, at most once in `Tls.refresh_interval` seconds: certificates
are renewed while servers run. What cannot be loaded (a key that has been written and a certificate that has not, yet)
is logged, and what was loaded before is used on.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from typing import Any

from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls

__all__ = ["TlsContext", "certificate_names", "tls_advice", "tls_reason"]

_log = get_logger("idlrt.net")


class TlsContext:
    """The context of one side, made anew when its files have changed. Safe to share between threads.

    Args:
        settings: see `Tls`.
        is_server: which side it is for.

    Raises:
        ConfigurationError: a file is missing, or not what it should be.
    """

    def __init__(self, settings: Tls, *, is_server: bool) -> None:
        if is_server and not settings.certificate:
            raise ConfigurationError("a server needs a certificate for TLS: Tls(certificate=..., key=...)")
        self._settings = settings
        self._is_server = is_server
        self._lock = threading.Lock()
        self._stamps = self._look()
        self._looked_at = time.monotonic()
        try:
            self._context = self._load()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot set up TLS with {self._files()}: {tls_reason(error)}") from error

    @property
    def current(self) -> ssl.SSLContext:
        """The context for a connection that is made now."""
        now = time.monotonic()
        if now - self._looked_at >= self._settings.refresh_interval:
            with self._lock:
                self._looked_at = now
                stamps = self._look()
                if stamps != self._stamps:
                    self._reload(stamps)
        return self._context

    def server_name(self, host: str) -> str:
        """What a client expects the certificate of the server at `host` to be for."""
        return self._settings.server_name or host

    def _reload(self, stamps: list[tuple[int, int] | None]) -> None:
        try:
            self._context = self._load()
        except (OSError, ValueError) as error:
            _log.error("goes on with the old certificates: cannot load %s: %s", self._files(), tls_reason(error))
            return
        # Only now: what could not be loaded is tried again.
        self._stamps = stamps
        _log.info("loaded %s again", self._files())

    def _files(self) -> str:
        return ", ".join(self._settings.paths()) or "the system's authorities"

    def _look(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for path in self._settings.paths():
            try:
                status = os.stat(path)
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_ino))
        return found

    def _load(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self._is_server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate:
            # A password would be asked for at the terminal.
            context.load_cert_chain(settings.certificate, settings.key or None, password=_no_password)
        if settings.authorities:
            context.load_verify_locations(settings.authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        elif not self._is_server:
            context.load_default_certs()
        return context


def _no_password() -> str:
    raise ValueError("the key has a password; keys without one are read")


def certificate_names(found: Any) -> tuple[str, ...]:
    """The names in a certificate as `getpeercert` gives it: the common name, then the alternative ones."""
    if not found:
        return ()
    common = [value for group in found.get("subject", ()) for key, value in group if key == "commonName"]
    others = [value for _, value in found.get("subjectAltName", ())]
    return tuple(dict.fromkeys([*common, *others]))


# What OpenSSL calls an answer that is none of TLS.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


def tls_advice(error: BaseException) -> str:
    """Return what a client can do about a handshake that failed."""
    if getattr(error, "verify_message", None):
        return "whom does this side trust? See Tls(authorities=..., server_name=...)"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return "the server does not speak TLS there: connect without tls=, or to its port with TLS"
    return "do both sides speak the same versions of TLS, and accept each other's certificates?"


def tls_reason(error: BaseException) -> str:
    """What is wrong, in words."""
    verified = getattr(error, "verify_message", None)
    if verified:
        return f"the certificate is not accepted: {verified}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (getattr(error, "strerror", None) if isinstance(error, OSError) else None) or str(error)
