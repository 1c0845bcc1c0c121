"""Commands that serve, call, ping and benchmark services."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from idlrt.cli.options import INSTANCE_TYPES, Rate, Seconds, client_options, idl_options, parse_pair, tls_of
from idlrt.cli.output import Group, echo, fail, report_errors
from idlrt.errors import ConfigurationError, RpcError
from idlrt.net.tls import Tls
from idlrt.printable import mask_passwords, plural, printable
from idlrt.protocol.http.options import Http
from idlrt.version import __version__

__all__ = ["main"]

_PERCENTILES = (50, 75, 90, 95, 99, 99.9)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="idlrt")
def main() -> None:
    """Serve, call, ping and benchmark Thrift services; inspect and change registries.

    \b
    Examples:
      idlrt serve handlers:Users --idl user.thrift --address 127.0.0.1:9090
      idlrt call tcp://127.0.0.1:9090 UserService.get '{"id": 42}' --idl user.thrift
      idlrt ping tcp://127.0.0.1:9090
      idlrt registry serve
      idlrt bench tcp://127.0.0.1:9090 UserService.get '{"id": 42}' --idl user.thrift --rate 2000
    """


@main.command(short_help="Serve a handler object.")
@click.argument("handler", metavar="MODULE:NAME")
@idl_options
@click.option("--service", default="", metavar="NAME", help="Service to serve, if the IDL has several.")
@click.option(
    "--address", default="127.0.0.1:9090", show_default=True, help="Address to listen on: host:port, :port, unix:/path."
)
@click.option(
    "--workers", type=int, default=0, show_default=True, help="Number of worker threads for plain handlers; 0: none."
)
@click.option("--processes", type=int, default=1, show_default=True, help="Number of processes that share the address.")
@click.option("--asyncio", "use_asyncio", is_flag=True, help="Serve on asyncio (with uvloop if installed).")
@click.option(
    "--grace",
    "grace_s",
    type=Seconds(zero=True),
    default=10.0,
    show_default=True,
    help="Time for calls in flight to complete on shutdown, in seconds.",
)
@click.option(
    "--drain",
    "drain_s",
    type=Seconds(zero=True),
    default=0.25,
    show_default=True,
    help="Time for clients to switch to other instances before shutdown, in seconds.",
)
@click.option("--tls-cert", default="", metavar="FILE", help="Server certificate (PEM); enables TLS.")
@click.option("--tls-key", default="", metavar="FILE", help="Key of the certificate, if in a separate file.")
@click.option("--tls-ca", default="", metavar="FILE", help="CA certificates (PEM) for required client certificates.")
@click.option("--registry", default="", metavar="URL", help="Registry to register the service in.")
@click.option(
    "--instance",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Attribute of the registered instance: group, zone, weight, version, advertise, status, ...; repeatable.",
)
@click.option(
    "--admin",
    metavar="ADDRESS",
    help="Admin port with health checks and status: a port of the loopback interface, or an address.",
)
@click.option("--http/--no-http", default=None, help="HTTP on the port.  [default: if the IDL has routes]")
@click.option("--openapi", is_flag=True, help="HTTP with an OpenAPI document and a page to try calls, at /_idl/.")
@click.option("--log-level", default="info", show_default=True, help="Log level: debug, info, warning or error.")
@report_errors
def serve(handler: str, idl: tuple[Path, ...], include_dirs: tuple[Path, ...], **named: Any) -> None:
    """Serve the object MODULE:NAME until Ctrl+C or SIGTERM; a class is instantiated.

    Stubs of the IDL that cannot be imported are compiled on the fly, so MODULE can import them in any case.
    """
    from idlrt.core import bind
    from idlrt.server import AsyncServer, ProcessServer, Server
    from idlrt.tools.stubs import stubs_of

    level = logging.getLevelNamesMapping().get(named.pop("log_level").upper())
    if level is None:
        raise ConfigurationError("--log-level must be debug, info, warning or error")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.path.insert(0, os.getcwd())
    service = stubs_of(idl, include_dirs, prefer_others=True).service(named.pop("service"))
    handlers = bind(service, _object(handler))
    cert, key, ca = (named.pop(each) for each in ("tls_cert", "tls_key", "tls_ca"))
    if (key or ca) and not cert:
        raise ConfigurationError("--tls-key and --tls-ca require --tls-cert")
    if cert:
        named["tls"] = Tls(certificate=cert, key=key, authorities=ca)
    attributes = dict(parse_pair(each, "--instance") for each in named.pop("attributes"))
    if named.pop("openapi"):
        if named["http"] is False:
            raise ConfigurationError("--openapi and --no-http cannot be combined")
        named["http"] = Http(openapi=True)
    url = named.pop("registry")
    if url:
        instance = {name: INSTANCE_TYPES.get(name, str)(value) for name, value in attributes.items()}
        named |= {"registry": url, "instance": instance}
    elif attributes:
        raise ConfigurationError("--instance requires --registry")
    address, processes, use_asyncio = named.pop("address"), named.pop("processes"), named.pop("use_asyncio")
    if use_asyncio and processes > 1:
        raise ConfigurationError("--asyncio and --processes cannot be combined")

    def announce(where: str) -> None:
        echo(f"serving {service.name} at {where}")

    if use_asyncio:

        async def run() -> None:
            server = await AsyncServer(handlers, address, **named).start()
            announce(server.address)
            await server.serve()

        _run_on_best_loop(run())
        return
    server = (
        ProcessServer(handlers, address, processes=processes, **named)
        if processes > 1
        else Server(handlers, address, **named)
    )
    with server:
        announce(server.address)
        sys.stdout.flush()
        server.serve()


def _run_on_best_loop(work: Any) -> None:
    factory = None
    with contextlib.suppress(ImportError):
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


def _object(place: str) -> object:
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise ConfigurationError(f"invalid handler {place!r}: expected MODULE:NAME")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ConfigurationError(f"cannot import handler module {module_name!r}: {error}") from None
        raise
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"cannot load handler {place!r}: module {module_name} has no attribute {name!r}")
        found = getattr(found, part)
    return found() if isinstance(found, type) else found


@main.command(short_help="Call a method with JSON arguments.")
@click.argument("url", metavar="URL")
@click.argument("method", metavar="SERVICE.METHOD")
@click.argument("arguments", default="{}", metavar="[JSON]")
@idl_options
@client_options
@click.option(
    "--metadata",
    multiple=True,
    metavar="NAME=VALUE",
    help="Metadata to send; requires --framing header, HTTP, JSON-RPC or a registry; repeatable.",
)
@click.option("--compact-output", is_flag=True, help="Print the result on one line.")
@report_errors
def call(
    url: str,
    method: str,
    arguments: str,
    idl: tuple[Path, ...],
    include_dirs: tuple[Path, ...],
    metadata: tuple[str, ...],
    compact_output: bool,
    **named: Any,
) -> None:
    """Call SERVICE.METHOD at URL and print the result as JSON.

    JSON is an object of arguments by name, an array of arguments in order, or - to read either from standard input.
    Exceptions are printed as JSON too, with exit code 1.
    """
    from idlrt.tools.json_values import arguments_from, error_to_json, result_to_json
    from idlrt.tools.stubs import stubs_of

    stubs = stubs_of(idl, include_dirs)
    service, found = stubs.method(method)
    values = arguments_from(found, sys.stdin.read() if arguments == "-" else arguments)
    pairs = dict(parse_pair(each) for each in metadata)
    indent = 0 if compact_output else 2
    with stubs.clients[service.name].connect(url, tls=tls_of(named), text_errors="surrogateescape", **named) as client:
        caller = client.using(metadata=pairs) if pairs else client
        try:
            result = result_to_json(found, getattr(caller, found.attribute)(*values), indent=indent)
        except RpcError as error:
            echo(error_to_json(error, indent=indent))
            sys.exit(1)
    echo(result)


@main.command(short_help="Probe a server.")
@click.argument("url", metavar="URL")
@click.option("--count", type=click.IntRange(min=1), default=4, show_default=True, help="Number of probes.")
@click.option(
    "--interval", type=Seconds(zero=True), default=0.5, show_default=True, help="Time between probes, in seconds."
)
@client_options
@report_errors
def ping(url: str, count: int, interval: float, **named: Any) -> None:
    """Probe the server at URL: send a ping of the protocol, or call a method that no server has.

    Requires no IDL. The exit code is 0 if the server responded to all probes.
    """
    from idlrt.client.target import NamedTarget, parse_target, resolve_protocol
    from idlrt.tools.probe import ProbeClient, probe

    address = resolve_protocol(url, None, None).target
    target = parse_target(address, "a")
    is_without_service = target != parse_target(address, "b")
    if is_without_service and isinstance(target, NamedTarget) and target.registry.scheme != "static":
        raise ConfigurationError(
            f"cannot ping {target.registry}: it is a registry; add the service to ping, as in "
            f"{target.registry}/SERVICE (`idlrt registry services {target.registry}` lists services)"
        )
    times: list[float] = []
    with ProbeClient.connect(url, tls=tls_of(named), **named) as client:
        for number in range(1, count + 1):
            try:
                seconds = probe(client)
            except RpcError as error:
                echo(f"{number}: {printable(str(error))}", err=True)
            else:
                times.append(seconds)
                echo(f"{number}: reply from {mask_passwords(url).removeprefix('tcp://')} in {_time(seconds)}")
            if number < count:
                time.sleep(interval)
    lost = count - len(times)
    replies = plural(len(times), "reply", "replies")
    summary = f"{plural(count, 'probe')}, {replies}, {lost} lost"
    if times:
        summary += f"; min {_time(min(times))} / avg {_time(sum(times) / len(times))} / max {_time(max(times))}"
    echo(summary)
    sys.exit(1 if lost else 0)


@main.command(short_help="Benchmark a method.")
@click.argument("url", metavar="URL")
@click.argument("method", metavar="SERVICE.METHOD")
@click.argument("arguments", default="{}", metavar="[JSON]")
@idl_options
@client_options
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Number of concurrent callers (closed loop).",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Number of connections that the callers share.",
)
@click.option("--rate", type=Rate(), default=0.0, help="Calls per second (open loop, without coordinated omission).")
@click.option(
    "--duration", type=Seconds(), default=10.0, show_default=True, help="Duration of the measurement, in seconds."
)
@click.option("-n", "--calls", type=click.IntRange(min=0), default=0, help="Number of calls after which to stop early.")
@click.option(
    "--warm-up",
    type=Seconds(zero=True),
    default=1.0,
    show_default=True,
    help="Duration of the warm-up, which is not measured, in seconds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@report_errors
def bench(
    url: str,
    method: str,
    arguments: str,
    idl: tuple[Path, ...],
    include_dirs: tuple[Path, ...],
    concurrency: int,
    connections: int,
    rate: float,
    duration: float,
    calls: int,
    warm_up: float,
    as_json: bool,
    **named: Any,
) -> None:
    """Call SERVICE.METHOD at URL repeatedly and print throughput, latency and errors.

    Without --rate, each caller makes its next call when the previous one has completed (closed loop). With --rate,
    calls are scheduled at fixed times regardless of the server, and latency counts from the scheduled time (open loop).
    """
    from idlrt.spec import DeclaredError
    from idlrt.tools import load
    from idlrt.tools.json_values import arguments_from, to_json
    from idlrt.tools.stubs import stubs_of

    stubs = stubs_of(idl, include_dirs)
    service, found = stubs.method(method)
    values = arguments_from(found, arguments)
    tls = tls_of(named)
    client_class = stubs.async_clients[service.name]
    plan = load.Plan(concurrency=concurrency, rate=rate, seconds=duration, calls=calls, warm_up=warm_up)

    async def run() -> load.Outcome:
        clients = [
            client_class.connect(url, tls=tls, text_errors="replace", **named)
            for _ in range(min(connections, concurrency))
        ]
        makes: list[load.Make] = [partial(getattr(client, found.attribute), *values) for client in clients]
        try:
            await makes[0]()
        except DeclaredError:
            pass
        except RpcError as error:
            fail(f"first call failed: {error}", 2)
        # click shows the bar on terminals only.
        with click.progressbar(length=1000, label=method, file=sys.stderr) as bar:
            done = 0

            def tick(share: float, outcome: load.Outcome) -> None:
                nonlocal done
                bar.update(int(share * 1000) - done)
                done = int(share * 1000)

            outcome = await load.run(makes, plan, answers=(DeclaredError,), tick=tick)
        for client in clients:
            await client.close()
        return outcome

    with asyncio.Runner() as runner:
        outcome = runner.run(run())
    latencies = outcome.latencies
    table = {f"p{percent:g}": latencies.percentile(percent) for percent in _PERCENTILES}
    if as_json:
        found_json = {
            "calls": latencies.count,
            "exceptions": dict(outcome.exceptions),
            "errors": dict(outcome.errors),
            "missed": outcome.missed,
            "seconds": outcome.seconds,
            "rate": outcome.rate,
            "latency_s": {"mean": latencies.mean, **table, "max": latencies.largest},
        }
        echo(to_json(found_json))
    else:
        kind = f"open loop, target {rate:g} calls/s" if rate else f"closed loop, {plural(concurrency, 'caller')}"
        echo(f"{kind}, {plural(min(connections, concurrency), 'connection')}, {outcome.seconds:.1f} s")
        echo(f"{plural(latencies.count, 'response')}, {outcome.rate:.0f}/s")
        cells = {"avg": latencies.mean, **table, "max": latencies.largest}
        echo("latency  " + "  ".join(f"{name} {_time(seconds)}" for name, seconds in cells.items()))
        for name, count in outcome.exceptions.most_common():
            echo(f"declared exception {name}: {plural(count, 'response')}")
        for name, count in outcome.errors.most_common():
            echo(f"failed with {name}: {plural(count, 'call')}")
        if outcome.missed:
            echo(f"skipped: {plural(outcome.missed, 'call')} (too many calls in flight)")
    sys.exit(1 if outcome.errors or outcome.missed or not latencies.count else 0)


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
