"""Pictures of the collector's pages for the docs: made-up calls of the last hour, and real traces.

PYTHONPATH=tests/harness:tests/idlrt/collector python docs/images/draw.py docs/images
"""

from __future__ import annotations

import math
import random
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chromium import Page, opened
from hand_written import Users, UserServiceClient, user_service
from synthetic_programs import SyntheticProgram

from idlrt import Server, observe
from idlrt.collector import CollectorExporter, CollectorServer
from idlrt.collector.api import CollectorClient
from idlrt.errors import RpcError

_HOUR: Final = 3600
_STEP: Final = 10
_DICE: Final = random.Random(7)
_RULES: Final = """
[alerts.ShopFails]
service = "shop"
when = "error rate > 1 % for 10 s"
severity = "page"

[alerts.StockSlow]
service = "stock"
when = "p99 > 300 ms"
"""


class _Busy:
    """A program whose calls follow a curve, with a fault of the last ten minutes."""

    def __init__(self, service: str, number: int, methods: dict[str, float], **resource: str) -> None:
        self.program = SyntheticProgram(service, f"{service}-{number}", host=f"host-{number}", **resource)
        self.program.sender.started_at = time.time() - _HOUR - 60
        self.methods = methods
        self.callers = {"shop": ("web", "app"), "stock": ("shop",), "users": ("shop", "web")}[service]

    def step(self, age: float) -> None:
        """Count the calls of one step, `age` seconds ago."""
        is_faulty = self.program.sender.resource["service"] == "shop" and age < 600
        for name, rate in self.methods.items():
            count = max(round(rate * _STEP * (1 + 0.4 * math.sin(age / 500) + _DICE.gauss(0, 0.05))), 1)
            median = 16 + 0.8 * is_faulty
            calls = [int(_DICE.lognormvariate(median, 0.45)) for _ in range(count)]
            failed = count // 25 if is_faulty else int(_DICE.random() < 0.1)
            caller = _DICE.choice(self.callers)
            self.program.calls(name, calls[failed:], caller=caller)
            if failed:
                self.program.calls(name, calls[:failed], status="error", error="TimeoutError", caller=caller)


def _programs() -> list[_Busy]:
    shop = {"Shop.search": 8.0, "Shop.get": 12.0, "Shop.order": 2.0}
    return [
        *(_Busy("shop", number, shop, zone=f"eu-{number}", version="2.4") for number in (1, 2)),
        _Busy("stock", 1, {"Stock.reserve": 2.0, "Stock.get": 9.0}, zone="eu-1", version="1.9"),
        *(_Busy("users", number, {"Users.get": 15.0}, zone=f"eu-{number}", version="3.0") for number in (1, 2)),
    ]


def _push(server: CollectorServer, is_over: threading.Event) -> None:
    """Push the calls of the last hour, and then of each further step until it is over."""
    programs = _programs()
    for each in programs[:2]:
        each.program.core = frozenset({"Shop"})
    began = time.time()
    at = began - _HOUR
    with CollectorClient.connect(server.address, framing="header", protocol="compact", timeout=60.0) as client:
        newer = SyntheticProgram("shop", "shop-3", zone="eu-1", version="2.5", host="host-1")
        newer.sender.started_at = began - 1700
        while not is_over.is_set():
            if at > time.time():
                is_over.wait(at - time.time())
                continue
            for each in programs:
                each.step(began - at)
                for packet in each.program.packets(at=at):
                    client.push(packet)
            at += _STEP
            client.push(newer.packets(at=at)[0])


class _Stock(Users):
    def get(self, id: int) -> object:
        with observe.resource("postgresql", "select"):
            time.sleep(0.004)
        return super().get(id)


def _trace(server: CollectorServer) -> None:
    """Make some real calls of two programs."""
    with ExitStack() as stack:
        exporter = CollectorExporter(server.address, "users")
        stack.enter_context(observe.trace("users", sampler="always", exporters=[exporter]))
        serving = stack.enter_context(Server(user_service(_Stock()), workers=4).start())
        client = stack.enter_context(UserServiceClient.connect(serving.address, framing="header"))
        for number in range(12):
            with observe.span("checkout", {"step": number}):
                for id in (1, 2):
                    client.get(id)
                with observe.span("price"):
                    time.sleep(0.002)
                if number % 5 == 0:
                    with suppress(RpcError):
                        client.get(0)
    time.sleep(12)  # until traces are complete


def _shoot(page: Page, base: str, folder: Path, name: str, path: str, size: tuple[int, int], scheme: str) -> None:
    page.prefer(scheme)
    page.resize(*size)
    page.evaluate(f"location.href = {base + path!r}")
    page.wait_for(f"location.href === {base + path!r}")
    time.sleep(1.5)
    page.screenshot(folder / f"{name}.png")


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data:
        rules = Path(data) / "alerts.toml"
        rules.write_text(_RULES)
        is_over = threading.Event()
        collector = CollectorServer(Path(data) / "collected", "127.0.0.1:0", alerts=rules)
        with collector as server, ExitStack() as stack:
            pushing = threading.Thread(target=_push, args=(server, is_over))
            pushing.start()
            stack.callback(pushing.join)
            stack.callback(is_over.set)
            time.sleep(150)  # until it has caught up, and alerts were evaluated
            _trace(server)
            base = f"http://{server.address.removeprefix('tcp://')}"
            profile = Path(data) / "profile"
            profile.mkdir()
            with opened(f"{base}/", profile) as page:
                _shoot(page, base, folder, "collector-services", "/", (1180, 800), "light")
                _shoot(page, base, folder, "collector-service", "/service?service=shop", (1180, 1180), "light")
                _shoot(page, base, folder, "collector-traces", "/traces?service=users", (1180, 820), "dark")
                link = page.evaluate("document.querySelector('tbody th a[href*=traces]').getAttribute('href')")
                _shoot(page, base, folder, "collector-trace", f"/{link}", (1180, 760), "light")
                _shoot(page, base, folder, "collector-alerts", "/alerts", (1180, 620), "dark")
                if page.problems:
                    raise RuntimeError(f"the browser has reported problems: {page.problems}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
