"""Bugs put in on purpose, one a mutant; a test has to fail on each.

Most are in what is tested by events, counted steps or virtual time, where a test could have lost its teeth when its
clock was taken away.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A bug.

    Attributes:
        name: of the bug.
        path: of the file that it is in.
        before: the text that it replaces, which occurs once in the file.
        after: the text with the bug.
        tests: files or folders that have to find it.
    """

    name: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        name="framing: moves all buffered bytes for each message",
        path="runtime/idlrt/protocol/thrift/frame_buffers.py",
        before="        self._offset = end\n",
        after="        self._buffer = buffer = bytes(bytearray(buffer))\n        self._offset = end\n",
        tests=("tests/idlrt/protocol/test_framing.py",),
    ),
    Mutant(
        name="header: uses the template of a request for timeouts with more digits",
        path="runtime/idlrt/protocol/thrift/header_requests.py",
        before="        self._high = 10 ** len(digits)\n",
        after="        self._high = 100 ** len(digits)\n",
        tests=("tests/idlrt/protocol/test_header_requests.py",),
    ),
    Mutant(
        name="header: takes the answer to a ping for that to a call",
        path="runtime/idlrt/protocol/thrift/client.py",
        before="                and not self._pings\n",
        after="",
        tests=("tests/idlrt/protocol/test_header_requests.py",),
    ),
    Mutant(
        name="compact: forgets the sign of an i32",
        path="runtime/idlrt/serialization/_compact_input.py",
        before='raise out_of_range(start, unzigzag(number), "i32")\n        return (number >> 1) ^ -(number & 1)\n',
        after='raise out_of_range(start, unzigzag(number), "i32")\n        return number >> 1\n',
        tests=("tests/idlrt/serialization/test_compact.py", "tests/idlrt/serialization/test_reading.py"),
    ),
    Mutant(
        name="relay: takes values of one protocol for those of another",
        path="runtime/idlrt/serialization/_unknown.py",
        before="    if origin == protocol:\n",
        after="    if origin == protocol or is_union:\n",
        tests=("tests/issues/test_unknown_members_survive_a_relay.py",),
    ),
    Mutant(
        name="relay: copies lose what is kept in a value",
        path="runtime/idlrt/spec/unknown.py",
        before="            return (make, arguments) if encoded is None else (rebuild, (make, arguments, encoded))\n",
        after="            return make, arguments\n",
        tests=("tests/issues/test_unknown_members_survive_a_relay.py",),
    ),
    Mutant(
        name="refusals: their text is read as strictly as values are",
        path="runtime/idlrt/protocol/thrift/message.py",
        before="        reading = values.lenient() if isinstance(values, TableSerialization) else values\n",
        after="        reading = values\n",
        tests=("tests/issues/test_text_that_is_not_utf8.py",),
    ),
    Mutant(
        name="races: asks the next at once instead of after the delay",
        path="runtime/idlrt/core/races.py",
        before="finished.get(timeout=delay if is_more else None)",
        after="finished.get(timeout=0.0 if is_more else None)",
        tests=("tests/idlrt/core/test_driver_races.py",),
    ),
    Mutant(
        name="pool: does not wake the next call when a connection is free",
        path="runtime/idlrt/client/exclusive_pool.py",
        before="        if self._queue or self.is_closed:\n            with",
        after="        if self.is_closed:\n            with",
        tests=("tests/idlrt/client/test_connection_pool.py",),
    ),
    Mutant(
        name="pool: later calls overtake those that wait",
        path="runtime/idlrt/client/connection_pool.py",
        before="            first = next(iter(self._queue), None)\n",
        after="            first = next(reversed(self._queue), None)\n",
        tests=("tests/idlrt/client/test_connection_pool.py",),
    ),
    Mutant(
        name="pool: connections of interrupted calls keep their places",
        path="runtime/idlrt/client/connection_pool.py",
        before="        self._places.add(ref(connection, self._places.discard))\n",
        after="        self._places.add(ref(connection))\n",
        tests=("tests/idlrt/client/test_connection_pool.py",),
    ),
    Mutant(
        name="pool: reuses a connection whose call has timed out",
        path="runtime/idlrt/client/blocking.py",
        before="        connection.is_reusable = False\n        try:\n            transport.send",
        after="        try:\n            transport.send",
        tests=("tests/idlrt/client/test_blocking_client.py",),
    ),
    Mutant(
        name="health: one failure more than configured is tolerated",
        path="runtime/idlrt/client/health.py",
        before="        if self.failures < self.failure_threshold:\n",
        after="        if self.failures <= self.failure_threshold:\n",
        tests=("tests/idlrt/client/test_health.py",),
    ),
    Mutant(
        name="failover: repeats what is not idempotent",
        path="runtime/idlrt/fault/base.py",
        before="    return call.method.is_idempotent if declared is None else declared\n",
        after="    return True if declared is None else declared\n",
        tests=("tests/idlrt/fault",),
    ),
    Mutant(
        name="retry budget: spends nothing",
        path="runtime/idlrt/guard/retry_budget.py",
        before="            self._window.failures += 1\n            return True\n",
        after="            return True\n",
        tests=("tests/idlrt/guard/test_guard_retry_budget.py",),
    ),
    Mutant(
        name="breaker: a late answer passes for a probe",
        path="runtime/idlrt/guard/breaker.py",
        before="        return probe is not None and permit in (None, probe)\n",
        after="        return probe is not None\n",
        tests=("tests/idlrt/guard/test_guard_breaker.py",),
    ),
    Mutant(
        name="server: a stop does not let connections drain",
        path="runtime/idlrt/server/server.py",
        before="self._settings.drain_s if self.connections else 0.0",
        after="0.0",
        tests=("tests/idlrt/server/test_drain.py", "tests/idlrt/server/test_server_stats.py"),
    ),
    Mutant(
        name="server: expired calls begin all the same",
        path="runtime/idlrt/server/method_table.py",
        before="    if call.deadline.at <= now:\n        raise NotStarted\n",
        after="",
        tests=("tests/idlrt/server/test_deadlines.py", "tests/idlrt/server/test_workers.py"),
    ),
    Mutant(
        name="server: arguments that a caller left out reach the handler as they came",
        path="runtime/idlrt/server/session.py",
        before="            if handler.substitutes and None in arguments:\n",
        after="            if False:\n",
        tests=("tests/issues/test_unmarked_arguments_may_be_absent.py",),
    ),
    Mutant(
        name="server: async handlers that have not started when it stops start all the same",
        path="runtime/idlrt/server/coroutines.py",
        before="                if self._is_stopping:\n                    self._cancel_unstarted(",
        after="                if False:\n                    self._cancel_unstarted(",
        tests=("tests/idlrt/server/test_coroutines.py",),
    ),
    Mutant(
        name="server: idle connections stay open",
        path="runtime/idlrt/server/timeouts.py",
        before="                if limit and now - max(",
        after="                if limit and now < 0 and now - max(",
        tests=("tests/idlrt/server/test_timeouts.py", "tests/idlrt/server/test_connection_timeouts.py"),
    ),
    Mutant(
        name="processes: a dead process is not started again",
        path="runtime/idlrt/server/processes.py",
        before="            if not slot.pid and now >= slot.start_at:\n",
        after="            if not slot.pid and not slot.started_at:\n",
        tests=("tests/idlrt/server/test_processes.py",),
    ),
    Mutant(
        name="registry: silent owners are never removed",
        path="runtime/idlrt/embedded/state.py",
        before="        while self._deadlines and self._deadlines[0][0] <= now:\n",
        after="        while self._deadlines and self._deadlines[0][0] <= now - 3600:\n",
        tests=("tests/idlrt/embedded/test_state.py", "tests/idlrt/embedded/test_registry_faults.py"),
    ),
    Mutant(
        name="registry: what a heartbeat finds missing is not registered again",
        path="runtime/idlrt/registry/engine.py",
        before="                self._registrar.report_missing(registered, missing)\n",
        after="                del missing\n",
        tests=("tests/issues/test_registrations_come_back.py",),
    ),
    Mutant(
        name="registry: whoever registers an id last has it",
        path="runtime/idlrt/registry/id_conflicts.py",
        before="        may = is_same and not reclaims\n",
        after="        may = True\n",
        tests=("tests/issues/test_registrations_come_back.py",),
    ),
    Mutant(
        name="benchmarks: an error of a worker is swallowed",
        path="benchmarks/workers.py",
        before="            self._errors.append(error)\n",
        after="            pass\n",
        tests=("tests/benchmarks/test_benchmark_workers.py",),
    ),
    Mutant(
        name="http: lets requests of HTTP 1.0 be chunked",
        path="runtime/idlrt/protocol/http/head.py",
        before=(
            '        if version == "1.0":\n'
            '            raise BadHead(400, "HTTP/1.0 has no transfer codings")  # RFC 9112, section 6.1\n'
        ),
        after="",
        tests=("tests/idlrt/protocol/http/test_hardening.py",),
    ),
    Mutant(
        name="http: takes other codings for chunked",
        path="runtime/idlrt/protocol/http/head.py",
        before='coding.lower() != b"chunked":',
        after='not coding.lower().endswith(b"chunked"):',
        tests=("tests/idlrt/protocol/http/test_hardening.py",),
    ),
    Mutant(
        name="http: keeps names that gateways treat like others",
        path="runtime/idlrt/protocol/http/server.py",
        before='        if b"_" in name and not name.startswith(PREFIX):\n',
        after='        if b"_" in name and name.startswith(PREFIX):\n',
        tests=("tests/idlrt/protocol/http/test_hardening_responses.py",),
    ),
    Mutant(
        name="http: counts the overhead of each chunk alone",
        path="runtime/idlrt/protocol/http/extents.py",
        before="        self._overhead += end - at\n",
        after="        self._overhead = end - at\n",
        tests=("tests/idlrt/protocol/http/test_hardening_limits.py",),
    ),
    Mutant(
        name="http: finds the end of a head only if it arrives at once",
        path="runtime/idlrt/protocol/http/extents.py",
        before="(last + data[at : at + 3]).find(_END_OF_HEAD)",
        after="data[at : at + 3].find(_END_OF_HEAD)",
        tests=("tests/idlrt/protocol/http/test_hardening.py",),
    ),
    Mutant(
        name="http: two plain headers of one name pass",
        path="runtime/idlrt/protocol/http/plain_requests.py",
        before="        return found if len(found) == len(lines) - 1 else None\n",
        after="        return found\n",
        tests=("tests/idlrt/protocol/http/test_hardening.py",),
    ),
    Mutant(
        name="http: every response of a draining server says that it is the last",
        path="runtime/idlrt/protocol/http/server.py",
        before="        if request.id != self._number:\n",
        after="        if request.id > self._number:\n",
        tests=("tests/idlrt/protocol/http/test_hardening_responses.py",),
    ),
    Mutant(
        name="http: a body sets fields that have no place",
        path="runtime/idlrt/protocol/http/binding.py",
        before=("                    for key in self._hidden:\n                        plain.pop(key, None)\n"),
        after="",
        tests=("tests/idlrt/protocol/http/test_http_binding.py",),
    ),
    Mutant(
        name="http: any page may name a server on loopback",
        path="runtime/idlrt/protocol/http/site.py",
        before="        return name in self.hosts\n",
        after='        return name in self.hosts or name.partition(b".")[0] in self.hosts\n',
        tests=("tests/idlrt/protocol/http/test_hardening_responses.py",),
    ),
    Mutant(
        name="net: nothing is read from a client that is sending",
        path="runtime/idlrt/net/channel.py",
        before="            wanted = READ if self._is_discarding and not self._at_eof else 0\n",
        after="            wanted = 0\n",
        tests=("tests/idlrt/net/test_discarding.py",),
    ),
)
