"""Site of the collector's pages: its name, navigation and templates."""

from __future__ import annotations

from typing import Final

from idlrt.web import NavItem, Site

__all__ = ["COLLECTOR_SITE"]

COLLECTOR_SITE: Final = Site(
    "Collector",
    (
        NavItem("/", "Services"),
        NavItem("/methods", "Methods"),
        NavItem("/graph", "Graph"),
        NavItem("/hosts", "Hosts"),
        NavItem("/resources", "Resources"),
        NavItem("/features", "Features"),
        NavItem("/governance", "Governance"),
        NavItem("/compare", "Compare"),
        NavItem("/traces", "Traces"),
        NavItem("/calls", "Calls"),
        NavItem("/alerts", "Alerts"),
        NavItem("/collector", "Collector"),
    ),
    "idlrt.collector.pages",
)
"""Templates and navigation of the collector."""
