"""A program with two server processes, whose supervisor exports their metrics."""

from __future__ import annotations

import sys

from eventually import eventually
from hand_written import Users, UserServiceClient, user_service
from measured import counts

from idlrt import ProcessServer, observe


def calls() -> float:
    """Return the number of calls that the supervisor knows of."""
    found = counts(observe.read_all(), "rpc_server_call_duration_seconds")
    return sum(found.values())


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    # Created before the processes are forked, which must not export.
    with (
        observe.export_otlp() as exporter,
        ProcessServer(user_service(Users()), "127.0.0.1:0", processes=2, metrics=True) as server,
    ):
        server.start()
        for _ in range(wanted // 10):
            with UserServiceClient.connect(server.address) as client:
                for _ in range(10):
                    client.get(1)
        eventually(lambda: calls() == wanted, "the counts of all processes")
        assert exporter.flush(60)
