"""Marks: deployments, instances that come, go and are lost, and changes in a registry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import eventually
from synthetic_programs import SyntheticProgram

from idlrt.collector import CollectorServer
from idlrt.collector.api import CollectorClient, Query
from idlrt.collector.marks import Event, Marks
from idlrt.collector.programs import LOST_AFTER_S, Programs
from idlrt.collector.registry_marks import RegistryMarks
from idlrt.config.store import change
from idlrt.core import Instance, Status
from idlrt.embedded import RegistryServer
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[Marks]:
    made = Marks(tmp_path / "marks.db")
    yield made
    made.close()


def texts(marks: Marks, *kinds: str) -> list[str]:
    found = marks.between(0, time.time() + 10_000)
    return [f"{each.service}: {each.text}" for each in found if not kinds or each.kind in kinds]


def test_a_new_version_of_a_service_is_a_deployment(marks: Marks, clock: Clock) -> None:
    programs = Programs(marks, wall=clock)
    for version in ("1.0", "1.0", "1.1"):
        [packet] = SyntheticProgram("shop", f"shop-{version}", version=version).packets()
        programs.seen(packet, "tcp")
    assert texts(marks, "deployment") == ["shop: version 1.0", "shop: version 1.1"]


def test_a_program_that_reports_for_the_last_time_has_ended(marks: Marks, clock: Clock) -> None:
    programs = Programs(marks, wall=clock)
    program = SyntheticProgram("shop")
    [first], [last] = program.packets(), program.packets(is_last=True)
    for packet in (first, last, first):  # the first one comes again
        programs.seen(packet, "tcp")
    clock.now += 10 * LOST_AFTER_S
    programs.maintain()
    assert texts(marks) == ["shop: shop-1 started", "shop: shop-1 ended"]
    assert [each.state for each in programs.all()] == ["ended"]


def test_a_silent_program_is_lost_and_its_last_report_is_marked(marks: Marks, clock: Clock) -> None:
    programs = Programs(marks, wall=clock)
    program = SyntheticProgram("shop")
    [packet] = program.packets(at=clock.now)
    programs.seen(packet, "tcp")
    clock.now += LOST_AFTER_S - 1
    programs.maintain()
    assert texts(marks, "lost") == []
    clock.now += 2
    programs.maintain()
    programs.maintain()
    [lost] = [each for each in marks.between(0, clock.now) if each.kind == "lost"]
    assert lost == Event(
        at=packet.at,
        kind="lost",
        service="shop",
        text="shop-1 was lost; its counts after its last report are unknown",
    )
    # It was only cut off.
    [again] = program.packets(at=clock.now)
    programs.seen(again, "tcp")
    assert texts(marks)[-1] == "shop: shop-1 reports again"


def test_a_restart_of_the_collector_loses_no_program(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "marks.db"
    before = Marks(path)
    programs = Programs(before, wall=clock)
    [packet] = SyntheticProgram("shop", core=("Shop",), version="1.0").packets(at=clock.now)
    programs.seen(packet, "udp")
    programs.maintain()
    before.close()
    clock.now += 5000.0
    after = Marks(path)
    again = Programs(after, wall=clock)
    [found] = again.all()
    assert (found.service, found.state, found.transport) == ("shop", "live", "udp")
    assert again.core_services() == {"shop"}
    # It has the usual time to report to the new process.
    again.maintain()
    assert texts(after, "lost") == []
    clock.now += LOST_AFTER_S + 1
    again.maintain()
    assert len(texts(after, "lost")) == 1
    # A version that was known before is no deployment.
    [packet] = SyntheticProgram("shop", "shop-2", version="1.0").packets()
    again.seen(packet, "tcp")
    assert texts(after, "deployment") == ["shop: version 1.0"]
    after.close()


def test_marks_are_found_by_service_and_bounded(marks: Marks) -> None:
    for number in range(20):
        marks.add(
            Event(at=1000.0 + number, kind="deployment", service=("shop", "stock", "")[number % 3], text=f"{number}")
        )
    marks.add(Event(at=1000.0, kind="deployment", service="shop", text="0"))  # there already
    assert len(marks.between(0, 2000)) == 20
    assert [each.text for each in marks.between(0, 2000, {"shop"}, limit=3)] == ["15", "17", "18"]
    assert {each.service for each in marks.between(0, 2000, {"shop"})} == {"shop", ""}
    assert [each.text for each in marks.between(1005, 1007)] == ["5", "6"]


METRIC = "resource_duration_seconds"
PROGRAM = """
import sys, time
from idlrt import collector, observe
with collector.push(sys.argv[1], service="shop", instance="doomed", interval=0.1):
    with observe.resource("db", "read"):
        pass
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_server_leaves_a_gap_and_a_mark_at_its_last_report(tmp_path: Path) -> None:
    with CollectorServer(tmp_path / "data", "127.0.0.1:0", lost_after=1.0) as server:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, server.address], stdout=subprocess.PIPE, env=os.environ.copy()
        )
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == b"ready\n"
            path = tmp_path / "data" / "marks.db"
            reading = Marks(path)
            eventually(lambda: texts(reading, "instance") == ["shop: doomed started"])
            with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
                eventually(lambda: METRIC in [each.name for each in client.metrics()])
            program.send_signal(signal.SIGKILL)
            killed_at = time.time()
            program.wait()
            eventually(lambda: texts(reading, "lost") != [])
            [lost] = [each for each in reading.between(0, time.time()) if each.kind == "lost"]
            reading.close()
            assert killed_at - 30 < lost.at <= killed_at + 1
        finally:
            program.kill()
            program.wait()
            if program.stdout is not None:
                program.stdout.close()
        # Steps after its last report are a gap, not zero.
        with CollectorClient.connect(server.address, framing="header", protocol="compact") as client:
            eventually(lambda: time.time() > killed_at + 12)
            query = Query(
                metric=METRIC,
                start=killed_at - 20,
                end=time.time(),
                step=10.0,
                where={"instance": "doomed"},
            )
            [group] = client.query(query).groups
    known = [each == each for each in group.values]  # NaN is a gap
    assert True in known
    assert known[-1] is False


@pytest.mark.slow
def test_changes_in_a_registry_are_marks(tmp_path: Path, marks: Marks) -> None:
    with RegistryServer() as server:
        url = f"embedded://{server.address.removeprefix('tcp://')}"
        with Registry.connect(url) as client:
            client.register(Instance(service="Shop", host="10.0.0.1", port=9000, weight=100))
            eventually(lambda: len(client.instances("Shop").instances) == 1)
            change(client, "Shop", {"timeout": "0.5"}, note="too slow")
            watching = RegistryMarks(url, marks)
            watching.start()
            try:
                _change_and_look(client, watching, marks)
            finally:
                watching.close()


def _change_and_look(client: Registry, watching: RegistryMarks, marks: Marks) -> None:
    # Also what was changed before.
    eventually(lambda: len(texts(marks, "settings")) == 1)
    assert "timeout=0.5 (too slow)" in texts(marks, "settings")[0]
    change(client, "Shop", {"timeout": None, "fault": "failover"})
    eventually(lambda: len(texts(marks, "settings")) == 2)
    assert "fault=failover" in texts(marks, "settings")[1]
    assert "timeout removed" in texts(marks, "settings")[1]
    client.modify("Shop", "10.0.0.1:9000", weight=10)
    eventually(lambda: texts(marks, "override") == ["Shop: 10.0.0.1:9000: weight 10, was 100"])
    client.modify("Shop", "10.0.0.1:9000", status=Status.DISABLED)
    eventually(lambda: len(texts(marks, "override")) == 2)
    second = client.register(Instance(service="Shop", host="10.0.0.2", port=9000))
    eventually(lambda: "Shop: 10.0.0.2:9000 registered" in texts(marks, "instance"))
    second.deregister()
    eventually(lambda: "Shop: 10.0.0.2:9000 no longer registered" in texts(marks, "instance"))
    [settings] = watching.settings
    assert (settings.service, settings.version) == ("Shop", 2)
    assert settings.settings == {"fault": "failover"}


@pytest.mark.parametrize(("address", "registry"), [("127.0.0.1:0", "unknown://127.0.0.1:1"), ("nowhere:x", "")])
def test_what_cannot_be_used_leaves_no_file_open(tmp_path: Path, address: str, registry: str) -> None:
    with pytest.raises(ConfigurationError):
        CollectorServer(tmp_path / "data", address, registry=registry)
    opened = [str(each.resolve()) for each in Path("/proc/self/fd").iterdir()]
    assert not [each for each in opened if each.startswith(str(tmp_path))]


def test_the_last_report_of_a_program_is_known_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    before = Marks(tmp_path / "marks.db")
    programs = Programs(before, wall=clock)
    program = SyntheticProgram("shop")
    for _ in range(10):
        [packet] = program.packets(at=clock.now)
        programs.seen(packet, "tcp")
        programs.maintain()
        clock.now += 10
    before.close()
    after = Marks(tmp_path / "marks.db")
    [found] = Programs(after, wall=clock).all()
    assert clock.now - 70 <= found.at
    after.close()
