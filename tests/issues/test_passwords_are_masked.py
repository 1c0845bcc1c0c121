"""Passwords and tokens of URLs are masked in every message, however the URL was mistyped."""

from __future__ import annotations

import logging

import pytest
from click.testing import CliRunner
from hand_written import AsyncUserServiceClient, Users, UserServiceClient, user_service

from idlrt import Server
from idlrt.cli import main
from idlrt.client.target import parse_target
from idlrt.errors import ConfigurationError, RpcError
from idlrt.net.address import Address
from idlrt.printable import mask_passwords
from idlrt.registry import Registry, RegistryUrl

SECRET = "s3cr3t"
MISTYPED = [
    f"etcd://ada:{SECRET}@127.0.0.1:1/a/b?bad=%zz#x",
    f"etcd:/ada:{SECRET}@h:1/S",
    f"etcd:ada:{SECRET}@h:1/S",
    f"etcd:///ada:{SECRET}@h:1/S",
    f"ada:{SECRET}@h:1",
    f"tcp://ada:{SECRET}@h:1",
    f"tcp:/ada:{SECRET}@h:1",
    f"tcp:ada:{SECRET}@h:1",
    f"unix:ada:{SECRET}@h\0",
    f"http://ada:{SECRET}@h:1/S",
    f"etcd://ada:{SECRET}/with@at@h:1:1/S",
    f"etcd://ada:with space {SECRET}@h:1:1/S",
    f"etcd://ada:?{SECRET}#@h:1:1/S",
    f"etcd://:{SECRET}@h:port/S",
    f"static://h1:1,ada:{SECRET}@h2:2/S#x",
    f"zookeeper://h:port/S?token={SECRET}",
    f"zookeeper://h:99999/S?x=1&password={SECRET}",
    f"embedded://h:1/S?token={SECRET}&timeout=never",
    f"nosuch://ada:{SECRET}@h:1/S",
]


@pytest.mark.parametrize("url", MISTYPED)
def test_errors_of_urls_show_no_password(url: str) -> None:
    said: list[str] = []
    makes = [
        lambda: RegistryUrl.parse(url),
        lambda: Address.parse(url),
        lambda: parse_target(url, "S"),
        lambda: Registry.connect(url).close(),
        lambda: UserServiceClient.connect(url, timeout=0.01).get(1),
        lambda: AsyncUserServiceClient.connect(url),
        lambda: Server(user_service(Users()), url),
        lambda: Server(user_service(Users()), registry=url),
    ]
    for make in makes:
        try:
            made = make()
        except RpcError as error:
            said += [str(error), repr(error)]
        else:
            said += [str(made), repr(made)]
    assert any("***" in each for each in said), said
    assert not [each for each in said if SECRET in each]


@pytest.mark.parametrize("url", [each for each in MISTYPED if "\0" not in each])
@pytest.mark.parametrize(
    "command",
    [
        ["ping", "URL", "--count", "1", "--timeout", "0.01"],
        ["ping", "h:1", "URL"],
        ["URL"],
        ["ping", "h:1", "--count", "URL"],
        ["registry", "services", "URL", "--timeout", "0.01"],
        ["registry", "URL"],
        ["config", "explain", "--service", "S", "--registry", "URL", "--timeout", "0.01"],
    ],
    ids=lambda command: " ".join(command),
)
def test_commands_show_no_password(command: list[str], url: str, caplog: pytest.LogCaptureFixture) -> None:
    done = CliRunner().invoke(main, [each.replace("URL", url) for each in command])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code in (1, 2)
    assert done.stderr
    assert SECRET not in done.stdout + done.stderr + caplog.text


def test_representations_show_no_password(caplog: pytest.LogCaptureFixture) -> None:
    url = f"etcd://ada:{SECRET}@127.0.0.1:1/S"
    target = parse_target(url, "S")
    with caplog.at_level(logging.DEBUG):
        with Registry.connect(RegistryUrl.parse(url).with_path("")) as registry:
            shown = [repr(target), str(target), repr(registry), str(registry), repr(RegistryUrl.parse(url))]
        with UserServiceClient.connect(url, timeout=0.05) as client:
            shown.append(repr(client))
            with pytest.raises(RpcError) as raised:
                client.get(1)
            shown += [str(raised.value), repr(raised.value.__cause__)]
    assert "***" in shown[0]
    assert not [each for each in [*shown, caplog.text] if SECRET in each]


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach 10.0.0.7:9090: connection refused",
        "tcp://[::1]:9090",
        "unix:@name",
        "etcd://ada@h:1",
        "mail ada@example.org: at 10:30 somebody@h wrote",
        "UserService.get: x=1, y=2",
        "h1:1,h2:2",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    assert mask_passwords(text) == text
    assert mask_passwords(f"token expired in {text}") == f"token expired in {text}"


def test_the_rest_of_a_url_stays() -> None:
    assert mask_passwords("got 'etcd://ada:pw@h:2379/S?x=1'") == "got 'etcd://ada:***@h:2379/S?x=1'"
    with pytest.raises(ConfigurationError, match=r"'etcd:/ada:\*\*\*@h:1/S'"):
        RegistryUrl.parse("etcd:/ada:pw@h:1/S")
