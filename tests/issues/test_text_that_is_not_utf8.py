"""Text that is not UTF-8 can be read: `text_errors` of codecs, clients and servers; refusals are read in any case."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import run_idlrt
from hand_written import GET, JOIN, AsyncUserServiceClient, Users, UserServiceClient, user_service
from kinds import Kind, serving
from protocols import HOWS, How
from wire_types import I32, LIST, MAP, SET, STRING

import idlrt
import idlrt.codegen as rpc
from idlrt import ApplicationError, ConfigurationError, LocalProtocolError, RemoteProtocolError, Server
from idlrt.protocol.events import ResponseReceived
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import client_dialect
from idlrt.protocol.thrift.envelope import envelope
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import Limits
from idlrt.serialization.options import with_options

each_protocol = pytest.mark.parametrize("how", HOWS, ids=repr)

LATIN = b"caf\xe9!"
REPLACED, ESCAPED = "caf\ufffd!", "caf\udce9!"
LONG = b"more than thirty-two bytes, of which one is " + LATIN


class Texts(rpc.Struct, kw_only=True):
    one: str
    listed: list[str]
    unique: set[str]
    mapped: dict[str, str]
    numbered: dict[str, int]
    rows: list[Texts]

    __thrift_fields__ = (
        rpc.required(1, "one", rpc.STRING),
        rpc.required(2, "listed", rpc.list_of(rpc.STRING)),
        rpc.required(3, "unique", rpc.set_of(rpc.STRING)),
        rpc.required(4, "mapped", rpc.map_of(rpc.STRING, rpc.STRING)),
        rpc.required(5, "numbered", rpc.map_of(rpc.STRING, rpc.I32)),
        rpc.required(6, "rows", rpc.list_of(rpc.struct(lambda: Texts))),
    )


def texts(one: Any, two: Any, *rows: Texts) -> Texts:
    return Texts(one=one, listed=["a", one, "b"], unique={two}, mapped={one: two}, numbered={two: 1}, rows=list(rows))


def bytes_of_texts(how: How, *rows: bytes) -> bytes:
    b: Any = how.bytes
    one, two = b.text(LATIN), b.text(LONG)
    return bytes(
        b.struct(
            b.field(STRING, 1, one),
            b.field(LIST, 2, b.sequence(STRING, b.text("a"), one, b.text("b"))),
            b.field(SET, 3, b.sequence(STRING, two)),
            b.field(MAP, 4, b.mapping(STRING, STRING, one, two)),
            b.field(MAP, 5, b.mapping(STRING, I32, two, b.i32(1))),
            b.field(LIST, 6, b.sequence(12, *rows)),
        )
    )


def codec_of(how: How, text_errors: str) -> Any:
    protocol = how()
    return type(protocol)(with_options(Limits(), text_errors), backend=how.backend).struct(Texts)


@each_protocol
def test_text_is_replaced_wherever_it_stands(how: How) -> None:
    data = bytes_of_texts(how, bytes_of_texts(how))
    long = LONG.decode(errors="replace")
    assert codec_of(how, "replace").decode_whole(data) == texts(REPLACED, long, texts(REPLACED, long))


@each_protocol
def test_escaped_text_is_written_as_the_bytes_that_came(how: How) -> None:
    data = bytes_of_texts(how, bytes_of_texts(how))
    codec, long = codec_of(how, "surrogateescape"), LONG.decode(errors="surrogateescape")
    value = codec.decode_whole(data)
    assert value == texts(ESCAPED, long, texts(ESCAPED, long))
    written = codec.encode(value)
    assert written.count(LATIN) == data.count(LATIN)
    assert codec.decode_whole(written) == value
    assert written == codec_of(HOWS[[each.name for each in HOWS].index(how.name)], "surrogateescape").encode(value)


@each_protocol
def test_strict_stays_the_default_and_names_the_field(how: How) -> None:
    with pytest.raises(RemoteProtocolError, match=r"cannot read Texts\.one: string at offset \d+ is not UTF-8"):
        how().struct(Texts).decode_whole(bytes_of_texts(how))
    for text_errors in ("strict", "replace"):
        value = texts("a", "b", texts("a", ESCAPED))
        what = r"cannot write Texts: Texts\.rows\[0\]\.unique\[0\] cannot be written as UTF-8: surrogates not allowed"
        with pytest.raises(LocalProtocolError, match=what):
            codec_of(how, text_errors).encode(value)


@each_protocol
def test_half_a_character_that_is_no_byte_is_never_written(how: How) -> None:
    what = r"Texts\.one cannot be written as UTF-8: surrogates not allowed"
    with pytest.raises(LocalProtocolError, match=what):
        codec_of(how, "surrogateescape").encode(texts("\ud800", "b"))


@pytest.mark.parametrize("how", [how for how in HOWS if how.name == "json"], ids=repr)
def test_an_escape_of_json_for_half_a_character_is_text_that_is_not_utf8(how: How) -> None:
    data = how.bytes.struct(*[b'"1":{"str":"%b"}' % rb"a\ud800\n\"b\udc00"])
    texts = "cannot read Text.text"

    class Text(rpc.Struct):
        text: str

        __thrift_fields__ = (rpc.required(1, "text", rpc.STRING),)

    def read(text_errors: str) -> Any:
        protocol = type(how())(with_options(Limits(), text_errors), backend=how.backend)
        return protocol.struct(Text).decode_whole(data).text

    with pytest.raises(RemoteProtocolError, match=texts):
        read("strict")
    assert read("replace") == 'a\ufffd\ufffd\ufffd\n"b\ufffd\ufffd\ufffd'
    assert read("surrogateescape").encode(errors="surrogateescape") == b'a\xed\xa0\x80\n"b\xed\xb0\x80'


def test_the_public_codec_takes_the_option() -> None:
    data = idlrt.encode(texts("a", "b")).replace(b"a", b"\xff")
    assert idlrt.codec(Texts, text_errors="replace").decode_whole(data).one == "\ufffd"
    assert idlrt.codec(Texts, text_errors="surrogateescape").decode_whole(data).one == "\udcff"
    # Codecs are kept by their options.
    with pytest.raises(RemoteProtocolError, match="is not UTF-8"):
        idlrt.codec(Texts).decode_whole(data)


WRONG = r"^text_errors must be 'strict', 'replace' or 'surrogateescape', not 'ignore'$"


@pytest.mark.parametrize(
    "make",
    [
        lambda: idlrt.codec(Texts, text_errors="ignore"),  # type: ignore[arg-type]
        lambda: UserServiceClient.connect("127.0.0.1:1", text_errors="ignore"),  # type: ignore[arg-type]
        lambda: AsyncUserServiceClient.connect("127.0.0.1:1", text_errors="ignore"),  # type: ignore[arg-type]
        lambda: Server(user_service(Users()), text_errors="ignore"),  # type: ignore[arg-type]
    ],
    ids=["codec", "client", "asyncio client", "server"],
)
def test_other_options_are_refused_with_a_sentence(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match=WRONG):
        make()


@pytest.mark.parametrize("engine", ["selector", "asyncio", "processes"])
@pytest.mark.parametrize("options", [{}, {"framing": "header", "protocol": "compact"}, {"protocol": "json"}], ids=repr)
def test_servers_and_clients_pass_on_what_they_do_not_understand(
    engine: str, options: dict[str, str], tmp_path: Path
) -> None:
    with serving(Kind(engine), None, tmp_path, text_errors="surrogateescape") as running:
        # Of one server, and of several.
        for target in (running.address, f"{running.address},{running.address.removeprefix('tcp://')}"):
            with UserServiceClient.connect(target, text_errors="surrogateescape", **options) as client:  # type: ignore[arg-type]
                assert client.join(["\udcff", "b"], ESCAPED) == f"\udcff{ESCAPED}b"
            with UserServiceClient.connect(target, text_errors="replace", **options) as client:  # type: ignore[arg-type]
                assert client.join(["a", "b"]) == "a-b"
                with pytest.raises(LocalProtocolError, match=r"words\[0\] cannot be written as UTF-8"):
                    client.join(["\udcff"])

        async def main() -> str:
            async with AsyncUserServiceClient.connect(
                running.address,
                text_errors="surrogateescape",
                **options,  # type: ignore[arg-type]
            ) as client:
                return await client.join(["\udcff", "b"], ESCAPED)

        assert asyncio.run(main()) == f"\udcff{ESCAPED}b"


def test_a_strict_server_refuses_the_call_and_goes_on(tmp_path: Path) -> None:
    with (
        serving(Kind("selector"), None, tmp_path) as running,
        UserServiceClient.connect(running.address, text_errors="surrogateescape") as client,
    ):
        with pytest.raises(ApplicationError, match="is not UTF-8"):
            client.join(["\udcff"])
        assert client.join(["a"]) == "a"


@each_protocol
@pytest.mark.parametrize("text_errors", ["strict", "replace", "surrogateescape"])
def test_the_text_of_a_refusal_is_read_in_any_case(how: How, text_errors: str) -> None:
    dialect = client_dialect("framed", how.name, with_options(Limits(), text_errors))
    connection = ClientConnection(dialect)
    number, _ = connection.request(GET, (1,))
    b: Any = how.bytes
    body = b.struct(b.field(STRING, 1, b.text(LATIN)), b.field(I32, 2, b.i32(6)))
    spoken = envelope(how.name)
    head = spoken.pack_head(MessageType.EXCEPTION, "get", number)
    message = head + body + spoken.tail
    [reply] = connection.receive_data(len(message).to_bytes(4, "big") + message)
    assert isinstance(reply, ResponseReceived)
    with pytest.raises(ApplicationError) as caught:
        reply.result()
    assert (caught.value.message, caught.value.code) == (REPLACED, 6)


def test_metadata_of_an_answer_does_not_cost_the_answer() -> None:
    client = ClientConnection(client_dialect("header"))
    number, _ = client.request(JOIN, (["a"], "-"))
    body = how_binary().bytes.struct(how_binary().bytes.field(STRING, 0, how_binary().bytes.text("fine")))
    answer = client.dialect.pack(MessageType.REPLY, "join", number, body, {"uexw": "cafe!"})
    [reply] = client.receive_data(answer.replace(b"cafe!", LATIN))
    assert isinstance(reply, ResponseReceived)
    assert reply.result() == "fine"
    assert reply.metadata == {"uexw": REPLACED}


def how_binary() -> How:
    return next(how for how in HOWS if how.name == "binary")


@pytest.mark.slow
def test_idlrt_call_prints_it_escaped(tmp_path: Path) -> None:
    class Latin(Users):
        def join(self, words: list[str], by: str) -> str:
            return "\udcff" + words[0]

    idl = tmp_path / "latin_text.thrift"
    idl.write_text("service UserService { string join(1: list<string> words, 2: string by = '-') }")
    with serving(Kind("selector"), Latin(), tmp_path, text_errors="surrogateescape") as running:
        done = run_idlrt(["call", running.address, "join", '[["a"]]', "--idl", str(idl)])
    assert done.stdout == '"\\udcffa"\n'
    assert json.loads(done.stdout) == "\udcffa"
