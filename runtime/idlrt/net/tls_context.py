"""TLS contexts, loaded from the files in `idlrt.net.tls.Tls`.

When a connection is opened, at most once in `Tls.refresh_interval` seconds, the files are checked for changes, because
certificates are renewed while servers run. If loading fails (a new key has been written before its certificate), the
error is logged and the previous certificates stay in use.
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
    """TLS context of a client or server, reloaded when its files have changed. Thread-safe.

    Args:
        settings: TLS settings.
        is_server: whether the context is for a server.

    Raises:
        ConfigurationError: a file is missing or invalid.
    """

    def __init__(self, settings: Tls, *, is_server: bool) -> None:
        if is_server and not settings.certificate:
            raise ConfigurationError("TLS servers require a certificate: Tls(certificate=..., key=...)")
        self._settings = settings
        self._is_server = is_server
        self._lock = threading.Lock()
        self._stamps = self._read_stamps()
        self._checked_at = time.monotonic()
        try:
            self._context = self._load()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot load {self._files()} for TLS: {tls_reason(error)}") from error

    @property
    def current(self) -> ssl.SSLContext:
        """Context for a new connection."""
        now = time.monotonic()
        if now - self._checked_at >= self._settings.refresh_interval:
            with self._lock:
                self._checked_at = now
                stamps = self._read_stamps()
                if stamps != self._stamps:
                    self._reload(stamps)
        return self._context

    def server_name(self, host: str) -> str:
        """Return the host name that a client verifies in the certificate of the server at `host`."""
        return self._settings.server_name or host

    def _reload(self, stamps: list[tuple[int, int] | None]) -> None:
        try:
            self._context = self._load()
        except (OSError, ValueError) as error:
            files, why = self._files(), tls_reason(error)
            _log.error("cannot load %s: %s; keeping the previous certificates", files, why, extra={"files": files})
            return
        # Only after success, so that a failed load is retried.
        self._stamps = stamps
        files = self._files()
        _log.info("reloaded %s", files, extra={"files": files})

    def _files(self) -> str:
        return ", ".join(self._settings.paths()) or "the trust store of the system"

    def _read_stamps(self) -> list[tuple[int, int] | None]:
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
            # Without `password` OpenSSL would prompt for one at the terminal.
            context.load_cert_chain(settings.certificate, settings.key or None, password=_no_password)
        if settings.authorities:
            context.load_verify_locations(settings.authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        elif not self._is_server:
            context.load_default_certs()
        return context


def _no_password() -> str:
    raise ValueError("the private key is encrypted; use a key without a password")


def certificate_names(found: Any) -> tuple[str, ...]:
    """Return the names in a certificate from `getpeercert`: the common name, then the subject alternative names."""
    if not found:
        return ()
    common = [value for group in found.get("subject", ()) for key, value in group if key == "commonName"]
    others = [value for _, value in found.get("subjectAltName", ())]
    return tuple(dict.fromkeys([*common, *others]))


# Reasons that OpenSSL reports for an answer that is not TLS.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


def tls_advice(error: BaseException) -> str:
    """Return advice for the user of a client whose TLS handshake has failed."""
    if getattr(error, "verify_message", None):
        return "check the trusted authorities and the expected host name: Tls(authorities=..., server_name=...)"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return "the server does not use TLS on this port: connect without tls=, or to its TLS port"
    return "check that both sides support a common TLS version and accept each other's certificates"


def tls_reason(error: BaseException) -> str:
    """Return the human-readable reason of a failed handshake or of a file that cannot be loaded."""
    verified = getattr(error, "verify_message", None)
    if verified:
        reason = str(verified).rstrip(".")
        return f"certificate verification failed: {reason}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (getattr(error, "strerror", None) if isinstance(error, OSError) else None) or str(error)
