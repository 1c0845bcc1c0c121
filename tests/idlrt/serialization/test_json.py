"""Features that only JSON has: text, white space, quoted keys, and invalid text from other writers."""

from __future__ import annotations

import json
import math

import pytest
import wire_types as t
from golden_bytes import GOLDEN, golden
from protocols import HOWS

from idlrt.errors import RemoteProtocolError

each_backend = pytest.mark.parametrize("how", [how for how in HOWS if how.name == "json"], ids=repr)


def read(how, cls, text):
    data = text.encode() if isinstance(text, str) else text
    value, end = how().struct(cls).decode(data)
    assert end == len(data)
    return value


# Tokens.


@each_backend
@pytest.mark.parametrize("name", GOLDEN)
def test_white_space_may_stand_between_tokens(how, name):
    value, data = golden(name, "json")
    spread, is_quoted, is_escaped = "", False, False
    for character in data.decode():
        if is_quoted:
            spread += character
        else:  # a number stays in one piece
            is_number = character in "-+.0123456789eE"
            spread += character if is_number and spread[-1:] in "-+.0123456789eE" else " \t\r\n" + character
        if character == '"' and not is_escaped:
            is_quoted = not is_quoted
        is_escaped = character == "\\" and not is_escaped
    assert read(how, type(value), spread) == value


@each_backend
def test_every_escape_is_read(how):
    text = r'{"7":{"str":"\"\\\/\b\f\n\r\t\u00e9\u20ac\uD83D\uDE00\ud83d\ude00é"}}'
    assert read(how, t.Optionals, text).text == '"\\/\b\f\n\r\té€😀😀é'
    assert read(how, t.Optionals, r'{"\u0037":{"str":"x"}}'.replace(r"\u0037", "7")).text == "x"


@each_backend
def test_control_characters_are_written_as_escapes_and_read_as_they_are(how):
    text = "".join(map(chr, range(33))) + '\x7f\u2028"\\/'
    data = how().struct(t.Optionals).encode(t.Optionals(text=text))
    assert json.loads(data) == {"7": {"str": text}}
    assert read(how, t.Optionals, data).text == text
    # Apache's library for Python does not escape them all.
    assert read(how, t.Optionals, b'{"7":{"str":"\0\1\x1f\n"}}').text == "\0\1\x1f\n"


@each_backend
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (r'"ab\x"', r"an escape of a valid character at offset 15, got \\x"),
        (r'"ab\u12g4"', r"an escape of a valid character at offset 15, got \\u"),
        (r'"é\ud800"', r"an escape of a valid character at offset 15, got \\ud800"),
        (r'"\ude00"', r"an escape of a valid character at offset 13, got \\ude00"),
        (r'"\ud800\ud800"', r"an escape of a valid character at offset 13, got \\ud800"),
        (r'"\ud83d\\ude00"', r"an escape of a valid character at offset 13, got \\ud83d"),
    ],
)
def test_an_escape_that_stands_for_no_character_is_refused(how, text, what):
    with pytest.raises(RemoteProtocolError, match=rf"^cannot read Optionals\.text: expected {what}"):
        read(how, t.Optionals, '{"7":{"str":' + text + "}}")


@each_backend
@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\x80"', b'"a\\n\xc3"'])
def test_text_that_is_not_utf8_is_refused(how, data):
    with pytest.raises(RemoteProtocolError, match=r"^cannot read Optionals\.text: string at offset 13 is not UTF-8"):
        read(how, t.Optionals, b'{"7":{"str":' + data + b"}}")


@each_backend
@pytest.mark.parametrize(
    ("cls", "text", "what"),
    [
        (t.Point, "[", r"Point: expected '{' at offset 0, got '\['"),
        (t.Point, '{"1"}', r"Point: expected ':' at offset 4, got '}'"),
        (t.Point, '{"1":5}', r"Point: expected '{' at offset 5, got a number"),
        (t.Point, "{1:{}}", r"Point: expected '\"' at offset 1"),
        (t.Point, '{"x":{}}', r"Point: expected i16 at offset 2"),
        (t.Point, '{"1":{"i32":1}"2":{"i32":2}}', r"Point: expected ',' at offset 14"),
        (t.Point, '{"1":{"i32":1},}', r"Point: expected '\"' at offset 15"),
        (t.Point, '{"1":{"i32":1,"i32":2}}', r"Point\.x: expected '}' at offset 13"),
        (t.Point, '{"1":{"i99":1}}', r"Point: expected the name of a type at offset 6, got another string"),
        (t.Point, '{"1":{"i32":"1"}}', r"Point\.x: expected i32 at offset 12"),
        (t.Point, '{"1":{"i32":1.0}}', r"Point\.x: expected i32 at offset 12, got '1\.0'"),
        (t.Point, '{"1":{"i32":--1}}', r"Point\.x: expected i32 at offset 12, got '--1'"),
        (t.Point, '{"1":{"i32":true}}', r"Point\.x: expected i32 at offset 12"),
        (t.Point, '{"1":{"i32":null}}', r"Point\.x: expected i32 at offset 12"),
        (t.Point, '{"1":{"i32":2147483648}}', r"Point\.x: number 2147483648 at offset 12 is out of range for i32"),
        (t.Point, '{"32768":{"i32":1}}', r"Point: number 32768 at offset 2 is out of range for i16"),
        (
            t.Pick,
            '{"1":{"i64":9223372036854775808}}',
            r"Pick\.number: number 9223372036854775808 at offset 12 ",
        ),
        (
            t.Pick,
            '{"1":{"i64":00000000000000000000001}}',
            r"Pick\.number: number 0+1 at offset 12 is out of range for",
        ),
        (t.Pick, '{"2":{"str":5}}', r"Pick\.text: expected a string at offset 12"),
        (t.Optionals, '{"8":{"str":"a"}}', r"Optionals\.data: expected base64 at offset 13, got 'a'"),
        (t.Optionals, '{"8":{"str":"a=bc"}}', r"Optionals\.data: expected base64 at offset 13"),
        (t.Optionals, '{"8":{"str":"ab c"}}', r"Optionals\.data: expected base64 at offset 13"),
        (t.Optionals, '{"9":{"uid":"00112233"}}', r"Optionals\.uid: expected a uuid at offset 13"),
        (
            t.Optionals,
            '{"9":{"uid":"00112233-4455-6677-8899-aabbccddee_f"}}',
            r"Optionals\.uid: expected a uuid at offset",
        ),
        (
            t.Optionals,
            '{"9":{"uid":"{0112233-4455-6677-8899-aabbccddeeff"}}',
            r"Optionals\.uid: expected a uuid at offset",
        ),
        (t.Optionals, '{"6":{"dbl":1.5.5}}', r"Optionals\.real: expected double at offset 12"),
        (t.Optionals, '{"6":{"dbl":"inf"}}', r"Optionals\.real: expected double at offset 13"),
        (t.Optionals, '{"6":{"dbl":1e999}}', r"Optionals\.real: number 1e999 at offset 12 is out of range for double"),
        (t.Lists, '{"4":{"lst":["i32",3,1,2]}}', r"Lists\.middles\[2\]: expected ',' at offset 24, got '\]'"),
        (t.Lists, '{"4":{"lst":["i32",1,1,2]}}', r"Lists\.middles: expected '\]' at offset 22"),
        (t.Lists, '{"4":{"lst":["i32",-1]}}', r"Lists\.middles: expected a size at offset 21, got -1"),
        (t.Lists, '{"4":{"lst":{"i32":1}}}', r"Lists\.middles: expected '\[' at offset 12"),
        (t.Maps, '{"2":{"map":["str","i32",1,{"a",1}]}}', r"Maps\.counts\['a'\]: expected ':' at offset 31"),
        (t.Maps, '{"1":{"map":["i32","dbl",1,{1:1}]}}', r"Maps\.numbers\[key 0\]: expected '\"' at offset 28"),
        (t.Maps, '{"1":{"map":["i32","dbl",1,{"1":1,"2":2}]}}', r"Maps\.numbers: expected '}' at offset 33"),
        (t.Empty, '{"1":{"i32":{}}}', r"Empty\.field 1: expected a number at offset 12"),
    ],
)
def test_what_has_another_form_is_refused(how, cls, text, what):
    with pytest.raises(RemoteProtocolError, match=f"^cannot read {what}"):
        read(how, cls, text)


@each_backend
@pytest.mark.parametrize(
    ("text", "got"),
    [
        ('{"1":"SECRET"}', "a string"),
        ('{"1":-4111}', "a number"),
        ('{"1":SECRET}', "other text"),
        ('{"SECRET":1}', "other text"),
        ('{"1":{"SECRET":1}}', "another string"),
        ('{"1" "SECRET"}', "a string"),
    ],
)
def test_errors_of_form_do_not_show_content(how, text, got):
    with pytest.raises(RemoteProtocolError, match=rf"^cannot read Point: expected [^,]*, got {got}$"):
        read(how, t.Point, text)


# Values.


@each_backend
def test_base64_is_read_with_and_without_padding(how):
    for text in ("/wA=", "/wA", r"\/wA="):
        assert read(how, t.Optionals, '{"8":{"str":"' + text + '"}}').data == b"\xff\0"
    for text in ("eA==", "eA=", "eA"):
        assert read(how, t.Optionals, '{"8":{"str":"' + text + '"}}').data == b"x"


@each_backend
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.10000000000000001"),
        (100.0, "100"),
        (1e22, "1e+22"),
        (1e300, "1.0000000000000001e+300"),
        (5e-324, "4.9406564584124654e-324"),
        (math.inf, '"Infinity"'),
        (-math.inf, '"-Infinity"'),
    ],
)
def test_doubles(how, value, text):
    assert how().struct(t.Optionals).encode(t.Optionals(real=value)) == b'{"6":{"dbl":%b}}' % text.encode()
    assert read(how, t.Optionals, '{"6":{"dbl":' + text + "}}").real == value


@each_backend
def test_a_double_may_be_quoted_and_written_in_full(how):
    assert read(how, t.Optionals, '{"6":{"dbl":"1.5"}}').real == 1.5
    assert math.isnan(read(how, t.Optionals, '{"6":{"dbl":"NaN"}}').real)
    assert read(how, t.Optionals, '{"6":{"dbl":1E2}}').real == 100
    assert read(how, t.Optionals, f'{{"6":{{"dbl":{5e-324:.1074f}}}}}').real == 5e-324


@each_backend
def test_any_number_but_zero_is_true(how):
    for number, expected in (("0", False), ("1", True), ("2", True), ("-1", True)):
        assert read(how, t.Lists, f'{{"1":{{"lst":["tf",1,{number}]}}}}').flags == [expected]


@each_backend
def test_not_a_number_may_be_a_key_and_an_element(how):
    value = read(how, t.Sets, '{"3":{"set":["dbl",2,"NaN","-Infinity"]}}')
    assert -math.inf in value.reals
    assert len(value.reals) == 2


# Limits.


@each_backend
def test_strings_count_by_what_they_stand_for(how):
    codec = how(max_string=4).struct(t.Optionals)
    for text in (r"\u0041\u0042\u0043\u0044", r"\n\n\n\n", r"\ud83d\ude00", "abcd"):
        codec.decode(b'{"7":{"str":"' + text.encode() + b'"}}')
    for text, size in ((r"\u0041\u0042\u0043de", 5), (r"\u00e9" * 3, 6), ("abcde", 5), (r"\u0041" * 50, 300)):
        with pytest.raises(RemoteProtocolError, match=rf"Optionals\.text: {size} at offset 13 exceeds the limit max_"):
            codec.decode(b'{"7":{"str":"' + text.encode() + b'"}}')
    assert codec.decode(b'{"8":{"str":"AAAAAA=="}}')[0].data == bytes(4)
    with pytest.raises(RemoteProtocolError, match=r"Optionals\.data: 5 at offset 13 exceeds the limit max_string=4"):
        codec.decode(b'{"8":{"str":"AAAAAAA="}}')


HOSTILE = {
    "a whole number": (t.Pick, b'{"1":{"i64":' + b"1" * 10**6 + b"}}"),
    "a real number": (t.Optionals, b'{"6":{"dbl":' + b"1" * 10**6 + b"}}"),
    "a quoted real number": (t.Optionals, b'{"6":{"dbl":"' + b"1" * 10**6 + b'"}}'),
    "an unknown number": (t.Empty, b'{"6":{"dbl":' + b"1" * 10**6 + b"}}"),
    "an id": (t.Empty, b'{"' + b"1" * 10**6 + b'":{"i32":1}}'),
    "a size": (t.Lists, b'{"4":{"lst":["i32",' + b"1" * 10**6 + b"]}}"),
    "a key": (t.Maps, b'{"1":{"map":["i32","dbl",1,{"' + b"1" * 10**6 + b'":1}]}}'),
    "a string without an end": (t.Optionals, b'{"7":{"str":"' + b"\\n" * 10**6),
    "a uuid": (t.Optionals, b'{"9":{"uid":"' + b"0" * 10**6 + b'"}}'),
    "white space": (t.Optionals, b"{" + b" " * 10**6),
    "escapes": (t.Optionals, b'{"7":{"str":"' + b"\\n" * 10**6 + b'\\x"}}'),
    "base64": (t.Optionals, b'{"8":{"str":"' + b"A" * 10**6 + b'!"}}'),
}


@pytest.mark.slow
@each_backend
@pytest.mark.parametrize("what", HOSTILE)
def test_a_million_of_anything_is_refused_with_a_short_text(how, what):
    # Quadratic work would take minutes and exceed the timeout of the tests.
    cls, data = HOSTILE[what]
    with pytest.raises(RemoteProtocolError) as caught:
        how().struct(cls).decode(data)
    assert len(str(caught.value)) < 300


# Messages.


@each_backend
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", r"expected '\[' at offset 0"),
        ('[2,"a",1,1,', "unsupported version 2 .* the JSON protocol has 1"),
        ('["a"', "expected i32 at offset 1"),
        ('[1,"a",0,1,', "unknown message type 0"),
        ('[1,"a",5,1,', "unknown message type 5"),
        ('[1,"a",1,2147483648,', "number 2147483648 at offset 9 is out of range for i32"),
        ('[1,"a",1,1]', "expected ',' at offset 10"),
    ],
)
def test_what_is_no_head_is_refused(how, text, what):
    with pytest.raises(RemoteProtocolError, match=f"^cannot read message header: {what}"):
        how.envelope().unpack_head(text.encode())


@each_backend
def test_a_message_is_closed_by_a_bracket(how):
    assert how.envelope().tail == b"]"
    assert how.envelope().unpack_tail(b"{} ]", 2) == 4
    with pytest.raises(RemoteProtocolError, match=r"^cannot read message end: expected '\]' at offset 2, got "):
        how.envelope().unpack_tail(b"{}}", 2)
    with pytest.raises(
        RemoteProtocolError, match=r"^cannot read message end: unexpected end of data at offset 2: need 1 byte, "
    ):
        how.envelope().unpack_tail(b"{}", 2)
