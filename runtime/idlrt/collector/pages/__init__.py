"""Pages of the collector for browsers: figures of services, methods and hosts, comparisons, marks, and its own load.

They are rendered on the server with the web kit. All that a page shows by choice is in its URL.
"""

from idlrt.collector.pages.site import COLLECTOR_SITE

__all__ = ["COLLECTOR_SITE"]
