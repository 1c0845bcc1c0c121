"""The page `/cells` of admin ports: what an instance has measured."""

from __future__ import annotations

from typing import Final

from idlrt.errors import RpcError
from idlrt.net import Tls
from idlrt.observe.snapshot import Snapshot, decode_snapshot
from idlrt.tools.instances import AdminUrl, PageReader

__all__ = ["CellsReader", "MetricsUnavailable"]

_MISSING: Final = "it has no page /cells; the server must measure calls, as it does unless metrics=False"


class MetricsUnavailable(RpcError):
    """The metrics of an instance cannot be read. The message is the reason, without the instance."""


class CellsReader:
    """Reader of `/cells`. Threads may share it.

    Args:
        token: token to send; empty for none.
        tls: TLS settings for https. Default: the trust store of the system.
        timeout: seconds for one request.

    Raises:
        ConfigurationError: a file of `tls` is missing or invalid.
    """

    def __init__(self, *, token: str = "", tls: Tls | None = None, timeout: float = 2.0) -> None:
        self._pages = PageReader(token=token, tls=tls, timeout=timeout)

    def read(self, url: AdminUrl) -> Snapshot:
        """Return the metrics of an instance since its start.

        Raises:
            MetricsUnavailable: it cannot be reached, or does not respond with metrics.
        """
        try:
            return decode_snapshot(self._pages.read(url, "/cells", _MISSING))
        except RpcError as error:
            raise MetricsUnavailable(str(error)) from None
