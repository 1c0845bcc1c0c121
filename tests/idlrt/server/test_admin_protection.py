"""Who may use the admin port, and which secrets it keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trustme
from admin_requests import passing, request, status
from eventually import TIMEOUT
from hand_written import Users, user_service

from idlrt import Admin, Server, Tls
from idlrt.cli.health import probe_by
from idlrt.core import ServerCall
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.server import ServerCallNext

JSON = "application/json"


@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:9901", "example.com:9901"])
def test_addresses_that_others_reach_need_protection(address: str) -> None:
    with pytest.raises(ConfigurationError, match="can be reached from other machines; listen on 127") as caught:
        Server(user_service(Users()), admin=address)
    assert f"admin=idlrt.Admin({address!r}, token=...)" in str(caught.value)
    for protected in (
        Admin(address, token="t"),
        Admin(address, allow=["10.0.0.0/8"]),
        Admin(address, filters=(only_livez,)),
    ):
        Server(user_service(Users()), admin=protected)


async def only_livez(call: ServerCall, next: ServerCallNext) -> Any:
    if call.arguments[0].path != "/livez":
        raise ApplicationError("not this page", ApplicationCode.PERMISSION_DENIED)
    return await next(call)


def test_filters_see_pages_as_calls() -> None:
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", filters=(only_livez,))) as server:
        server.start()
        passing(server, "/livez")
        assert request(server, "/status").status == 403


def test_a_token_is_required_if_there_is_one() -> None:
    admin = Admin("127.0.0.1:0", token=("first-secret", "second-secret"))
    with Server(user_service(Users()), admin=admin) as server:
        server.start()
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic first-secret"}):
            found = request(server, "/status?format=json", **headers)
            assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
            assert "secret" not in found.text
        for token in ("first-secret", "second-secret"):
            found = request(server, "/status?format=json", authorization=f"Bearer {token}")
            assert found.status == 200
            assert "secret" not in found.text


def test_other_addresses_can_be_refused() -> None:
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", allow=("192.0.2.0/24",))) as server:
        server.start()
        assert request(server, "/livez").status == 403
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", allow=("127.0.0.0/8",))) as server:
        server.start()
        passing(server, "/livez")


def test_a_unix_socket_is_local(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with Server(user_service(Users()), admin=f"unix:{path}") as server:
        assert server.admin_address == f"unix:{path}"
        server.start()
        assert request(server, "/livez").text == "ok\n"
    assert not path.exists()


def test_the_port_may_have_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", tls=Tls(certificate=str(certificate)))) as server:
        server.start()
        assert server.admin_address.startswith("https://127.0.0.1:")
        assert probe_by([server.admin_address, "--timeout", f"{TIMEOUT:g}"]) == 1
        assert "certificate verify failed" in capsys.readouterr().err
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert probe_by([server.admin_address, "--timeout", f"{TIMEOUT:g}"]) == 0


def test_a_probe_brings_the_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", token="hunter2")) as server:
        server.start()
        assert probe_by([server.admin_address, "--timeout", f"{TIMEOUT:g}"]) == 1
        assert "status 401: Unauthorized" in capsys.readouterr().err
        monkeypatch.setenv("IDLRT_ADMIN_TOKEN", "hunter2")
        assert probe_by([server.admin_address, "--timeout", f"{TIMEOUT:g}"]) == 0


def test_names_of_other_hosts_are_refused() -> None:
    with Server(user_service(Users()), admin=0) as server:
        server.start()
        assert request(server, "/status", host="attacker.example").status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": JSON, "origin": "https://attacker.example"}, 403),
        ({"content_type": JSON, "origin": "null"}, 403),
        ({"content_type": JSON, "sec_fetch_site": "cross-site"}, 403),
        ({"content_type": JSON, "sec_fetch_site": "same-site"}, 403),
        ({"content_type": JSON, "host": "attacker.example"}, 421),
        ({"content_type": JSON}, 200),
        ({"content_type": f"{JSON}; charset=utf-8", "sec_fetch_site": "same-origin"}, 200),
    ],
    ids=repr,
)
def test_pages_of_other_sites_cannot_change_anything(headers: dict[str, str], status: int) -> None:
    with Server(user_service(Users()), admin=0, registry="memory://sites") as server:
        server.start()
        assert request(server, "/disable", "POST", "{}", **headers).status == status
        assert [each.instance.status for each in server.registrations] == ["disabled" if status == 200 else "up"]


def test_the_own_origin_is_allowed() -> None:
    with Server(user_service(Users()), admin=0, registry="memory://own-site") as server:
        server.start()
        found = request(server, "/disable", "POST", "{}", content_type=JSON, origin=server.admin_address)
        assert (found.status, found.text) == (200, '{"status": "disabled"}\n')


def test_changes_need_post() -> None:
    with Server(user_service(Users()), admin=0, registry="memory://verbs") as server:
        server.start()
        found = request(server, "/disable")
        assert (found.status, found.headers["allow"]) == (405, "POST")
        assert [each.instance.status for each in server.registrations] == ["up"]


def test_without_a_registry_there_is_no_rotation() -> None:
    with Server(user_service(Users()), admin=0) as server:
        server.start()
        found = request(server, "/disable", "POST", "{}", content_type=JSON)
        assert found.status == 409
        assert found.text.endswith("the server has no registry; pass registry=URL\n")


def test_large_requests_are_refused() -> None:
    with Server(user_service(Users()), admin=0) as server:
        server.start()
        assert request(server, "/disable", "POST", "x" * 65_537, content_type=JSON).status == 413
        assert request(server, "/livez", cookie="x" * 16_500).status == 431


class Filter:
    """A filter with a secret, whose `repr` shows it."""

    def __repr__(self) -> str:
        return "Filter(hunter2)"

    async def __call__(self, call: ServerCall, next: ServerCallNext) -> Any:
        return await next(call)


def test_secrets_are_masked_in_all_forms() -> None:
    options: dict[str, Any] = {
        "admin": Admin("127.0.0.1:0", token="hunter2"),
        "registry": "memory://user:hunter2@store",
        "instance": {"metadata": {"instance_token": "hunter2", "owner": "team-a"}, "tags": {"api_key": "hunter2"}},
        "filters": [Filter()],
        "guards": {"limiter": {"rate": 100}},
    }
    with Server(user_service(Users()), **options) as server:
        server.start()
        for form in ("json", "text", "html"):
            found = request(server, f"/status?format={form}", authorization="Bearer hunter2")
            assert found.status == 200
            assert "hunter2" not in found.text
            assert "***" in found.text
            assert "team-a" in found.text
            assert "test_admin_protection.Filter" in found.text
    assert "hunter2" not in repr(options["admin"])


def test_the_configuration_names_functions() -> None:
    with Server(user_service(Users()), admin=0, filters=[only_livez], listeners=[print]) as server:
        server.start()
        found = status(server)["configuration"]
        assert re.fullmatch(r".*test_admin_protection\.only_livez", found["filters"][0])
        assert found["listeners"] == ["builtins.print"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": ""}, "token: must be printable ASCII without spaces, and not empty"),
        ({"token": ("fine", "not fine")}, "token: must be printable ASCII without spaces"),
        ({"token": 7}, "token: must be printable ASCII without spaces"),
        ({"allow": "127.0.0.1"}, "allow: must be a list, got '127.0.0.1'"),
        ({"hosts": 1}, "hosts: must be a list, got 1"),
        ({"tls": True}, "tls: must be an `idlrt.Tls`, got True"),
    ],
)
def test_invalid_options_are_reported_at_once(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"Admin: {message}")):
        Admin("127.0.0.1:0", **options)
    with pytest.raises(ConfigurationError, match="invalid address or network 'nowhere'"):
        Server(user_service(Users()), admin=Admin("127.0.0.1:0", allow=("nowhere",)))
