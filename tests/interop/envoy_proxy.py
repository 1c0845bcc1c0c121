"""A real Envoy process with its Thrift filter in front of a server.

Source: https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/network/thrift_proxy/v3/thrift_proxy.proto
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_THRIFT = "type.googleapis.com/envoy.extensions.filters.network.thrift_proxy"
_SECONDS = 60
_PAUSE = 0.05


class Route(NamedTuple):
    """Transports and protocols of an Envoy port and of the server behind it.

    Attributes:
        outside: transport and protocol towards clients, as Envoy calls them.
        inside: the same towards the server.
    """

    outside: tuple[str, str]
    inside: tuple[str, str]

    def __str__(self) -> str:
        return " to ".join(" ".join(each).lower() for each in (self.outside, self.inside))


def find() -> str | None:
    """Envoy's program: beside this Python, or wherever programs are."""
    beside = Path(sys.executable).with_name("envoy")
    return str(beside) if beside.is_file() else shutil.which("envoy")


@contextlib.contextmanager
def envoy(program: str, routes: Sequence[Route], port: int, folder: Path) -> Iterator[dict[Route, int]]:
    """Run Envoy; gives the port of each route.

    Args:
        port: of the server behind it, on this machine.
        folder: for its configuration and its log.

    Raises:
        RuntimeError: it does not get ready; the message has its log.
    """
    config, admin, log = folder / "envoy.json", folder / "admin", folder / "log"
    config.write_text(json.dumps(_config(routes, port)), encoding="utf-8")
    command = [program, "-c", str(config), "--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id"]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--admin-address-path", str(admin)], stdout=out, stderr=out)
    try:
        ports = _ports(process, admin)
        if ports is None:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"Envoy is not ready after {_SECONDS} s, or ended ({process.poll()}):\n{text[-4000:]}")
        yield {route: ports[str(number)] for number, route in enumerate(routes)}
    finally:
        process.kill()
        process.wait()


def _ports(process: subprocess.Popen[bytes], admin: Path) -> dict[str, int] | None:
    pause = threading.Event()
    for _ in range(int(_SECONDS / _PAUSE)):
        if process.poll() is not None:
            return None
        with contextlib.suppress(OSError, ValueError):
            url = f"http://{admin.read_text(encoding='utf-8').strip()}"
            with urllib.request.urlopen(f"{url}/ready", timeout=5):  # raises until it is
                pass
            with urllib.request.urlopen(f"{url}/listeners?format=json", timeout=5) as answer:
                listeners = json.load(answer)["listener_statuses"]
            return {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in listeners}
        pause.wait(_PAUSE)
    return None


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _config(routes: Sequence[Route], port: int) -> dict[str, Any]:
    return {
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [_listener(str(number), route) for number, route in enumerate(routes)],
            "clusters": [_cluster(str(number), route, port) for number, route in enumerate(routes)],
        },
    }


def _listener(name: str, route: Route) -> dict[str, Any]:
    transport, protocol = route.outside
    router = {"@type": f"{_THRIFT}.router.v3.Router"}
    proxy = {
        "@type": f"{_THRIFT}.v3.ThriftProxy",
        "stat_prefix": f"thrift_{name}",
        "transport": transport,
        "protocol": protocol,
        "route_config": {"name": name, "routes": [{"match": {"method_name": ""}, "route": {"cluster": name}}]},
        "thrift_filters": [{"name": "envoy.filters.thrift.router", "typed_config": router}],
    }
    filters = [{"name": "envoy.filters.network.thrift_proxy", "typed_config": proxy}]
    return {"name": name, "address": _address(0), "filter_chains": [{"filters": filters}]}


def _cluster(name: str, route: Route, port: int) -> dict[str, Any]:
    transport, protocol = route.inside
    options = {"@type": f"{_THRIFT}.v3.ThriftProtocolOptions", "transport": transport, "protocol": protocol}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {"envoy.filters.network.thrift_proxy": options},
    }
