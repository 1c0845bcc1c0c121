"""All commands of `idlrt`, as one click program."""

from idlrt.cli.commands import main
from idlrt.cli.governance import config
from idlrt.cli.health_command import health
from idlrt.cli.monitor import monitor
from idlrt.cli.monitor_agent import agent
from idlrt.cli.monitor_alerts import alerts, check, silence
from idlrt.cli.monitor_collector import query, search
from idlrt.cli.monitor_collector import serve as serve_collector
from idlrt.cli.monitor_dashboards import dashboards
from idlrt.cli.registry import registry
from idlrt.cli.routing import route
from idlrt.cli.trace import trace

__all__ = ["main"]

monitor.add_command(agent)
monitor.add_command(alerts)
monitor.add_command(check)
monitor.add_command(dashboards)
monitor.add_command(query)
monitor.add_command(serve_collector)
monitor.add_command(silence)
trace.add_command(search)

main.add_command(config)
main.add_command(health)
main.add_command(monitor)
main.add_command(registry)
main.add_command(route)
main.add_command(trace)
