"""Admin port of servers: health checks, status and rotation, on a separate thread.

Pages register by path (`idlrt.server.admin.pages`). The port is an `idlrt.Server` that speaks HTTP only, so it answers
while the loop of the server that it belongs to is blocked, and limits, timeouts and filters apply to pages as they do
to other calls.
"""

from idlrt.server.admin.options import Admin, HealthCheck

__all__ = ["Admin", "HealthCheck"]
