"""An admin port with a token: browsers sign in, programs send the token, and neither can do more than before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from admin_requests import Response, passing, request
from hand_written import Users, user_service

from idlrt import Admin, Server

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
TOKEN = "hunter2"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", token=TOKEN), registry="memory://signed") as made:
        yield made.start()


def sign_in(server: Server, token: str = TOKEN) -> Response:
    body = urlencode({"token": token, "after": "/status"})
    return request(server, "/sign-in", "POST", body, content_type=FORM, origin=server.admin_address)


def cookie(server: Server) -> str:
    found = sign_in(server)
    assert found.status == 303
    return found.headers["set-cookie"].partition(";")[0]


def test_browsers_get_a_form_and_programs_an_error(server: Server) -> None:
    page = request(server, "/status", accept=HTML)
    assert (page.status, page.headers["www-authenticate"]) == (401, "Bearer")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 'type="password"' in page.text
    for headers in ({}, {"accept": "*/*"}, {"accept": HTML, "authorization": "Bearer wrong"}):
        found = request(server, "/status", **headers)
        assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
        assert "password" not in found.text
    assert request(server, "/status", authorization=f"Bearer {TOKEN}").status == 200


def test_a_browser_that_has_signed_in_sees_all_pages(server: Server) -> None:
    signed_in = cookie(server)
    for path in ("/", "/status", "/readyz", "/metrics", "/figures", "/history"):
        assert request(server, path, accept=HTML, cookie=signed_in).status == 200, path
        assert request(server, path, accept=HTML).status == 401, path
    assert "Sign out" in request(server, "/status", accept=HTML, cookie=signed_in).text


def test_signing_out_ends_it(server: Server) -> None:
    signed_in = cookie(server)
    found = request(server, "/sign-out", "POST", "", content_type=FORM, cookie=signed_in, origin=server.admin_address)
    assert (found.status, found.headers["location"]) == (303, "./sign-in")
    assert request(server, "/status", accept=HTML, cookie=signed_in).status == 401
    assert request(server, "/sign-in", accept=HTML).status == 200


def test_a_wrong_token_is_refused_and_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    found = sign_in(server, "wrong-secret")
    assert found.status == 401
    assert "invalid token" in found.text
    assert re.search(r"rejected /sign-in from 127\.0\.0\.1:\d+: status 401", caplog.text)
    assert "secret" not in caplog.text + found.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": FORM}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": JSON, "origin": "https://attacker.example"}, 403),
        ({"content_type": JSON, "origin": "http://127.0.0.1:1"}, 403),
        ({"content_type": JSON, "sec_fetch_site": "same-site"}, 403),
        ({"content_type": JSON, "sec_fetch_site": "same-origin"}, 200),
    ],
    ids=repr,
)
def test_a_cookie_does_not_let_other_sites_change_anything(
    server: Server, headers: dict[str, str], status: int
) -> None:
    found = request(server, "/disable", "POST", "{}", cookie=cookie(server), **headers)
    assert found.status == status
    assert [each.instance.status for each in server.registrations] == ["disabled" if status == 200 else "up"]


def test_changes_need_the_token_or_the_cookie(server: Server) -> None:
    assert request(server, "/disable", "POST", "{}", content_type=JSON, accept=HTML).status == 401
    assert request(server, "/disable", "POST", "{}", content_type=JSON, authorization=f"Bearer {TOKEN}").status == 200


def test_files_of_the_pages_are_public_and_cached(server: Server) -> None:
    page = request(server, "/status", accept=HTML).text
    (path,) = re.findall(r'href="(_web/kit-[^"]+\.css)"', page)
    found = request(server, f"/{path}")
    assert found.status == 200
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert request(server, "/_web/nosuch").status == 404


def test_allow_lists_stay_in_force() -> None:
    admin = Admin("127.0.0.1:0", token=TOKEN, allow=("192.0.2.0/24",))
    with Server(user_service(Users()), admin=admin) as server:
        server.start()
        assert sign_in(server).status == 403
        assert request(server, "/status", accept=HTML).status == 403
        assert request(server, "/status", authorization=f"Bearer {TOKEN}").status == 403


def test_without_a_token_there_is_nothing_to_sign_in_to() -> None:
    with Server(user_service(Users()), admin=0) as server:
        server.start()
        passing(server, "/livez")
        assert sign_in(server).status == 404
        assert "Sign out" not in request(server, "/status", accept=HTML).text
