"""`idlrt config` and `idlrt route`: what holds for calls and who said so, where they go and why; and to change it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from idlrt.cli.registry import group_option, opened, print_json, print_table, timeout_option
from idlrt.cli.telling import Command, Group, echo, end, told
from idlrt.config import check, effective, flatten, read_config, wrong
from idlrt.core import Snapshot
from idlrt.errors import ConfigurationError
from idlrt.printable import printable
from idlrt.registry import RegistryUrl
from idlrt.spec import Method

__all__ = ["config", "route"]

# Of a value in a table; JSON has all of it.
_WIDEST = 60

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_service = click.option("--service", required=True, metavar="NAME", help="The service, as the registry calls it.")
_registry = click.option(
    "--registry", "url", envvar="IDLRT_REGISTRY", metavar="URL", help="The registry.  [env: IDLRT_REGISTRY]"
)
_file = click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="IDLRT_CONFIG",
    help="The client's configuration.  [env: IDLRT_CONFIG]",
)
_idl = click.option(
    "--idl",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The IDL of the service, for what it says of its methods.",
)


@click.group(cls=Group, short_help="See what holds for calls, and change it.")
def config() -> None:
    """See what holds for calls of a service, and who said so; change it in a registry, with a history.

    \b
    Examples:
      idlrt config keys hedge
      idlrt config check client.toml
      idlrt config explain --service UserService --method get --config client.toml
      idlrt config set embedded://127.0.0.1:7400 UserService fault=hedge methods.get.timeout=0.2
      idlrt config rollback embedded://127.0.0.1:7400 UserService
    """


@config.command(short_help="List what can be said.")
@click.argument("prefix", required=False, default="")
@click.option("--markdown", is_flag=True, help="Print a table in Markdown.")
@_json
@told
def keys(prefix: str, markdown: bool, as_json: bool) -> None:
    """List all keys, or those that begin with PREFIX: what they may be, what holds if nobody says anything, what they
    are for.
    """
    from idlrt.config.describe import describe, table

    found = [key for key in describe() if key.name.startswith(prefix)]
    if not found:
        names = sorted({key.name.partition(".")[0] for key in describe()})
        end(f"no key begins with {prefix!r}; known: {', '.join(names)}", 2)
    if as_json:
        print_json(found)
    elif markdown:
        echo(table(found), nl=False)
    else:
        for key in found:
            default = f", usually {key.default}" if key.default else ""
            echo(f"{key.name}  ({key.type}{default})")
            echo(click.wrap_text(key.about, 100, "    ", "    "))


@config.command("check", short_help="See whether a file holds.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@told
def check_(file: Path) -> None:
    """See whether the configuration FILE holds. All that is wrong is listed."""
    read = read_config(file)
    echo(f"{file}: {len(read.services)} services, nothing wrong")


@config.command("explain", short_help="Print what holds, and who said so.")
@_service
@click.option("--method", default="", metavar="NAME", help="One of its methods.")
@_registry
@group_option
@_file
@_idl
@click.option("--all", "everything", is_flag=True, help="Also what nobody has said anything about.")
@timeout_option
@_json
@told
def explain_config(
    service: str,
    method: str,
    url: str | None,
    group: str,
    file: Path | None,
    idl: Path | None,
    everything: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Print what holds for calls of a service, or of one of its methods, and who said so: the IDL, the registry, the
    client's file. The nearest wins; what programs say when they call comes nearest of all, and is not seen here.
    """
    from idlrt.tools.explain import layers, values

    snapshot = _snapshot(url, service, group, timeout)
    found = effective(layers(read_config(file), service, _method(idl, service, method), snapshot, _name(url)), method)
    said = values(found, everything=everything)
    if as_json:
        print_json(said)
        return
    print_table(("KEY", "VALUE", "SAID BY"), [(each.key, _shown(each.value), each.origin) for each in said])


def _change_options(command: Command) -> Command:
    note = click.option("--note", default="", metavar="TEXT", help="Why, for the history.")
    return note(group_option(timeout_option(_json(command))))


@config.command("set", short_help="Change settings of a service in a registry.")
@click.argument("url")
@click.argument("service")
@click.argument("settings", nargs=-1, metavar="KEY=VALUE...")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings as TOML or JSON: all that is to be there, instead of what was.",
)
@_change_options
@told
def set_(
    url: str,
    service: str,
    settings: Sequence[str],
    file: Path | None,
    note: str,
    group: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Change settings of SERVICE: each KEY=VALUE, an empty value takes one away. All of it is checked before any of it
    is written; clients follow within moments.
    """
    from idlrt.config.store import change

    if file is None and not settings:
        end("say what to set: KEY=VALUE, or --file", 2)
    changes: dict[str, str | None] = _from_file(file) if file is not None else {}
    for each in settings:
        key, equals, value = each.partition("=")
        if not equals or not key:
            end(f"write KEY=VALUE, not {each!r}", 2)
        changes[key] = value or None
    with opened(url) as registry:
        written = change(registry, service, changes, group, whole=file is not None, note=note, timeout=timeout)
    _show(written, as_json)


@config.command(short_help="List earlier settings of a service.")
@click.argument("url")
@click.argument("service")
@group_option
@timeout_option
@_json
@told
def history(url: str, service: str, group: str, timeout: float, as_json: bool) -> None:
    """List what the settings of SERVICE were, the present ones last."""
    from idlrt.config.store import history as versions_of

    with opened(url) as registry:
        found = versions_of(registry, service, group, timeout=timeout)
    if as_json:
        print_json(found)
        return
    rows = [(str(each.version), _when(each.at), each.by, each.note, _pairs(each.settings)) for each in found]
    print_table(("VERSION", "WRITTEN (UTC)", "BY", "WHY", "SETTINGS"), rows)


@config.command(short_help="Take the last change back.")
@click.argument("url")
@click.argument("service")
@click.option("--to", type=int, metavar="VERSION", help="An earlier version, as `history` lists them.")
@_change_options
@told
def rollback(url: str, service: str, to: int | None, note: str, group: str, timeout: float, as_json: bool) -> None:
    """Make the settings of SERVICE what they were before the last change."""
    from idlrt.config.store import rollback as roll_back

    with opened(url) as registry:
        written = roll_back(registry, service, group, to=to, note=note, timeout=timeout)
    _show(written, as_json)


@click.group(cls=Group, short_help="See where calls go, and why.")
def route() -> None:
    """See where calls of a service go, and which rule decided what. Rules are set with `idlrt config set`.

    \b
    Examples:
      idlrt route explain --registry embedded://127.0.0.1:7400 --service UserService --method get --tag gray
      idlrt route motan commands.json --service com.example.UserService
    """


@route.command("explain", short_help="Print which rule decides what.")
@_service
@click.option("--method", default="", metavar="NAME", help="The method that is called.")
@click.option("--tag", default="", help="The tag of the call.")
@click.option("--argument", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument of the call.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="What travels with the call.")
@click.option("--zone", default=None, help="The caller's zone, if not the configuration's.")
@click.option("--calls", type=click.IntRange(1, 1_000_000), default=1, help="Try so many: rules may throw dice.")
@_registry
@group_option
@_file
@_idl
@timeout_option
@_json
@told
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
    """Print which rule decides what about a call, and which instances it may go to. Nothing is called."""
    from idlrt.core import Chance
    from idlrt.route import Here
    from idlrt.route.chain import make_chain
    from idlrt.tools.explain import call_for, explain, layers

    if not url:
        end("say which registry: --registry URL", 2)
    read = read_config(file)
    here: Here = read.here if zone is None else msgspec.structs.replace(read.here, zone=zone)
    found_method = _method(idl, service, method)
    snapshot = _snapshot(url, service, group, timeout)
    assert snapshot is not None  # there is a registry
    found = effective(layers(read, service, found_method, snapshot, _name(url)), method)
    routes = found.service.routes
    instances = list(snapshot.instances)
    for other in make_chain(routes, here, Chance(), home=group).groups:
        if other != group and (more := _snapshot(url, service, other, timeout)) is not None:
            instances.extend(more.instances)
    call = call_for(
        service, found_method if found_method is not None else method, _named(arguments), tag, _named(metadata)
    )
    where = explain(call, routes, here, instances, group, calls)
    if as_json:
        print_json(where)
    else:
        rows = [
            (each.router or "-", each.rule or "-", f"{each.before} -> {each.after}", each.why) for each in where.steps
        ]
        print_table(("ROUTER", "RULE", "INSTANCES", "WHY"), rows)
        echo()
        for address, count in where.instances.items():
            share = f"  in the choice of {count} of {calls} calls" if calls > 1 else ""
            echo(f"  {printable(address)}{share}")
        if where.why:
            echo(printable(where.why))
    if where.why:
        sys.exit(1)


@route.command(short_help="Turn commands of Motan into rules.")
@click.argument("file", type=click.File())
@_service
@told
def motan(file: Any, service: str) -> None:
    """Print the rules that the Motan commands in FILE mean for a service, as `routes` of a configuration."""
    from idlrt.route.motan import from_motan_command

    print_json(from_motan_command(file.read(), service))


def _from_file(file: Path) -> dict[str, str | None]:
    import tomllib

    from idlrt.config.store import text_of

    try:
        text = file.read_text(encoding="utf-8")
        nested: Any = msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from error
    if not isinstance(nested, Mapping):
        raise ConfigurationError(f"{file} must hold a table of settings")
    flat = flatten(cast("Mapping[str, Any]", nested))
    problems = check(flat)
    if problems:
        raise wrong(problems, str(file))
    return {key: text_of(value) for key, value in flat.items()}


def _snapshot(url: str | None, service: str, group: str, timeout: float) -> Snapshot | None:
    if not url:
        return None
    with opened(url) as registry:
        return registry.instances(service, group, timeout=timeout)


def _name(url: str | None) -> str:
    """A registry for people: without what is secret."""
    return str(RegistryUrl.parse(url)) if url else ""


def _method(idl: Path | None, service: str, method: str) -> Method[..., Any] | None:
    if idl is None or not method:
        return None
    from idlrt.tools.stubs import stubs_of

    return stubs_of([idl], ()).method(method if "." in method else f"{service.rpartition('.')[2]}.{method}")[1]


def _named(given: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            end(f"write NAME=VALUE, not {each!r}", 2)
        named[name] = value
    return named


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) and value else msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _pairs(settings: Mapping[str, str]) -> str:
    return " ".join(f"{printable(key)}={printable(value)}" for key, value in sorted(settings.items())) or "none"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def _show(version: Any, as_json: bool) -> None:
    if as_json:
        print_json(version)
    else:
        echo(f"version {version.version}: {_pairs(version.settings)}")
