"""The life of Pinpoint's agent: how it starts and ends, alone, beside that of the program, and in forked processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT
from free_ports import free_port
from pinpoint_collector import Collector, pinpoint_collector, require_pinpoint

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.exporters import PinpointExporter

pytestmark = pytest.mark.slow

HARNESS = Path(__file__).parents[4] / "harness"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with pinpoint_collector(tmp_path_factory.mktemp("pinpoint")) as found:
        yield found


def test_a_missing_agent_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pinpoint", None)
    with pytest.raises(
        ConfigurationError,
        match=r"cannot export spans to Pinpoint: Pinpoint's agent is not installed; run pip install 'idlc\[pinpoint\]'",
    ):
        PinpointExporter("shop")


def test_invalid_arguments_are_reported() -> None:
    require_pinpoint()
    for service in ("", "my shop", "x" * 255, "käse"):
        with pytest.raises(ConfigurationError, match="service: must have 1 to 254 letters, digits"):
            PinpointExporter(service)
    with pytest.raises(ConfigurationError, match="agent_nam: Pinpoint's agent has no such option; did you mean 'agent"):
        PinpointExporter("shop", agent_nam="shop-1")
    with pytest.raises(ConfigurationError, match="prefork: Pinpoint's agent has no such option"):
        PinpointExporter("shop", prefork=True)
    PinpointExporter("x" * 254, agent_name="shop-1")


PROGRAM_TEXT = """
import json, logging, os, sys, threading, time
sys.path.insert(0, {harness!r})
import pinpoint
from eventually import eventually
from finished_spans import root_span
from measured import process_counts
from idlrt.observe.tracing.exporters import PinpointExporter

logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(name)s: %(message)s")
agent, stat, span = json.loads(sys.argv[1])
ports = dict(collector="127.0.0.1", agent_port=agent, stat_port=stat, span_port=span)
exporter = PinpointExporter("shop", **ports)
# What a program says that starts the agent itself.
options = dict(
    application_name="program", service_name="DEFAULT", log_level="ERROR", native_log_to_python=True,
    collector_host="127.0.0.1", collector_agent_port=agent, collector_stat_port=stat, collector_span_port=span,
    log_output="stderr",
)
native = []
logging.getLogger("pinpoint.native").addFilter(lambda record: native.append(record) is None)

def is_connected():
    return pinpoint.get_agent() is not None and pinpoint.get_agent().enabled

def record(name, exporter=exporter):
    span = root_span(name, "internal")
    exporter.begin(span, None)
    headers = exporter.headers(span, "there:1")
    exporter.end(span, span.end())
    return len(headers)

def outcomes():
    return {{outcome: number for (_, outcome), number in process_counts("rpc_trace_spans_total").items()}}

"""


def run_program(ports: Sequence[int], text: str) -> tuple[list[Any], str]:
    """Run a program that prints lines of JSON; return these, and what it has logged."""
    command = [sys.executable, "-c", PROGRAM_TEXT.format(harness=str(HARNESS)) + text, json.dumps(list(ports))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("begin", ["exporter.start()", "pinpoint.init(**options)"])
def test_without_a_collector_spans_are_dropped_and_counted(begin: str) -> None:
    require_pinpoint()
    # Neither the exporter nor the agent that it starts writes to standard output.
    printed, logged = run_program(
        (free_port(), free_port(), free_port()),
        f"""
{begin}
print(record("first"))
eventually(lambda: pinpoint.get_agent() is not None)
print(record("second"))
now = time.monotonic
for minutes in range(3):
    time.monotonic = lambda: now() + 61 * minutes
    record("later"), record("later")
eventually(lambda: native)
print(json.dumps([outcomes(), exporter.flush(0), exporter.close()]))
""",
    )
    assert printed == [0, 0, [{"dropped": 8}, True, True]]
    assert logged.count("idlrt.observe: dropping spans for Pinpoint: the agent is not connected to the collector") == 2


def test_the_agent_ends_with_the_exporter_that_has_started_it(collector: Collector) -> None:
    printed, _ = run_program(
        collector.ports,
        """
exporter.start()
print(json.dumps(exporter.close()))
eventually(lambda: threading.active_count() == 1)
print(json.dumps(pinpoint.get_agent() is None))
# It can be started again.
other = PinpointExporter("shop", **ports)
other.start()
eventually(is_connected)
print(record("second", other))
print(json.dumps([other.flush(0), other.close(), pinpoint.get_agent() is None]))
print(json.dumps([each.getMessage() for each in native]))
# The program ends that agent, and starts another one.
third = PinpointExporter("shop", **ports)
third.start()
eventually(is_connected)
pinpoint.shutdown()
agent = pinpoint.init(**options)
eventually(is_connected)
print(record("fourth", third))
print(json.dumps([third.close(), pinpoint.get_agent() is agent]))
pinpoint.shutdown()
""",
    )
    assert printed == [True, True, 8, [False, True, True], [], 8, [True, True]]
    names = {each.rpc for each in collector.spans()}
    assert {"second", "fourth"} <= names


def test_what_waits_is_sent_at_exit(collector: Collector) -> None:
    printed, _ = run_program(
        collector.ports,
        """
from idlrt import observe
observe.trace("shop", sampler="always", exporters=[exporter])
exporter.start()
eventually(is_connected)
with observe.span("last words"):
    print(json.dumps(observe.trace_id()))
""",
    )
    [program] = collector.wait(1, printed[0])
    assert program.rpc == "last words"


IN_CHILD = """
def in_child(function):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            function()
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

"""


def test_a_forked_process_starts_an_agent_unless_its_parent_had_one(collector: Collector) -> None:
    printed, logged = run_program(
        collector.ports,
        IN_CHILD
        + """
def begin():
    exporter.start()
    eventually(is_connected)
    print(record("child"), json.dumps(outcomes()), sep="\\n")
    print(json.dumps(exporter.close()))

def go_on():
    print(len(exporter.headers(outer, "there:1")))
    exporter.end(outer, outer.end())
    print(record("grandchild"), json.dumps(outcomes()), sep="\\n")
    print(json.dumps(exporter.close()))

in_child(begin)
exporter.start()
eventually(is_connected)
record("before")
outer = root_span("outer", "client")
exporter.begin(outer, None)
in_child(go_on)
exporter.end(outer, outer.end())
print(record("parent"), json.dumps(outcomes()), sep="\\n")
print(json.dumps(exporter.close()))
""",
    )
    assert printed == [
        *(8, {"exported": 1}, True),
        *(0, 0, {"dropped": 2}, True),
        *(8, {"exported": 3}, True),
    ]
    assert logged.count("dropping spans for Pinpoint: this process was forked after the agent had started") == 1


def test_processes_of_a_program_that_prepares_the_agent_record(collector: Collector) -> None:
    text = """
pinpoint.init(prefork=True, **options)
print(record("parent"))
"""
    begin = """
def begin():
    eventually(is_connected)
    print(record("worker"))
    print(json.dumps([exporter.flush(), outcomes()]))

in_child(begin)
"""
    printed, _ = run_program(collector.ports, IN_CHILD + text + begin)
    assert printed == [0, 8, [True, {"exported": 1}]]
    assert "worker" in {each.rpc for each in collector.spans()}
    wait = """
def wait():
    record("one")
    now = time.monotonic
    time.monotonic = lambda: now() + 61
    record("two")

in_child(wait)
"""
    _, logged = run_program((free_port(), free_port(), free_port()), IN_CHILD + text + wait)
    assert "dropping spans for Pinpoint: the agent is not connected to the collector" in logged
    assert "forked" not in logged
