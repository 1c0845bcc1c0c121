"""`idlrt monitor agent`: the agent of a host, which forwards what programs push to a collector."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import click

from idlrt.cli.health import TOKEN_VARIABLE
from idlrt.cli.options import Seconds, parse_pair
from idlrt.cli.output import echo, report_errors
from idlrt.cli.receiving_options import receiving_options
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls

__all__ = ["agent"]


@click.command(short_help="Run the agent of a host.")
@click.option(
    "--target", required=True, metavar="HOST:PORT", help="Address of the collector, or kafka://HOST:PORT/TOPIC."
)
@receiving_options(7411, "push")
@click.option(
    "--target-token", default="", metavar="TOKEN", help=f"Token of the collector.  [default: ${TOKEN_VARIABLE}]"
)
@click.option("--target-ca", default="", metavar="FILE", help="CA certificates to trust for TLS with the collector.")
@click.option("--target-cert", default="", metavar="FILE", help="Certificate to present to the collector (PEM).")
@click.option("--target-key", default="", metavar="FILE", help="Key of that certificate, if in a separate file.")
@click.option(
    "--kafka-option", "kafka_options", multiple=True, metavar="NAME=VALUE", help="Setting of librdkafka; repeatable."
)
@click.option("--tls-cert", default="", metavar="FILE", help="Server certificate (PEM); enables TLS for programs.")
@click.option("--tls-key", default="", metavar="FILE", help="Key of the certificate, if in a separate file.")
@click.option("--tls-ca", default="", metavar="FILE", help="CA certificates (PEM) for required client certificates.")
@click.option(
    "--admin", default="", metavar="HOST:PORT", help="Address of the admin port, with its metrics.  [default: none]"
)
@click.option(
    "--grace",
    type=Seconds(),
    default=5.0,
    show_default=True,
    help="Time to forward what waits in the end, in seconds.",
)
@report_errors
def agent(target: str, address: str, **named: Any) -> None:
    """Take what the programs of this host push, and forward it to a collector, until Ctrl+C or SIGTERM.

    Programs push to it as to a collector (`idlrt.collector.push`). While the collector is away, it keeps the newest
    value of each series of each program, and the newest spans.

    \b
    Examples:
      idlrt monitor agent --target collector.example:7410 --unix /run/idlrt.sock
      idlrt monitor agent --target collector.example:7410 --target-ca ca.pem
    """
    from idlrt.collector import DEFAULT_AGENT_PORT, Agent

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if not named["tls_cert"] and (named["tls_key"] or named["tls_ca"]):
        raise ConfigurationError("--tls-key and --tls-ca require --tls-cert")
    if named["target_key"] and not named["target_cert"]:
        raise ConfigurationError("--target-key requires --target-cert")
    token = os.environ.get(TOKEN_VARIABLE, "")
    unix = named["unix"]
    made = Agent(
        target,
        address or f"127.0.0.1:{DEFAULT_AGENT_PORT}",
        udp=named["udp"],
        unix=unix,
        tokens=named["tokens"] or [each for each in (token,) if each],
        allow=named["allow"],
        tls=_tls(named["tls_cert"], named["tls_key"], named["tls_ca"]),
        target_token=named["target_token"] or token,
        target_tls=_tls(named["target_cert"], named["target_key"], named["target_ca"]),
        kafka_options=dict(parse_pair(each, "--kafka-option") for each in named["kafka_options"]),
        admin=named["admin"],
        grace=named["grace"],
    )

    def is_serving() -> None:
        places = [made.address.removeprefix("tcp://"), made.udp_address, f"unixgram:{unix}" if unix else ""]
        echo(f"the agent is at {', '.join(each for each in places if each)}")

    made.serve(is_serving)


def _tls(certificate: str, key: str, authorities: str) -> Tls | None:
    if not certificate and not authorities:
        return None
    return Tls(certificate=certificate, key=key, authorities=authorities)
