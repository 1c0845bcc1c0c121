"""How much each part of the benchmarks does: full for results, quick for tests and for a first look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FULL", "QUICK", "Size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Rounds, counts and durations of all parts. The defaults are the full size.

    Attributes:
        codec_rounds: timed rounds of the binary codec; other codecs take half or a quarter of them.
        codec_seconds: CPU seconds of one such round.
        memory_structs: structs that are decoded.
        memory_rounds: processes for each library.
        compiler_lines: lines of the generated IDL.
        compiler_rounds: compilations.
        server_rounds: timed rounds for each server.
        server_calls: calls of one such round.
        client_rounds: timed rounds for each client.
        client_calls: calls of one such round.
        connections_idle: idle connections.
        connections_busy: connections with one call in flight.
        connections_calls: calls of one round.
        connections_rounds: timed rounds.
        death_kills: kills of an instance for each row.
        death_kills_registry: the same where only the registry removes the instance, which takes longer.
        death_session: session timeout of the registry, in seconds, for rows in which it removes the instance.
        death_wait: seconds of calls after a kill that clients notice.
        death_wait_registry: the same where only the registry does.
        discovery_instances: instances that are registered and called.
        capacity_instances: how many instances the registry holds, for each row; multiples of 100.
        capacity_subscribers: clients that follow one service.
        capacity_pushes: changes of that service.
        crowd_instances: ordinary instances of one service.
        crowd_large: instances with 65 kB of metadata.
        dns_services: services that are followed.
        dns_ttls: TTLs of records, in seconds.
        dns_kills: kills of an instance.
        dns_session: session timeout of registries, in whole seconds.
        governance_instances: instances of the service that is called.
        governance_rounds: timed rounds.
        governance_batch: calls of one batch.
        changes_calls: calls, of which one in a hundredth follows a change.
        picks_instances: how many instances balancers choose from, for each column.
        picks_rounds: timed rounds.
        observe_rounds: timed rounds of recording.
        observe_calls: calls of one round.
        observe_series: how many series are read, for each row.
        observe_reads: timed readings.
        collector_services: services of the queries of pages.
        collector_rounds: timed rounds of each query.
    """

    codec_rounds: int = 40
    codec_seconds: float = 0.005
    memory_structs: int = 100_000
    memory_rounds: int = 3
    compiler_lines: int = 5000
    compiler_rounds: int = 5
    server_rounds: int = 7
    server_calls: int = 4096
    client_rounds: int = 7
    client_calls: int = 2000
    connections_idle: int = 10_000
    connections_busy: int = 1000
    connections_calls: int = 20_000
    connections_rounds: int = 5
    death_kills: int = 5
    death_kills_registry: int = 3
    death_session: float = 6.0
    death_wait: float = 2.0
    death_wait_registry: float = 12.0
    discovery_instances: int = 30
    capacity_instances: tuple[int, ...] = (1000, 100_000)
    capacity_subscribers: int = 1000
    capacity_pushes: int = 20
    crowd_instances: int = 50_000
    crowd_large: int = 260
    dns_services: int = 20
    dns_ttls: tuple[int, ...] = (1, 30)
    dns_kills: int = 5
    dns_session: int = 6
    governance_instances: int = 1000
    governance_rounds: int = 31
    governance_batch: int = 200
    changes_calls: int = 100_000
    picks_instances: tuple[int, ...] = (10, 1000)
    picks_rounds: int = 31
    observe_rounds: int = 31
    observe_calls: int = 20_000
    observe_series: tuple[int, ...] = (100, 2000)
    observe_reads: int = 7
    collector_services: int = 500
    collector_rounds: int = 5


FULL: Final = Size()
QUICK: Final = Size(
    codec_rounds=4,
    codec_seconds=0.0002,
    memory_structs=5000,
    memory_rounds=1,
    compiler_lines=200,
    compiler_rounds=1,
    server_rounds=2,
    server_calls=1024,
    client_rounds=2,
    client_calls=64,
    connections_idle=200,
    connections_busy=20,
    connections_calls=200,
    connections_rounds=1,
    death_kills=1,
    death_kills_registry=1,
    death_session=2.0,
    death_wait=0.5,
    death_wait_registry=3.0,
    discovery_instances=3,
    capacity_instances=(100, 300),
    capacity_subscribers=10,
    capacity_pushes=2,
    crowd_instances=300,
    crowd_large=5,
    dns_services=3,
    dns_ttls=(1,),
    dns_kills=1,
    dns_session=2,
    governance_instances=50,
    governance_rounds=3,
    changes_calls=500,
    governance_batch=20,
    picks_instances=(10, 50),
    picks_rounds=3,
    observe_rounds=2,
    observe_calls=2000,
    observe_series=(5, 20),
    observe_reads=2,
    collector_services=3,
    collector_rounds=1,
)
