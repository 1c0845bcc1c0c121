"""Sign-in with a token: who gets a cookie, and what a cookie is good for."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from idlrt.errors import ConfigurationError
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import NavItem, SignIn, Site

SITE = Site("Example", (NavItem("/", "Home"),))
HOST = "127.0.0.1:9901"
FORM = "application/x-www-form-urlencoded"


class Clock:
    def __init__(self) -> None:
        self.now = 1_796_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_in(clock: Clock) -> SignIn:
    return SignIn(SITE, ("first", "second"), is_secure=False, now=clock)


def post(sign_in: SignIn, path: str = "/sign-in", form: dict[str, str] | None = None, **headers: str) -> HttpResponse:
    given = {"host": HOST, "origin": f"http://{HOST}", "content_type": FORM, **headers}
    request = HttpRequest(
        verb="POST",
        path=path,
        headers={name.replace("_", "-"): value for name, value in given.items() if value},
        body=urlencode(form or {}).encode(),
    )
    found = sign_in.respond(request)
    assert found is not None
    return found


def cookie(response: HttpResponse) -> str:
    return dict(response.headers)["set-cookie"]


def value(response: HttpResponse) -> str:
    return cookie(response).partition(";")[0]


def get(cookie: str, path: str = "/status", host: str = HOST) -> HttpRequest:
    return HttpRequest(verb="GET", path=path, headers={"host": host, "cookie": cookie})


@pytest.mark.parametrize("token", ["first", "second", " first\n"])
def test_a_valid_token_signs_in(sign_in: SignIn, token: str) -> None:
    found = post(sign_in, form={"token": token, "after": "/status?period=300"})
    assert (found.status, dict(found.headers)["location"]) == (303, "./status?period=300")
    attributes = cookie(found).split("; ")[1:]
    assert attributes == ["Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Strict"]
    assert token.strip() not in cookie(found)
    assert sign_in.is_signed_in(get(value(found)))
    assert sign_in.is_signed_in(get(f"other=1; {value(found)}"))


@pytest.mark.parametrize(
    ("token", "error"), [("third", "invalid token"), ("", "missing token"), ("firs", "invalid token")]
)
def test_other_tokens_do_not(sign_in: SignIn, token: str, error: str) -> None:
    found = post(sign_in, form={"token": token, "after": "/status"})
    assert found.status == 401
    assert dict(found.headers)["www-authenticate"] == "Bearer"
    assert "set-cookie" not in dict(found.headers)
    assert error in found.body.decode()
    assert 'name="after" value="/status"' in found.body.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": ""},
        {"origin": "null"},
        {"origin": "https://attacker.example"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_pages_of_other_sites_can_neither_sign_in_nor_out(sign_in: SignIn, path: str, headers: dict[str, str]) -> None:
    found = post(sign_in, path, {"token": "first"}, **headers)
    assert found.status == 403
    assert "set-cookie" not in dict(found.headers)


def test_only_forms_are_accepted(sign_in: SignIn) -> None:
    assert post(sign_in, form={"token": "first"}, content_type="text/plain").status == 415
    assert post(sign_in, form={"token": "first"}, content_type=f"{FORM}; charset=utf-8").status == 303
    for path, allowed in (("/sign-in", "GET, HEAD, POST"), ("/sign-out", "POST")):
        found = sign_in.respond(HttpRequest(verb="PUT", path=path))
        assert found is not None
        assert (found.status, dict(found.headers)["allow"]) == (405, allowed)
    assert sign_in.respond(HttpRequest(verb="GET", path="/status")) is None


@pytest.mark.parametrize(
    "after", ["", "//attacker.example/", "/\\attacker.example", "https://attacker.example", "/a\r\nx: y"]
)
def test_signing_in_never_leads_to_another_site(sign_in: SignIn, after: str) -> None:
    assert dict(post(sign_in, form={"token": "first", "after": after}).headers)["location"] == "./"


def test_a_sign_in_ends_after_12_hours(sign_in: SignIn, clock: Clock) -> None:
    signed_in = get(value(post(sign_in, form={"token": "first"})))
    clock.now += 12 * 3600 - 1
    assert sign_in.is_signed_in(signed_in)
    clock.now += 1
    assert not sign_in.is_signed_in(signed_in)


def test_signing_out_ends_that_sign_in_alone(sign_in: SignIn) -> None:
    one, other = (value(post(sign_in, form={"token": "first"})) for _ in range(2))
    assert one != other
    found = post(sign_in, "/sign-out", cookie=one)
    assert (found.status, dict(found.headers)["location"]) == (303, "./sign-in")
    assert "=; Max-Age=0; " in cookie(found)
    assert not sign_in.is_signed_in(get(one))
    assert sign_in.is_signed_in(get(other))


def test_forged_cookies_are_not_valid(sign_in: SignIn) -> None:
    name, _, good = value(post(sign_in, form={"token": "first"})).partition("=")
    expires, nonce, mac = good.split(".")
    for bad in (
        "",
        "first",
        f"{int(expires) + 1}.{nonce}.{mac}",
        f"{expires}.{nonce[::-1]}x.{mac}",
        f"{expires}.{nonce}.{mac[:-1]}",
        f"{expires}.{nonce}.",
        f"{expires}..{mac}",
        f"{good}é",
        "9" * 5000,
        f"{'9' * 200}.{nonce}.{mac}",
    ):
        assert not sign_in.is_signed_in(get(f"{name}={bad}")), bad
    assert not sign_in.is_signed_in(get(f"{name}={good}", host="127.0.0.1:9902")), "the cookie of another port"
    assert not sign_in.is_signed_in(HttpRequest(verb="GET", path="/status"))


def test_a_sign_in_ends_with_its_process_and_its_token(clock: Clock) -> None:
    signed_in = get(value(post(SignIn(SITE, ("first",), is_secure=False, now=clock), form={"token": "first"})))
    assert not SignIn(SITE, ("first",), is_secure=False, now=clock).is_signed_in(signed_in)


def test_with_tls_the_cookie_is_sent_with_tls_only(clock: Clock) -> None:
    secure = SignIn(SITE, ("first",), is_secure=True, now=clock)
    found = post(secure, form={"token": "first"}, origin=f"https://{HOST}")
    assert cookie(found).startswith("__Host-idlrt-sign-in-9901=")
    assert cookie(found).endswith("; Secure")
    assert secure.is_signed_in(get(value(found)))


def test_only_files_are_public(sign_in: SignIn) -> None:
    assert sign_in.is_public(get("", "/_web/kit-0.css"))
    assert not sign_in.is_public(get("", "/_web"))
    assert not sign_in.is_public(get("", "/status"))
    assert not sign_in.is_public(HttpRequest(verb="POST", path="/_web/x"))


def test_the_form_keeps_the_page_that_was_wanted(sign_in: SignIn) -> None:
    request = HttpRequest(verb="GET", path="/status", query=(("method", "A.b"), ("filter", '"<')))
    text = sign_in.form(request).body.decode()
    assert 'name="after" value="/status?method=A.b&amp;filter=%22%3C"' in text
    assert 'action="sign-in"' in text


@pytest.mark.parametrize("tokens", [(), ("",), ("a", "")])
def test_empty_tokens_are_not_accepted(tokens: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="sign-in: requires at least one token, and no empty ones"):
        SignIn(SITE, tokens, is_secure=False)
