"""Control characters from registries, settings, servers and peers are escaped in terminals and logs."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import Result
from command_line import run_idlrt
from eventually import TIMEOUT, eventually
from hand_written import Users, UserServiceClient, user_service
from hypothesis import given
from hypothesis import strategies as st

from idlrt import Server
from idlrt.config.store import change
from idlrt.core import Instance
from idlrt.core.logs import get_logger
from idlrt.embedded import RegistryServer
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.printable import escape_json, printable
from idlrt.registry import Registry

# A real registry, and commands in this process.
pytestmark = pytest.mark.slow

# A title, a colour, C1's CSI, a forged line, an override of direction, a zero-width space, a byte order mark, half a
# pair, a tag, a filler.
HOSTILE: Final = "\x1b]0;title\x07\x1b[31m\x9b2J\r\n+ forged\u202egpj.exe\u200b\ufeff\U000e0041\u3164é漢"
SHOWN: Final = r"\x1b]0;title\x07\x1b[31m\x9b2J\r\n+ forged\u202egpj.exe\u200b\ufeff\U000e0041\u3164é漢"
UNSAFE: Final = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}

IDL = """
exception Wrong { 1: string why }
service UserService { string join(1: list<string> words, 2: optional string by) throws (1: Wrong e) }
"""


def check_shown(text: str, least: str = "") -> None:
    unsafe = {character for character in text if unicodedata.category(character) in UNSAFE} - {"\n"}
    assert not unsafe, ascii(text)
    assert "\n+ forged" not in text
    assert least in text


@given(st.text())
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    check_shown(printable(text))
    assert printable(printable(text)) == printable(text)


@given(st.recursive(st.text() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)))
def test_escaped_json_means_the_same(value: Any) -> None:
    for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)):
        check_shown(escape_json(text).replace("\n+", ""))
        assert json.loads(escape_json(text)) == value


BLANK: Final = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
LETTERS: Final = st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters=BLANK)


@given(st.text(LETTERS))
def test_letters_of_all_scripts_stay(text: str) -> None:
    assert printable(text) == text


class Registered:
    """A registry in which there is hostile text wherever there can be."""

    def __init__(self, stack: ExitStack) -> None:
        self.url = stack.enter_context(RegistryServer()).start().url
        self.owner = stack.enter_context(Registry.connect(self.url))
        self.instance = Instance(
            service="UserService",
            host="10.0.0.7",
            port=9090,
            tags={"team": HOSTILE, HOSTILE: "x"},
            metadata={"note": HOSTILE},
        )
        self.owner.register(self.instance).wait(TIMEOUT)
        change(self.owner, "UserService", {"hash_by": HOSTILE}, note=HOSTILE)


@pytest.fixture
def registered() -> Iterator[Registered]:
    with ExitStack() as stack:
        yield Registered(stack)


def idlrt(*arguments: str, code: int = 0) -> Result:
    return run_idlrt([*arguments, "--timeout", f"{TIMEOUT:g}"], code=code)


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        (["registry", "services", "URL"], True),
        (["registry", "instances", "URL", "UserService"], True),
        (["config", "history", "URL", "UserService"], True),
        (["config", "explain", "--service", "UserService", "--registry", "URL"], True),
        (["route", "explain", "--service", "UserService", "--registry", "URL", "--tag", HOSTILE], True),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, list) else "",
)
def test_commands_show_escapes(registered: Registered, command: list[str], shows: bool) -> None:
    command = [each.replace("URL", registered.url) for each in command]
    done = idlrt(*command)
    check_shown(done.stdout + done.stderr)
    assert ("\\x1b" in done.stdout) is shows
    done = idlrt(*command, "--json")
    check_shown(done.stdout)
    assert "\\u001b" in done.stdout
    json.loads(done.stdout)


def test_watch_and_export_show_escapes(registered: Registered) -> None:
    for more in ([], ["--json"]):
        done = run_idlrt(["registry", "watch", registered.url, "UserService", "--for", "1", *more])
        check_shown(done.stdout + done.stderr, "\\u001b" if more else "\\x1b")


class Hostile(Users):
    def join(self, words: list[str], by: str) -> str:
        if by == "refuse":
            raise ApplicationError(HOSTILE, ApplicationCode.INTERNAL_ERROR)
        return HOSTILE


def test_calls_show_escapes(tmp_path: Path) -> None:
    idl = tmp_path / "user.thrift"
    idl.write_text(IDL)
    with Server(user_service(Hostile())).start() as server:
        common = ["call", server.address, "join"]
        done = idlrt(*common, '[["a"]]', "--idl", str(idl))
        check_shown(done.stdout)
        assert json.loads(done.stdout) == HOSTILE
        done = idlrt(*common, '[["a"], "refuse"]', "--idl", str(idl), code=1)
        check_shown(done.stdout + done.stderr)
        assert json.loads(done.stdout)["error"] == "ApplicationError"


@pytest.mark.parametrize("command", [["ping", HOSTILE], [HOSTILE], ["registry", HOSTILE], ["ping", "h:1", HOSTILE]])
def test_usage_errors_show_escapes(command: list[str]) -> None:
    done = run_idlrt(command, code=2)
    check_shown(done.stdout + done.stderr, "\\x1b")


def test_logs_show_escapes(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("idlrt.test")
    with caplog.at_level(logging.INFO, "idlrt.test"):
        log.info("lost %s after %d of %.1f s: %s", HOSTILE, 5, 2.5, ValueError(HOSTILE))
        log.info("nothing %s", "usual")
    assert caplog.messages == [f"lost {SHOWN} after 5 of 2.5 s: {SHOWN}", "nothing usual"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_value_without_text_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "idlrt.test"):
        get_logger("idlrt.test").info("lost %s", Unprintable())
    assert caplog.messages == ["lost <Unprintable: RuntimeError>"]


def test_what_a_server_says_is_escaped_in_logs_of_clients(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "idlrt"), Server(user_service(Hostile())).start() as server:
        with UserServiceClient.connect(server.address, timeout=TIMEOUT) as client:
            assert client.using(fault="failsafe").join(["a"], "refuse") is None
        eventually(lambda: any("ignoring failure of" in each for each in caplog.messages))
    for message in caplog.messages:
        check_shown(message)
