"""`idlrt registry serve`: run the embedded registry."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from idlrt.cli.output import echo, fail, report_errors
from idlrt.errors import ConfigurationError

if TYPE_CHECKING:
    from idlrt.embedded import Limits

__all__ = ["serve"]


@click.command(short_help="Run the embedded registry.")
@click.option("--address", default="", metavar="HOST:PORT", help="Address to listen on.  [default: 127.0.0.1:7400]")
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File that persists the registry across restarts.  [default: in memory only]",
)
@click.option(
    "--access",
    "access_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Access list (TOML) of clients that may register, subscribe and administer.",
)
@click.option("--tls-cert", default="", metavar="FILE", help="Server certificate (PEM); enables TLS.")
@click.option("--tls-key", default="", metavar="FILE", help="Key of the certificate, if in a separate file.")
@click.option("--tls-ca", default="", metavar="FILE", help="CA certificates (PEM) for required client certificates.")
@click.option(
    "--recover", is_flag=True, help="Serve the readable part of a damaged FILE, read-only; log the unreadable part."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Limit of the registry, e.g. service_instances=200000; repeatable.",
)
@report_errors
def serve(
    address: str,
    data: Path | None,
    access_file: Path | None,
    tls_cert: str,
    tls_key: str,
    tls_ca: str,
    recover: bool,
    limits: Sequence[str],
) -> None:
    """Run the embedded registry until Ctrl+C or SIGTERM.

    It runs as a single process with a single file. The access list is a TOML file with the tables `register`,
    `subscribe` and `administer`, each with `networks`, `tokens` or both.
    """
    from idlrt.embedded import DEFAULT_PORT, Access, RegistryServer
    from idlrt.net.tls import Tls

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    tls = Tls(certificate=tls_cert, key=tls_key, authorities=tls_ca) if tls_cert else None
    if tls is None and (tls_key or tls_ca):
        raise ConfigurationError("--tls-key and --tls-ca require --tls-cert")
    access = Access.load(access_file) if access_file is not None else None
    server = RegistryServer(
        address or f"127.0.0.1:{DEFAULT_PORT}",
        data=data,
        access=access,
        limits=_limits(limits),
        tls=tls,
        recover=recover,
    )

    async def run() -> None:
        await server.open()
        serving = asyncio.create_task(server.serve())
        await asyncio.sleep(0)  # a reader of the next line may send a signal immediately
        echo(f"the registry is at {server.url}")
        await serving

    asyncio.run(run())


def _limits(given: Sequence[str]) -> Limits:
    from idlrt.embedded import Limits

    known = {each.name: each.type for each in msgspec.structs.fields(Limits)}
    parsed = dict[str, float]()
    for each in given:
        name, _, value = each.partition("=")
        if name not in known:
            fail(f"unknown limit {name!r} (known: {', '.join(known)})", 2)
        try:
            parsed[name] = known[name](value)
        except ValueError:
            fail(f"--limit {name}: must be a number, got {value!r}", 2)
    return Limits(**parsed)  # type: ignore[arg-type]  # types differ per field
