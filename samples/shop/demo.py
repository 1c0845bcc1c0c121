"""The demo, step by step: compile the IDL, serve it, call it; find it in a registry, kill an instance, and measure.

`make demo` runs this. All its output is real. `KEEP=1 make demo` keeps the shop, its customers and the collector with
its pages until Ctrl+C.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable


def step(number: int, text: str) -> None:
    print(f"\n== {number}. {text}", flush=True)


def shown(command: tuple[str, ...]) -> str:
    return " ".join(part.replace(PYTHON, "python") for part in command)


def run(*command: str) -> None:
    print("$", shown(command), flush=True)
    subprocess.run(command, cwd=HERE, check=True)


def curl(*arguments: str) -> None:
    """Run curl, or show what it would do where it is not installed."""
    command = ("curl", "-s", "-S", "-w", " (status %{http_code})\\n", *arguments)
    if shutil.which("curl") is None:
        print("$", shlex.join(command), "\nNOT RUN: curl is not installed", flush=True)
        return
    print("$", shlex.join(command), flush=True)
    subprocess.run(command, cwd=HERE, check=True)


def start(stack: ExitStack, *command: str) -> tuple[subprocess.Popen[str], str]:
    """Start a background process; return it and the last word of the line that it prints when it is ready."""
    print("$", shown(command), "&", flush=True)
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stack.callback(end, process)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit(f"{shown(command)} did not start")
    print(line)
    return process, line.rsplit(" ", 1)[1]


def screenshot(url: str, path: Path) -> None:
    """Let a browser draw a page, or say that there is none."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    browser = next((each for each in found if each is not None), None)
    if browser is None:
        print("NOT RUN: a screenshot of the page needs chromium")
        return
    with TemporaryDirectory() as profile:
        flags = ("--headless=new", "--no-sandbox", "--no-proxy-server", "--disable-gpu", f"--user-data-dir={profile}")
        picture = (f"--screenshot={path}", "--window-size=1280,1400", "--virtual-time-budget=4000")
        command = (browser, *flags, *picture, url)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=60)
    print(f"a picture of {url} is in {path.name}" if path.exists() else "NOT RUN: the browser drew nothing")


def end(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.terminate()
    return process.wait(timeout=20)


def show(path: str, start: str, count: int) -> None:
    """Print `count` lines of a generated file, from the one that begins with `start`."""
    lines = (HERE / path).read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(start))
    print("\n".join(f"    {line}" for line in lines[first : first + count]))


def main() -> None:
    step(1, "compile idl/shop.idl, and idl/common.idl that it includes")
    run(PYTHON, "-m", "idlc", "idl/shop.idl", "-o", "gen", "--error-format", "short")

    step(2, "what became of `union Payment` and of the exception `OutOfStock`")
    show("gen/company/shop/shop.py", "class Payment", 12)
    show("gen/company/shop/shop.py", "class OutOfStock", 8)

    with ExitStack() as stack:
        step(3, "a registry, a collector of figures and traces, and two instances of the shop")
        _, registry = start(stack, PYTHON, "-m", "idlrt", "registry", "serve", "--address", "127.0.0.1:0")
        data = stack.enter_context(TemporaryDirectory(prefix="collected-"))
        serve = (PYTHON, "-m", "idlrt", "monitor", "serve", "--data", data, "--address", "127.0.0.1:0")
        _, collector = start(stack, *serve, "--registry", registry)
        first, address = start(stack, PYTHON, "server.py", "127.0.0.1:0", registry, collector)
        second, _ = start(stack, PYTHON, "server.py", "127.0.0.1:0", registry, collector)
        until_registered(registry, 2)
        run(PYTHON, "-m", "idlrt", "registry", "instances", registry, "ShopService")

        step(4, "call one of them by its address, blocking and with asyncio")
        run(PYTHON, "client.py", address)

        step(5, "call it on the same port by HTTP, as routes and as JSON, and by JSON-RPC")
        url = address.replace("tcp://", "http://")
        curl(f"{url}/articles?text=tea&limit=2")
        curl(f"{url}/articles/T-9")
        line = {"sku": "T-2", "quantity": 1}
        order = {"basket": {"customer": 8, "lines": [line]}, "payment": {"voucher": "WELCOME"}}
        curl("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(order), f"{url}/ShopService/order")
        target = address.replace("tcp://", "jsonrpc://")
        call = ("call", target, "ShopService.get", '{"sku": "T-1"}', "--idl", "idl/shop.idl", "--compact-output")
        run(PYTHON, "-m", "idlrt", *call)

        step(6, "find the shop by its name, and kill one of the instances meanwhile")
        command = (PYTHON, "customers.py", registry, "3", collector)
        print("$", shown(command), "&", flush=True)
        customers = subprocess.Popen(command, cwd=HERE)
        stack.callback(customers.kill)
        time.sleep(1)
        first.kill()
        print(f"killed the instance at {address}", flush=True)
        if customers.wait(timeout=30):
            raise SystemExit("the customers have noticed")

        step(7, "the figures of these calls, in the instance that is left")
        run(PYTHON, "-m", "idlrt", "monitor", "top", f"{registry}/ShopService", "--once", "--since-start")

        step(8, "the same, with those of the instance that was killed, in the collector")
        if not os.environ.get("KEEP"):
            until_collected(collector)
            where = ("--where", "service=shop", "--by", "instance", "--by", "rpc_method")
            query = ("monitor", "query", collector, "rpc_server_call_duration_seconds", *where)
            run(PYTHON, "-m", "idlrt", *query)
            run(PYTHON, "-m", "idlrt", "trace", "search", collector, "--slowest", "--limit", "3")
            screenshot(f"http://{collector}/service?service=shop&last=900", HERE / "collector.png")
        else:
            keep(stack, registry, collector)

        step(9, "stop it: it leaves the registry, answers what it has, and ends")
        print(f"it ended with exit code {end(second)}")

    step(10, "compile again: nothing has changed, nothing is written")
    run(PYTHON, "-m", "idlc", "idl/shop.idl", "-o", "gen", "--error-format", "short")


def until_collected(collector: str) -> None:
    """Wait until the collector has the last figures of the shop, which pushes every second."""
    from idlrt.collector.api import CollectorClient, Query

    with CollectorClient.connect(collector, framing="header", protocol="compact") as opened:
        before = -1.0
        while True:
            now = time.time()
            query = Query(metric="rpc_server_call_duration_seconds", start=now - 600, end=now + 60, by=["service"])
            found = sum(each.total for each in opened.query(query).groups)
            if found == before:
                return
            before = found
            time.sleep(2)


def keep(stack: ExitStack, registry: str, collector: str) -> None:
    """Go on with a second instance and customers until Ctrl+C."""
    start(stack, PYTHON, "server.py", "127.0.0.1:0", registry, collector)
    customers = subprocess.Popen((PYTHON, "customers.py", registry, "86400", collector), cwd=HERE)
    stack.callback(customers.kill)
    print(f"the pages of the collector are at http://{collector}/ until Ctrl+C", flush=True)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        print()


def until_registered(registry: str, count: int) -> None:
    """Servers register in the background: wait until both can be found."""
    from idlrt.registry import Registry

    with Registry.connect(registry) as opened:
        while len(opened.instances("ShopService").instances) < count:
            time.sleep(0.02)


if __name__ == "__main__":
    main()
