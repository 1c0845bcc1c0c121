"""Collector: keeps what programs have counted, and their traces, for one machine or one team.

Run it with `idlrt monitor serve` or within a program (`CollectorServer`); programs push to it (`push`, and
`CollectorExporter` for traces), directly or through an agent on each host (`Agent`). It is an ordinary service:
described in `collector.idl`, compiled by idlc, served and called by idlrt.

It is a single process with a folder of files. Use Prometheus where there are more programs than one process can serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports

if TYPE_CHECKING:
    from idlrt.collector.agent import DEFAULT_AGENT_PORT, Agent
    from idlrt.collector.pusher import Pusher, push
    from idlrt.collector.receiving import DEFAULT_PORT
    from idlrt.collector.server import CollectorServer
    from idlrt.collector.span_exporter import CollectorExporter
    from idlrt.collector.traces import TailSampling

__all__ = [
    "DEFAULT_AGENT_PORT",
    "DEFAULT_PORT",
    "Agent",
    "CollectorExporter",
    "CollectorServer",
    "Pusher",
    "TailSampling",
    "push",
]


if not TYPE_CHECKING:
    # Programs that push do not import the server.
    __getattr__ = lazy_exports(
        __name__,
        {
            "idlrt.collector.agent": ("DEFAULT_AGENT_PORT", "Agent"),
            "idlrt.collector.pusher": ("Pusher", "push"),
            "idlrt.collector.receiving": ("DEFAULT_PORT",),
            "idlrt.collector.server": ("CollectorServer",),
            "idlrt.collector.span_exporter": ("CollectorExporter",),
            "idlrt.collector.traces": ("TailSampling",),
        },
    )
