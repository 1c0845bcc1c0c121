"""What the README says of governance works as printed, at a registry of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from eventually import TIMEOUT, eventually
from test_readme import BLOCK, README

from idlrt.balance import BALANCERS
from idlrt.client import Client
from idlrt.core import Decision, Picked, Routed, bind
from idlrt.embedded import RegistryServer
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS
from idlrt.plugins import Plugins
from idlrt.route import ROUTERS
from idlrt.server import Server
from idlrt.spec import I64, Service, method, required

# More than a moment.
pytestmark = pytest.mark.slow

PRINTED = "embedded://127.0.0.1:7400"


class Users:
    def find(self, id: int) -> int:
        return id


_FIND = method(Users.find, required(1, "id", I64), result=I64, idempotent=True)
_SERVICE = Service("UserService", _FIND)


class UserServiceClient(Client):
    __thrift_service__ = _SERVICE

    def find(self, id: int) -> int:
        return self._call(_FIND, id)


def section() -> str:
    text = README.read_text()
    start = text.index("## Governance")
    return text[start : text.index("\n## ", start + 1)]


@pytest.fixture
def url() -> Iterator[str]:
    """Of a registry that has the service, on hard disk and on ssd."""
    with RegistryServer() as registry:
        disk: Any = {"tags": {"disk": "hdd"}}
        ssd: Any = {"tags": {"disk": "ssd"}}
        with (
            Server(bind(_SERVICE, Users()), registry=registry.url, instance=disk) as first,
            Server(bind(_SERVICE, Users()), registry=registry.url, instance=ssd) as second,
        ):
            first.start()
            second.start()
            eventually(lambda: registry.instances == 2)
            yield registry.url


class Listening(UserServiceClient):
    """The client of the README, with somebody who is told of its decisions."""

    heard: ClassVar[list[Decision]] = []

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Self:
        return super().connect(*arguments, **options, timeout=TIMEOUT, listeners=[cls.heard.append])


def test_the_client_does_as_it_is_told(url: str) -> None:
    code = dict(BLOCK.findall(section()))["python"].replace(PRINTED, url)
    # A busy machine may take longer than what is printed.
    assert '"methods.find.timeout": 0.2' in code
    code = code.replace('"methods.find.timeout": 0.2', f'"methods.find.timeout": {TIMEOUT}')
    heard = Listening.heard
    heard.clear()
    found: dict[str, Any] = {"UserServiceClient": Listening}
    exec(code, found)
    with found["users"] as users:
        assert users.find(1) == 1
        assert found["gray"].find(2) == 2
    # Where an answer takes its time another instance is picked as well.
    assert list(dict.fromkeys(each.balancer for each in heard if isinstance(each, Picked))) == [
        "p2c",
        "consistent_hash",
    ]
    assert {(each.before, each.after) for each in heard if isinstance(each, Routed) and each.router == "condition"} == {
        (2, 1)
    }


def test_the_commands_run(url: str, tmp_path: Path) -> None:
    lines = dict(BLOCK.findall(section()))["sh"].replace(PRINTED, url).strip().splitlines()
    assert len(lines) == 4
    said = [
        subprocess.run(
            [str(Path(sys.executable).with_name("idlrt")), *line.split()[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for line in lines
    ]
    assert said[0].startswith("version 1: fault=hedge methods.find.timeout=0.2")
    assert said[1] == "version 2: none\n"
    assert re.search(r"^fault +failover +default$", said[2], re.MULTILINE)
    assert "nobody has the tag gray" in said[3]


@pytest.mark.parametrize(
    ("kind", "plugins"),
    [("balancers", BALANCERS), ("routers", ROUTERS), ("fault modes", FAULT_MODES), ("guards", GUARDS)],
)
def test_all_that_there_are_are_named(kind: str, plugins: Plugins[Any]) -> None:
    match = re.search(rf"^\| \*\*{kind}\*\* \| (.*) \|$", section(), re.MULTILINE)
    assert match is not None
    assert sorted(re.findall(r"`(\w+)`", match[1])) == plugins.names()
