"""`idlrt route`: explain which instances calls are routed to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from idlrt.cli.governance import (
    file_option,
    idl_option,
    json_option,
    method_of,
    registry_name,
    registry_option,
    service_option,
    snapshot_of,
)
from idlrt.cli.output import Group, echo, fail, report_errors
from idlrt.cli.registry import group_option, print_json, print_table, timeout_option
from idlrt.config import effective, read_config
from idlrt.printable import printable

__all__ = ["route"]


@click.group(cls=Group, short_help="Explain how calls are routed.")
def route() -> None:
    """Show which instances calls of a service are routed to, and by which rule. Rules are set with `idlrt config set`.

    \b
    Examples:
      idlrt route explain --registry embedded://127.0.0.1:7400 --service UserService --method get --tag gray
      idlrt route motan commands.json --service com.example.UserService
    """


@route.command("explain", short_help="Show how a call is routed, rule by rule.")
@service_option
@click.option("--method", default="", metavar="NAME", help="Method of the call.")
@click.option("--tag", default="", help="Tag of the call.")
@click.option("--argument", "arguments", multiple=True, metavar="NAME=VALUE", help="Argument of the call. Repeatable.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="Metadata of the call. Repeatable.")
@click.option("--zone", default=None, help="Zone of the caller.  [default: caller.zone of the configuration]")
@click.option(
    "--calls",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Number of simulated calls; some rules are randomized.",
)
@registry_option
@group_option
@file_option
@idl_option
@timeout_option
@json_option
@report_errors
def explain_route(
    service: str,
    method: str,
    tag: str,
    arguments: Sequence[str],
    metadata: Sequence[str],
    zone: str | None,
    calls: int,
    url: str | None,
    group: str,
    file: Path | None,
    idl: Path | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Show how each rule narrows the instances that a call may go to. No call is sent.

    The exit code is 1 if no instance is left.
    """
    from idlrt.core import ClockAndRandom
    from idlrt.route import CallerInfo
    from idlrt.route.chain import make_chain
    from idlrt.tools.explain import call_for, explain, layers

    if not url:
        fail("cannot explain routes without a registry: give --registry URL", 2)
    read = read_config(file, warn=False)
    caller: CallerInfo = read.caller if zone is None else msgspec.structs.replace(read.caller, zone=zone)
    found_method = method_of(idl, service, method)
    snapshot = snapshot_of(url, service, group, timeout)
    assert snapshot is not None  # there is a registry
    found = effective(layers(read, service, found_method, snapshot, registry_name(url)), method)
    routes = found.service.routes
    instances = list(snapshot.instances)
    for other in make_chain(routes, caller, ClockAndRandom(), home=group).groups:
        if other != group and (more := snapshot_of(url, service, other, timeout)) is not None:
            instances.extend(more.instances)
    call = call_for(
        service, found_method if found_method is not None else method, _named(arguments), tag, _named(metadata)
    )
    where = explain(call, routes, caller, instances, group, calls)
    if as_json:
        print_json(where)
    else:
        rows = [
            (each.router or "-", each.rule or "-", f"{each.before} -> {each.after}", each.why) for each in where.steps
        ]
        print_table(("ROUTER", "RULE", "INSTANCES", "REASON"), rows)
        echo()
        for address, count in where.instances.items():
            share = f"  eligible for {count} of {calls} calls" if calls > 1 else ""
            echo(f"  {printable(address)}{share}")
        if where.why:
            echo(printable(where.why))
    if where.why:
        sys.exit(1)


@route.command(short_help="Convert Motan commands to routing rules.")
@click.argument("file", type=click.File())
@service_option
@report_errors
def motan(file: Any, service: str) -> None:
    """Convert the Motan commands in FILE that apply to a service to routing rules, and print them as JSON, the value of
    the key `routes`.
    """
    from idlrt.route.motan import from_motan_command

    print_json(from_motan_command(file.read(), service))


def _named(given: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            fail(f"cannot read the option: expected NAME=VALUE, got {each!r}", 2)
        named[name] = value
    return named
