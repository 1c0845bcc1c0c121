"""Values that cannot be meant are refused with a sentence, wherever a duration or a rule is given."""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

import pytest
from command_line import run_idlrt
from hand_written import AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt import Server
from idlrt.client.options import CallOptions
from idlrt.config import check
from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.registry.url import RegistryUrl
from idlrt.route import CallerInfo, make_chain

SENSELESS = [1e-300, 1e-10, 1e10, 1e300, math.inf, math.nan, -1.0, True, "5"]
CLIENT_DURATIONS = ["timeout", "connect_timeout", "ping_after", "ping_timeout"]
SERVER_DURATIONS = ["timeout", "idle_timeout", "message_timeout", "write_timeout", "drain_s", "grace_s"]


@pytest.mark.parametrize("seconds", SENSELESS, ids=repr)
@pytest.mark.parametrize("name", CLIENT_DURATIONS)
def test_clients_refuse_such_durations(name: str, seconds: object) -> None:
    options: dict[str, Any] = {name: seconds}
    with pytest.raises(ConfigurationError, match=rf"^{name} must be between 1e-09 and 2000000 seconds, got "):
        UserServiceClient.connect("127.0.0.1:1", **options)
    with pytest.raises(ConfigurationError, match=rf"^{name} must be between 1e-09 and 2000000 seconds, got "):
        AsyncUserServiceClient.connect("127.0.0.1:1", **options)


@pytest.mark.parametrize("seconds", SENSELESS, ids=repr)
def test_options_of_calls_refuse_such_durations(seconds: object) -> None:
    with UserServiceClient.connect("127.0.0.1:1") as client:
        for name in ("timeout", "attempt_timeout"):
            with pytest.raises(ConfigurationError, match=f"^{name} must be between "):
                client.using(**cast("CallOptions", {name: seconds}))


@pytest.mark.parametrize("seconds", SENSELESS, ids=repr)
@pytest.mark.parametrize("name", SERVER_DURATIONS)
def test_servers_refuse_such_durations(name: str, seconds: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}: must be between "):
        Server(user_service(Users()), **cast("Any", {name: seconds}))


@pytest.mark.parametrize("seconds", [each for each in SENSELESS if each != "5"], ids=repr)
def test_configurations_and_urls_refuse_such_durations(seconds: float) -> None:
    for key in ("timeout", "attempt_timeout", "breaker.window", "ejection.base_ejection_time", "failcache.max_age"):
        assert [problem.key for problem in check({key: seconds})] == [key]
    with pytest.raises(ConfigurationError, match="timeout must be between 1e-09 and 2000000 seconds, got "):
        RegistryUrl.parse(f"embedded://h:1?timeout={seconds}").seconds("timeout", 1.0)


@pytest.mark.parametrize("seconds", ["1e-300", "1e10", "inf", "nan", "-1", "soon"])
@pytest.mark.parametrize(
    "command",
    [
        ["ping", "127.0.0.1:1", "--timeout"],
        ["ping", "127.0.0.1:1", "--interval"],
        ["bench", "127.0.0.1:1", "S.m", "--idl", __file__, "--duration"],
        ["bench", "127.0.0.1:1", "S.m", "--idl", __file__, "--warm-up"],
        ["registry", "watch", "embedded://127.0.0.1:1", "S", "--for"],
    ],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_commands_refuse_such_durations(command: list[str], seconds: str) -> None:
    done = run_idlrt([*command, seconds], code=2)
    assert f"Invalid value for '{command[-1]}': must be " in done.stderr


@pytest.mark.parametrize("rate", ["1e-300", "1e300", "inf", "nan", "-1"])
def test_bench_refuses_senseless_rates(rate: str) -> None:
    done = run_idlrt(["bench", "127.0.0.1:1", "S.m", "--idl", __file__, "--rate", rate], code=2)
    assert "Invalid value for '--rate': must be 0, or between 0.001 and 1000000 per second, got " in done.stderr


@pytest.mark.parametrize("seconds", [1e-9, 2_000_000.0])
def test_the_least_and_the_largest_duration_work(seconds: float) -> None:
    options: dict[str, Any] = {"ping_timeout": seconds}
    long: dict[str, Any] = {"timeout": seconds} if seconds > 1 else {}
    if long:
        options |= {"timeout": seconds, "connect_timeout": seconds}

    async def call(address: str) -> int:
        async with AsyncUserServiceClient.connect(address, **options) as client:
            return (await client.get(7)).id

    with Server(user_service(Users()), **long) as server:
        server.start()
        with UserServiceClient.connect(server.address, **options) as client:
            assert client.get(7).id == 7
        assert asyncio.run(call(server.address)) == 7


@pytest.mark.parametrize("rule", [{}, {"when": "method = get"}, {"force": True}, {"router": "condition", "name": "x"}])
def test_a_condition_rule_without_a_destination_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"^routes\[0\]\.to: missing key"):
        make_chain([rule], CallerInfo(), ClockAndRandom())
    assert [problem.key for problem in check({"routes": [rule]})] == ["routes[0].to"]
