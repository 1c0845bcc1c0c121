"""Access list: other clients are refused with a clear error, and receive no data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from registry_heard import Heard

from idlrt.core import Instance, Status
from idlrt.embedded import Access, RegistryServer, Rule
from idlrt.embedded.api import Correction, NoSession, Record, Refused, RegistryClient
from idlrt.errors import ApplicationError, ConfigurationError, RegistryRefused, RpcError
from idlrt.registry import Registry

INSTANCE = Instance(service="Users", host="127.0.0.1", port=1, metadata={"password": "hidden"})
FAR = Rule(networks=("10.99.0.0/16",))
SECRET = Rule(tokens=("s3cret", "other"))


def connect(server: RegistryServer, **options: str) -> Registry:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return Registry.connect(f"{server.url}?{query}", cache=False, timeout=TIMEOUT)


def test_without_rules_all_clients_are_admitted() -> None:
    with RegistryServer() as server, connect(server) as client:
        client.register(INSTANCE).wait()
        client.modify("Users", INSTANCE.id, weight=3)
        client.configure("Users", {"a": "b"})
        assert client.instances("Users").instances[0].weight == 3


@pytest.mark.slow
@pytest.mark.parametrize("rule", [FAR, SECRET], ids=["networks", "tokens"])
def test_register_requires_permission(rule: Rule) -> None:
    with RegistryServer(access=Access(register=rule)) as server, connect(server) as client:
        registration = client.register(INSTANCE)
        eventually(lambda: registration.error, "it is refused")
        with pytest.raises(RegistryRefused, match="no permission to register"):
            registration.wait(0.1)
        assert client.instances("Users").instances == (), "it may look"
        client.close(0)


@pytest.mark.parametrize("rule", [FAR, SECRET], ids=["networks", "tokens"])
def test_subscribe_requires_permission(rule: Rule) -> None:
    with RegistryServer(access=Access(subscribe=rule)) as server, connect(server) as client:
        client.register(INSTANCE).wait()
        subscription = client.subscribe("Users")
        eventually(lambda: subscription.last_error, "it is refused")
        assert isinstance(subscription.last_error, RegistryRefused)
        assert subscription.snapshot is None
        errors: list[RpcError] = []
        for ask in (
            lambda: client.instances("Users"),
            lambda: client.instances("Nobody"),
            client.groups,
            client.services,
            lambda: client.changes("Users", 0),
        ):
            with pytest.raises(RegistryRefused, match="no permission to subscribe") as caught:
                ask()
            errors.append(caught.value)
        texts = {str(each) for each in errors}
        assert len(texts) == 1, "what is there and what is not look the same"
        assert "hidden" not in texts.pop()


def test_administer_requires_permission() -> None:
    with RegistryServer(access=Access(administer=SECRET)) as server, connect(server) as client:
        client.register(INSTANCE).wait()
        with pytest.raises(RegistryRefused, match="no permission to administer"):
            client.modify("Users", INSTANCE.id, status=Status.DISABLED)
        with pytest.raises(RegistryRefused, match="administer"):
            client.configure("Users", {"a": "b"})
        with connect(server, token="s3cret") as operator:
            operator.modify("Users", INSTANCE.id, status=Status.DISABLED)
        assert client.instances("Users").callable == ()


def test_a_valid_token_is_required() -> None:
    access = Access(register=SECRET, subscribe=SECRET, administer=SECRET)
    with RegistryServer(access=access) as server:
        with connect(server, token="other") as client:
            client.register(INSTANCE).wait()
            Heard(client.subscribe("Users")).until_ports(1)
        with connect(server, token="guess") as stranger:
            with pytest.raises(RegistryRefused, match="no permission to"):
                stranger.instances("Users")
            # Not even a session.
            assert stranger.last_error is not None
            assert not stranger.is_connected


def test_the_session_of_another_client_cannot_be_used() -> None:
    with RegistryServer() as server, connect(server) as owner:
        owner.register(INSTANCE).wait()
        with RegistryClient.connect(server.address, framing="header", timeout=TIMEOUT) as stranger:
            with pytest.raises(NoSession):
                stranger.deregister(12345, "default", "Users", INSTANCE.id)
            own = stranger.begin("stranger", 6000)
            stranger.deregister(own.id, "default", "Users", INSTANCE.id)
        assert len(owner.instances("Users").instances) == 1


def calls(client: RegistryClient) -> dict[str, Callable[[], object]]:
    """Call each method."""
    return {
        "begin": lambda: client.begin("x", 6000),
        "keep": lambda: client.keep(1),
        "renew": lambda: client.renew(1, []),
        "end": lambda: client.end(1),
        "register": lambda: client.register(1, Record(service="Users", group="default", id="x", host="h", port=1)),
        "reclaim": lambda: client.reclaim(1, Record(service="Users", group="default", id="x", host="h", port=1)),
        "deregister": lambda: client.deregister(1, "default", "Users", "x"),
        "changes": lambda: client.changes("default", "Users", 0, 0, 0),
        "groups": client.groups,
        "services": lambda: client.services("default"),
        "correct": lambda: client.correct("default", "Users", "x", Correction(weight=1)),
        "configure": lambda: client.configure("default", "Users", {}),
        "part": lambda: client.part("default", "Users", 0, 0, 0, ""),
        "groups_after": lambda: client.groups_after(""),
        "services_after": lambda: client.services_after("default", ""),
        "remove": lambda: client.remove("default", "Users"),
    }


@pytest.mark.parametrize("framing", ["header", "framed", "unframed"])
def test_each_method_checks_permissions(framing: str) -> None:
    # Framings without metadata cannot carry a token.
    access = Access(register=SECRET, subscribe=SECRET, administer=SECRET)
    with (
        RegistryServer(access=access) as server,
        RegistryClient.connect(server.address, framing=framing, timeout=TIMEOUT) as client,
    ):
        assert set(calls(client)) == set(RegistryClient.__thrift_service__.methods)
        for call in calls(client).values():
            with pytest.raises((RpcError, ApplicationError, Refused), match="no permission to"):
                call()
        assert server.sessions == 0


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    path.write_text('[register]\nnetworks = ["127.0.0.0/8", "unix"]\n[administer]\ntokens = ["a", "b"]\n')
    assert Access.load(path) == Access(
        register=Rule(networks=("127.0.0.0/8", "unix")), administer=Rule(tokens=("a", "b"))
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[register", "access.toml"),
        ("[registr]\n", "unknown field `registr`"),
        ('[register]\nnetwork = ["x"]', "unknown field `network`"),
        ('[register]\nnetworks = ["300.0.0.0/8"]', "300.0.0.0/8"),
        ('[register]\nnetworks = "10.0.0.0/8"', "Expected `array`"),
        ('[administer]\ntokens = [""]', "token"),
    ],
)
def test_an_invalid_access_list(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        Access.load(path)
    assert why in str(caught.value)


def test_invalid_rules_are_rejected_on_construction() -> None:
    wrong: Any = Access(register=Rule(networks=("nowhere",)))
    with pytest.raises(ConfigurationError, match="nowhere"):
        RegistryServer(access=wrong)
