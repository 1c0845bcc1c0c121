"""A program that calls its own server, and exports its metrics as the variables of OpenTelemetry say.

It prints one line of JSON for each export: what it has recorded until then.
"""

from __future__ import annotations

import contextlib
import json
import sys

from hand_written import NotFound, Users, UserServiceClient, user_service

from idlrt import Server, observe
from idlrt.observe import Histogram, OtlpExporter


def recorded() -> dict[str, list[float]]:
    """Count, sum, min and max in nanoseconds, and bytes received, by `side method status`."""
    found = {}
    for each in observe.read_all():
        side = each.metric.name.split("_")[1]
        if each.metric.name == f"rpc_{side}_call_duration_seconds":
            for labels, value in each.values.items():
                assert isinstance(value, Histogram)
                status = labels[each.metric.labels.index("rpc_status_code")]
                numbers: list[float] = [value.count, value.sum, value.min, value.max, value.received]
                found[f"{side} {labels[0]} {status}"] = [*numbers, *value.percentiles((0.5, 0.99))]
    return found


def run(exporter: OtlpExporter, client: UserServiceClient, rounds: list[int]) -> None:
    for number in rounds:
        for _ in range(number):
            client.get(1)
        with contextlib.suppress(NotFound):
            client.get(-1)
        assert exporter.flush(60)
        print(json.dumps(recorded()), flush=True)


if __name__ == "__main__":
    with (
        Server(user_service(Users()), metrics=True).start() as server,
        observe.export_otlp() as exporter,
        UserServiceClient.connect(server.address) as client,
    ):
        run(exporter, client, [int(each) for each in sys.argv[1:]])
