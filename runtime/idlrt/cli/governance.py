"""`idlrt config`: show settings of calls and their source, and change them in a registry."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from idlrt.cli.output import Command, Group, echo, fail, report_errors
from idlrt.cli.registry import group_option, opened, print_json, print_table, timeout_option
from idlrt.config import check, effective, flatten, invalid, read_config
from idlrt.core import Snapshot
from idlrt.core.renamed import current_key, first_key, renamed_in
from idlrt.errors import ConfigurationError
from idlrt.printable import plural, printable
from idlrt.registry import RegistryUrl
from idlrt.spec import Method

__all__ = [
    "config",
    "file_option",
    "idl_option",
    "json_option",
    "method_of",
    "registry_name",
    "registry_option",
    "service_option",
    "snapshot_of",
]

# Maximum width of a value in a table; `--json` prints all of it.
_WIDEST = 60

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
service_option = click.option("--service", required=True, metavar="NAME", help="Name of the service in the registry.")
registry_option = click.option(
    "--registry", "url", envvar="IDLRT_REGISTRY", metavar="URL", help="URL of the registry.  [env: IDLRT_REGISTRY]"
)
file_option = click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="IDLRT_CONFIG",
    help="Configuration file of the client.  [env: IDLRT_CONFIG]",
)
idl_option = click.option(
    "--idl",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="IDL of the service, with the annotations and arguments of its methods.",
)


@click.group(cls=Group, short_help="Show and change settings of calls.")
def config() -> None:
    """Show effective settings of a service and their source; change settings in a registry, with version history.

    \b
    Examples:
      idlrt config keys hedge
      idlrt config check client.toml
      idlrt config explain --service UserService --method get --config client.toml
      idlrt config set embedded://127.0.0.1:7400 UserService fault=hedge methods.get.timeout=0.2
      idlrt config rollback embedded://127.0.0.1:7400 UserService
    """


@config.command(short_help="List configuration keys.")
@click.argument("prefix", required=False, default="")
@click.option("--markdown", is_flag=True, help="Print a table in Markdown.")
@json_option
@report_errors
def keys(prefix: str, markdown: bool, as_json: bool) -> None:
    """List all configuration keys, or those that start with PREFIX: type, unit, range, default and description."""
    from idlrt.config.describe import describe, table

    found = [key for key in describe() if key.name.startswith(prefix) or (prefix and key.old_name.startswith(prefix))]
    if not found:
        names = sorted({key.name.partition(".")[0] for key in describe()})
        fail(f"no key starts with {prefix!r} (known: {', '.join(names)})", 2)
    if as_json:
        print_json(found)
    elif markdown:
        echo(table(found), nl=False)
    else:
        for key in found:
            renamed = f"; formerly {key.old_name}" if key.old_name else ""
            echo(f"{key.name}  ({key.summary}{renamed})")
            echo(click.wrap_text(key.about, 100, "    ", "    "))


@config.command("check", short_help="Validate a configuration file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--strict", is_flag=True, help="Exit with code 1 if keys are deprecated.")
@report_errors
def check_(file: Path, strict: bool) -> None:
    """Validate the configuration FILE. All errors are listed, and deprecated keys with their current names.

    The exit code is 0 if there are no errors, else 2.
    """
    read = read_config(file, warn=False)
    findings = read.deprecations()
    for finding in findings:
        echo(f"{file}: {finding.key} is {finding.why}")
    counts = [plural(len(read.services), "service"), *([plural(len(findings), "deprecated key")] if findings else [])]
    echo(f"{file}: OK ({', '.join(counts)})")
    if findings and strict:
        sys.exit(1)


@config.command("explain", short_help="Show effective settings and their source.")
@service_option
@click.option("--method", default="", metavar="NAME", help="A method, for its own settings.")
@registry_option
@group_option
@file_option
@idl_option
@click.option(
    "--all", "everything", is_flag=True, help="Include the defaults of all fault modes, guards and balancers."
)
@timeout_option
@json_option
@report_errors
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
    """Show the effective settings of a service, or of one of its methods, and the source of each: the IDL, the registry
    or the client's configuration file, in the order of increasing precedence.

    Options of connect() and using() override all of these; they are not known here. Settings that are stored under an
    old name are marked, as in "(as breaker.errors)".
    """
    from idlrt.tools.explain import layers, values

    snapshot = snapshot_of(url, service, group, timeout)
    read = read_config(file, warn=False)
    found = effective(layers(read, service, method_of(idl, service, method), snapshot, registry_name(url)), method)
    settings = values(found, include_defaults=everything)
    if as_json:
        print_json(settings)
        return
    print_table(("KEY", "VALUE", "SOURCE"), [(each.key, _shown(each.value), each.origin) for each in settings])


def _change_options(command: Command) -> Command:
    note = click.option("--note", default="", metavar="TEXT", help="Reason of the change, for the history.")
    return note(group_option(timeout_option(json_option(command))))


@config.command("set", short_help="Change settings of a service in a registry.")
@click.argument("url")
@click.argument("service")
@click.argument("settings", nargs=-1, metavar="KEY=VALUE...")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML or JSON file with settings that replace all settings of the service.",
)
@click.option(
    "--key-format",
    type=click.Choice(["0.1", "0.2"]),
    default=None,
    help="Names of keys in the registry, from this change on: those of version 0.1, which all clients read, or of "
    "0.2, which clients of 0.1 ignore.  [default: that of the service, else 0.1]",
)
@_change_options
@report_errors
def set_(
    url: str,
    service: str,
    settings: Sequence[str],
    file: Path | None,
    key_format: str | None,
    note: str,
    group: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Change settings of SERVICE in the registry at URL. KEY= removes a setting. All settings are validated before any
    is written; clients apply them within milliseconds.

    Keys may have current or old names. The registry stores old names until --key-format 0.2 is given, so that clients
    of version 0.1 understand them; set it once no such client is left.
    """
    from idlrt.config.store import change

    if file is None and not settings and key_format is None:
        fail("cannot change settings: give KEY=VALUE or --file", 2)
    changes: dict[str, str | None] = _from_file(file) if file is not None else {}
    for each in settings:
        key, equals, value = each.partition("=")
        if not equals or not key:
            fail(f"cannot change settings: expected KEY=VALUE, got {each!r}", 2)
        changes[key] = value or None
    for old, new in renamed_in(changes).items():
        echo(f"idlrt: {old} is deprecated: use {new}", err=True)
    with opened(url) as registry:
        written = change(
            registry, service, changes, group, whole=file is not None, note=note, timeout=timeout, format=key_format
        )
    _show(written, as_json)


@config.command(short_help="List the versions of the settings of a service.")
@click.argument("url")
@click.argument("service")
@group_option
@timeout_option
@json_option
@report_errors
def history(url: str, service: str, group: str, timeout: float, as_json: bool) -> None:
    """List the versions of the settings of SERVICE in the registry at URL, the current one last."""
    from idlrt.config.store import history as versions_of

    with opened(url) as registry:
        found = versions_of(registry, service, group, timeout=timeout)
    if as_json:
        print_json(found)
        return
    rows = [(str(each.version), _when(each.at), each.by, each.note, _pairs(each.settings)) for each in found]
    print_table(("VERSION", "TIME (UTC)", "USER", "NOTE", "SETTINGS"), rows)


@config.command(short_help="Restore earlier settings of a service.")
@click.argument("url")
@click.argument("service")
@click.option("--to", type=int, metavar="VERSION", help="Version to restore.  [default: the one before the current]")
@_change_options
@report_errors
def rollback(url: str, service: str, to: int | None, note: str, group: str, timeout: float, as_json: bool) -> None:
    """Restore the settings that SERVICE in the registry at URL had before the last change, or those of an earlier
    version, as a new version.
    """
    from idlrt.config.store import rollback as roll_back

    with opened(url) as registry:
        written = roll_back(registry, service, group, to=to, note=note, timeout=timeout)
    _show(written, as_json)


def _from_file(file: Path) -> dict[str, str | None]:
    import tomllib

    from idlrt.config.store import to_text

    try:
        text = file.read_text(encoding="utf-8")
        nested: Any = msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from error
    if not isinstance(nested, Mapping):
        raise ConfigurationError(f"cannot read {file}: expected a table at the top level, got {type(nested).__name__}")
    flat = flatten(cast("Mapping[str, Any]", nested))
    problems = check(flat)
    if problems:
        raise invalid(problems, str(file))
    return {key: to_text(value) for key, value in flat.items()}


def snapshot_of(url: str | None, service: str, group: str, timeout: float) -> Snapshot | None:
    if not url:
        return None
    with opened(url) as registry:
        return registry.instances(service, group, timeout=timeout)


def registry_name(url: str | None) -> str:
    """Return the URL of a registry without its secrets."""
    return str(RegistryUrl.parse(url)) if url else ""


def method_of(idl: Path | None, service: str, method: str) -> Method[..., Any] | None:
    if idl is None or not method:
        return None
    from idlrt.tools.stubs import stubs_of

    return stubs_of([idl], ()).method(method if "." in method else f"{service.rpartition('.')[2]}.{method}")[1]


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
        # The format makes a difference for renamed keys only.
        is_seen = any(current_key(key) != first_key(key) for key in version.settings)
        format = f" (key format {version.format})" if is_seen else ""
        echo(f"version {version.version}{format}: {_pairs(version.settings)}")
