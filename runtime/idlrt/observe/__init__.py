"""Measuring: what calls cost and come to.

- `histogram`: durations in log-linear buckets, which merge by addition.
- `cells`: histograms of many series, recorded without locks.
- `server_calls`: the calls of one server, recorded where its session ends them.
- `catalogue`: names, units and labels of all metrics; `exposition`: their text for Prometheus.
"""

from idlrt.observe.cells import OTHER
from idlrt.observe.histogram import Histogram
from idlrt.observe.server_calls import CallKey, ServerSnapshot, Sizes

__all__ = ["OTHER", "CallKey", "Histogram", "ServerSnapshot", "Sizes"]
