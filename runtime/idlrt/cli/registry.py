"""`idlrt registry`: run the embedded registry; inspect and change any registry."""

from __future__ import annotations

import contextlib
import logging
import queue
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import click
import msgspec

from idlrt.cli.options import Seconds
from idlrt.cli.output import Command, Group, echo, fail, report_errors
from idlrt.cli.registry_server import serve
from idlrt.config.store import change, without_history
from idlrt.core import DEFAULT_GROUP, Change, Freshness, Instance, Patch, Snapshot, Status, format_rpc_protocols
from idlrt.printable import escape_json, plural, printable
from idlrt.registry import Registry

__all__ = ["group_option", "opened", "print_json", "print_table", "registry", "timeout_option"]


@click.group(cls=Group, short_help="Run, inspect and change registries.")
def registry() -> None:
    """Run the embedded registry; inspect and change any registry.

    \b
    Examples:
      idlrt registry serve --data registry.db
      idlrt registry services embedded://127.0.0.1:7400
      idlrt registry instances zookeeper://127.0.0.1:2181 UserService
      idlrt registry disable embedded://127.0.0.1:7400 UserService 10.0.0.7:9090
    """


registry.add_command(serve)


timeout_option = click.option(
    "--timeout",
    type=Seconds(),
    default=5.0,
    show_default=True,
    help="Time to wait for the registry, in seconds.",
)


def _options(command: Command) -> Command:
    return timeout_option(click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command))


group_option = click.option("--group", default=DEFAULT_GROUP, show_default=True, help="Group of the service.")


@contextlib.contextmanager
def opened(url: str) -> Generator[Registry]:
    """Connect to a registry for one command, without logging: errors are printed when the command fails."""
    logger = logging.getLogger("idlrt")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with Registry.connect(url, cache=False, empty_protection=False) as found:
            yield found
    finally:
        logger.setLevel(level)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    echo(escape_json(msgspec.json.format(msgspec.json.encode(value)).decode()))


@registry.command(short_help="List services.")
@click.argument("url")
@click.option("--group", default=None, metavar="NAME", help="Group to list.  [default: all groups]")
@_options
@report_errors
def services(url: str, group: str | None, timeout: float, as_json: bool) -> None:
    """List the services in the registry at URL with the number of their instances and their settings."""
    with opened(url) as at:
        groups = [group] if group is not None else at.groups(timeout=timeout)
        found = [
            (each, name, at.instances(name, each, timeout=timeout))
            for each in groups
            for name in at.services(each, timeout=timeout)
        ]
    if as_json:
        print_json(
            [
                {
                    "group": each,
                    "service": name,
                    "instances": len(snapshot.instances),
                    "callable": len(snapshot.callable),
                    "settings": without_history(snapshot.settings),
                }
                for each, name, snapshot in found
            ]
        )
        return
    rows = [
        (each, name, str(len(snapshot.instances)), str(len(snapshot.callable)), _settings(snapshot))
        for each, name, snapshot in found
    ]
    print_table(("GROUP", "SERVICE", "INSTANCES", "CALLABLE", "SETTINGS"), rows)


@registry.command(short_help="List the instances of a service.")
@click.argument("url")
@click.argument("service")
@group_option
@_options
@report_errors
def instances(url: str, service: str, group: str, timeout: float, as_json: bool) -> None:
    """List the instances of SERVICE in the registry at URL, as its clients see them."""
    with opened(url) as at:
        snapshot = at.instances(service, group, timeout=timeout)
    if as_json:
        print_json(snapshot)
    else:
        print_table(_HEAD, [_row(each) for each in snapshot.instances])


@registry.command(short_help="Watch the instances of a service.")
@click.argument("url")
@click.argument("service")
@group_option
@click.option(
    "--for", "seconds", type=Seconds(zero=True), default=None, metavar="SECONDS", help="Duration.  [default: unlimited]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per change.")
@report_errors
def watch(url: str, service: str, group: str, seconds: float | None, as_json: bool) -> None:
    """Print the instances of SERVICE and every change until Ctrl+C or SIGTERM, across failures of the registry."""
    changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
    end_at = time.monotonic() + seconds if seconds is not None else None
    last: Snapshot | None = None
    with (
        _ended_by_signals(changes),
        Registry.connect(url, cache=False, empty_protection=False) as opened,
    ):
        opened.subscribe(service, group).listen(changes.put)
        while True:
            try:
                change = changes.get(timeout=max(end_at - time.monotonic(), 0.0) if end_at is not None else None)
            except queue.Empty:
                break
            if change is None:
                break
            _print_change(change, last, as_json)
            last = change.snapshot


@contextlib.contextmanager
def _ended_by_signals(changes: queue.SimpleQueue[Change | None]) -> Generator[None]:
    """Put `None` into the queue on Ctrl+C and SIGTERM."""

    def stop(number: int, frame: object) -> None:
        changes.put(None)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _print_change(change: Change, last: Snapshot | None, as_json: bool) -> None:
    if as_json:
        echo(escape_json(msgspec.json.encode(change).decode()))
        return
    snapshot = change.snapshot
    now = time.strftime("%H:%M:%S")
    if last is None or last.freshness is not snapshot.freshness:
        what = plural(len(snapshot.instances), "instance")
        if snapshot.freshness is not Freshness.LIVE:
            what += f" ({snapshot.freshness.value}: not confirmed by the registry)"
        echo(f"{now}  {what}")
    if snapshot.settings != (last.settings if last is not None else {}):
        echo(f"{now}  settings: {_settings(snapshot) or 'none'}")
    for sign, group in (("+", change.added), ("~", change.updated), ("-", change.removed)):
        for each in group:
            echo(f"{now}  {sign} {'  '.join(printable(cell) for cell in _row(each) if cell)}")


@registry.command("set", short_help="Override an instance, or change service settings.")
@click.argument("url")
@click.argument("service")
@click.argument("instance", required=False)
@group_option
@click.option("--weight", type=int, help="Weight of the instance: its share of calls; 0 for none.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="NAME=VALUE",
    help="Tag of the instance; an empty value removes it; repeatable.",
)
@click.option("--status", type=click.Choice([each.value for each in Status]), help="Status of the instance.")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Setting of the service; an empty value removes it; repeatable.",
)
@click.option("--reset", is_flag=True, help="Remove all overrides of the instance.")
@_options
@report_errors
def set_(
    url: str,
    service: str,
    instance: str | None,
    group: str,
    weight: int | None,
    tags: Sequence[str],
    status: str | None,
    settings: Sequence[str],
    reset: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Override attributes of INSTANCE, or change settings of SERVICE.

    Overrides take precedence over the values that the instance registers, also after it restarts.
    """
    changes = weight is not None or tags or status is not None or reset
    if instance is None and changes:
        fail("missing INSTANCE, as in: idlrt registry set URL SERVICE INSTANCE --weight 10", 2)
    if not changes and not settings:
        fail("nothing to set: pass --weight, --tag, --status, --setting or --reset", 2)
    # Validate everything before changing anything.
    patch = Patch(
        weight=weight,
        status=Status(status) if status is not None else None,
        tags={name: value or "" for name, value in _parsed(tags).items()},
    )
    configured = _parsed(settings)
    changed, merged = None, None
    with opened(url) as at:
        # The instance first, because that fails if it does not exist.
        if instance is not None and reset:
            changed = at.reset(service, instance, group, timeout=timeout)
        if instance is not None and patch:
            changed = at.modify(
                service, instance, group, weight=patch.weight, status=patch.status, tags=patch.tags, timeout=timeout
            )
        if configured:
            merged = change(at, service, configured, group, timeout=timeout).settings
    if as_json and changed is not None and merged is not None:
        print_json({"instance": changed, "settings": merged})
        return
    if changed is not None:
        _show(changed, as_json)
    if merged is not None:
        print_json(merged) if as_json else echo(f"{service}: {_pairs(merged) or 'no settings'}")


@registry.command(short_help="Put an instance back into rotation.")
@click.argument("url")
@click.argument("service")
@click.argument("instance")
@group_option
@_options
@report_errors
def enable(url: str, service: str, instance: str, group: str, timeout: float, as_json: bool) -> None:
    """Put INSTANCE of SERVICE back into rotation."""
    with opened(url) as at:
        _show(at.modify(service, instance, group, status=Status.UP, timeout=timeout), as_json)


@registry.command(short_help="Take an instance out of rotation.")
@click.argument("url")
@click.argument("service")
@click.argument("instance")
@group_option
@_options
@report_errors
def disable(url: str, service: str, instance: str, group: str, timeout: float, as_json: bool) -> None:
    """Take INSTANCE of SERVICE out of rotation until it is enabled again; this survives a restart of the instance."""
    with opened(url) as at:
        _show(at.modify(service, instance, group, status=Status.DISABLED, timeout=timeout), as_json)


@registry.command(short_help="Remove a service, or overrides.")
@click.argument("url")
@click.argument("service")
@click.argument("instance", required=False)
@group_option
@timeout_option
@report_errors
def remove(url: str, service: str, instance: str | None, group: str, timeout: float) -> None:
    """Remove SERVICE with its settings and the overrides of its instances; it must have no registered instances.

    With INSTANCE, remove only the overrides of that instance, which must not be registered.
    """
    with opened(url) as at:
        at.remove(service, group, id=instance, timeout=timeout)
    echo(f"removed {service if instance is None else f'overrides of {instance} of {service}'}")


@registry.command(short_help="Export a registry as JSON.")
@click.argument("url")
@timeout_option
@report_errors
def export(url: str, timeout: float) -> None:
    """Print all services and instances in the registry at URL as JSON."""
    with opened(url) as at:
        found = [
            at.instances(name, group, timeout=timeout)
            for group in at.groups(timeout=timeout)
            for name in at.services(group, timeout=timeout)
        ]
    print_json(found)


_HEAD = ("ID", "ADDRESS", "STATUS", "WEIGHT", "ZONE", "VERSION", "PROTOCOLS", "TAGS")


def _row(each: Instance) -> tuple[str, ...]:
    protocols = format_rpc_protocols(each.rpc_protocols)
    status, weight = each.status.value, str(each.weight)
    return each.id, each.address, status, weight, each.zone, each.version, protocols, _pairs(each.tags)


def _settings(snapshot: Snapshot) -> str:
    return _pairs(without_history(snapshot.settings))


def _pairs(pairs: Mapping[str, str]) -> str:
    return " ".join(f"{printable(name)}={printable(value)}" for name, value in sorted(pairs.items()))


def _parsed(given: Sequence[str]) -> dict[str, str | None]:
    parsed: dict[str, str | None] = {}
    for each in given:
        name, _, value = each.partition("=")
        if not name:
            fail(f"invalid value {each!r}: expected NAME=VALUE", 2)
        parsed[name] = value or None
    return parsed


def _show(instance: Instance, as_json: bool) -> None:
    if as_json:
        print_json(instance)
    else:
        print_table(_HEAD, [_row(instance)])


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    for row in [head, *rows]:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
