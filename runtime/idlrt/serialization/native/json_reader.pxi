# The primitives of reading Thrift's JSON. Rare and intricate things (escapes, base64, uuids) are left to the
# functions of `_json_text.py`, which the pure codec uses too.
#
# Source: Apache's implementations (`TJSONProtocol`); RFC 8259 for tokens

cdef enum JsonSizes:
    # See `_json_input.py`.
    MOST_OF_WHOLE = 20
    MOST_OF_REAL = 1100

# Tokens.

cdef inline int next_json(Input* s) noexcept:
    # The next byte that is no white space; it stays unread.
    while s.p < s.end and (s.p[0] == 0x20 or s.p[0] == 0x0A or s.p[0] == 0x0D or s.p[0] == 0x09):
        s.p += 1
    return s.p[0] if s.p < s.end else wrong_short(s, s.p, 1)

cdef int unexpected(Input* s, const unsigned char* at, str wanted) noexcept:
    # Something unexpected at `p`; the error is reported at `at`.
    return wrong_other(s, decode_errors.unexpected(at - s.start, wanted, json_text.kind_of(s.p[0])))

cdef int unexpected_text(Input* s, const unsigned char* at, str wanted, const unsigned char* text, Py_ssize_t size) noexcept:
    return wrong_other(s, decode_errors.unexpected(at - s.start, wanted, repr(bytes_at(text, size).decode(errors="replace"))))

cdef bytes bytes_at(const unsigned char* p, Py_ssize_t size):
    return (<const char*>p)[:size]

cdef inline int expect_json(Input* s, unsigned char token) noexcept:
    cdef int found
    if s.p < s.end and s.p[0] == token:
        s.p += 1
        return 0
    found = next_json(s)
    if found < 0:
        return -1
    if found != token:
        return unexpected(s, s.p, repr(chr(token)))
    s.p += 1
    return 0

cdef inline int begin_json_value(Input* s) noexcept:
    # Start of a value: skip the separator before it. 1 if it is a key, else 0.
    cdef int context = s.context
    if JSON_BEFORE[context] and expect_json(s, JSON_BEFORE[context]) < 0:
        return -1
    s.context = JSON_AFTER[context]
    return context == AT_FIRST_KEY or context == AT_KEY

cdef Py_ssize_t pass_json_string(Input* s, const unsigned char** inside, bint* has_escapes) noexcept:
    # Pass a string: how many bytes are between its quotes; where they begin goes to `inside`.
    cdef const unsigned char* p
    cdef int found = next_json(s)
    if found < 0:
        return -1
    if found != b'"':
        return unexpected(s, s.p, "a string")
    inside[0] = p = s.p + 1
    has_escapes[0] = False
    while p < s.end and p[0] != b'"':
        if p[0] == b"\\":
            has_escapes[0] = True
            p += 1
            if p == s.end:
                break
        p += 1
    if p >= s.end:
        return wrong_short(s, s.end, 1)
    s.p = p + 1
    return p - inside[0]

cdef inline bint is_json_number(unsigned char char_) noexcept:
    return 48 <= char_ <= 57 or char_ == b"-" or char_ == b"+" or char_ == b"." or char_ == b"e" or char_ == b"E"

cdef Py_ssize_t pass_json_number(Input* s, int most, str type, const unsigned char** text) noexcept:
    # Pass a number: how many bytes it has; where it begins goes to `text`.
    cdef const unsigned char* p
    if next_json(s) < 0:
        return -1
    text[0] = p = s.p
    while p < s.end and is_json_number(p[0]):
        p += 1
    if p == s.p:
        return unexpected(s, s.p, type)
    if p == s.end:
        return wrong_short(s, p, 1)
    if p - s.p > most:
        return wrong_other(s, decode_errors.out_of_range(s.p - s.start, bytes_at(s.p, min(p - s.p, 50)).decode(), type))
    s.p = p
    return p - text[0]

cdef int pass_json_whole(Input* s, int64_t most, str type, int64_t* number) noexcept:
    # Pass a whole number between `-most - 1` and `most`.
    cdef const unsigned char* text
    cdef Py_ssize_t i = 0, size = pass_json_number(s, MOST_OF_WHOLE, type, &text)
    cdef uint64_t value = 0, limit = <uint64_t>most
    cdef bint is_negative, is_over = False
    if size < 0:
        return -1
    is_negative = text[0] == b"-"
    if is_negative:
        i = 1
        limit += 1
    if i == size:
        return unexpected_text(s, text, type, text, size)
    while i < size:
        if not 48 <= text[i] <= 57:
            return unexpected_text(s, text, type, text, size)
        is_over = is_over or value > (limit - (text[i] - 48)) // 10
        value = value * 10 + (text[i] - 48)
        i += 1
    if is_over:
        return wrong_other(s, decode_errors.out_of_range(text - s.start, int(bytes_at(text, size)), type))
    number[0] = signed_64(0 - value) if is_negative else signed_64(value)
    return 0

cdef int read_json_whole(Input* s, int64_t most, str type, int64_t* number) noexcept:
    # A whole number as a value: quoted if it is a key.
    cdef int is_key = begin_json_value(s)
    if is_key < 0 or (is_key and expect_json(s, b'"') < 0):
        return -1
    if pass_json_whole(s, most, type, number) < 0:
        return -1
    return expect_json(s, b'"') if is_key else 0

cdef int pass_json_type(Input* s) noexcept:
    # Read the name of a type; return its number.
    cdef const unsigned char* name
    cdef bint has_escapes
    cdef int code
    cdef Py_ssize_t size = pass_json_string(s, &name, &has_escapes)
    if size < 0:
        return -1
    for code in range(CODE_BOOL, CODE_UID + 1):
        if JSON_NAMES[code] != NULL and strlen(JSON_NAMES[code]) == <size_t>size and memcmp(JSON_NAMES[code], name, size) == 0:
            return code
    return wrong_other(s, decode_errors.unexpected(name - 1 - s.start, "the name of a type", json_text.OTHER_STRING))

cdef Py_ssize_t pass_json_size(Input* s) noexcept:
    cdef int64_t number = 0
    if pass_json_whole(s, 0x7FFFFFFF, "i32", &number) < 0:
        return -1
    if number < 0:
        return wrong_other(s, decode_errors.unexpected(s.p - s.start, "a size", str(number)))
    return number

# Structure.

cdef int open_json_struct(Input* s) noexcept:
    return -1 if begin_json_value(s) < 0 else expect_json(s, b"{")

cdef int next_json_field(Input* s, Head* head) noexcept:
    cdef int64_t id = 0
    cdef int found = next_json(s)
    if found < 0:
        return -1
    if found == b"}":
        s.p += 1
        head.code = CODE_STOP
        return 0
    if not head.is_first and expect_json(s, b",") < 0:
        return -1
    head.is_first = False
    if expect_json(s, b'"') < 0 or pass_json_whole(s, 0x7FFF, "i16", &id) < 0 or expect_json(s, b'"') < 0:
        return -1
    if expect_json(s, b":") < 0 or expect_json(s, b"{") < 0:
        return -1
    head.id = <int16_t>id
    head.code = pass_json_type(s)
    s.context = AT_VALUE
    return -1 if head.code < 0 else expect_json(s, b":")

cdef Py_ssize_t open_json_sequence(Input* s, int* code) noexcept:
    if begin_json_value(s) < 0 or expect_json(s, b"[") < 0:
        return -1
    code[0] = pass_json_type(s)
    if code[0] < 0 or expect_json(s, b",") < 0:
        return -1
    return pass_json_size(s)

cdef Py_ssize_t open_json_map(Input* s, int* key_code, int* code) noexcept:
    cdef Py_ssize_t size
    if begin_json_value(s) < 0 or expect_json(s, b"[") < 0:
        return -1
    key_code[0] = pass_json_type(s)
    if key_code[0] < 0 or expect_json(s, b",") < 0:
        return -1
    code[0] = pass_json_type(s)
    if code[0] < 0 or expect_json(s, b",") < 0:
        return -1
    size = pass_json_size(s)
    if size < 0 or expect_json(s, b",") < 0 or expect_json(s, b"{") < 0:
        return -1
    return size

# Scalars.

cdef PyObject* read_json_scalar(Input* s, Shape* shape) noexcept:
    cdef int64_t number = 0
    cdef const unsigned char* inside
    cdef bint has_escapes
    cdef Py_ssize_t size
    cdef PyObject* made
    if shape.kind == STRING or shape.kind == BINARY or shape.kind == UID:
        if begin_json_value(s) < 0:
            return NULL
        size = pass_json_string(s, &inside, &has_escapes)
        if size < 0:
            return NULL
        if shape.kind == STRING and not has_escapes and size <= s.bounds.max_string:
            made = make_text(inside, size)
            if made == NULL:
                made = decode_with_handler(s, inside, size)
            if made == NULL:
                s.wrong = TEXT
                s.at = inside - s.start
            return made
        return read_json_rare(s, shape.kind, inside, size, has_escapes)
    if shape.kind == DOUBLE:
        return read_json_double(s)
    if read_json_whole(s, 0x7FFFFFFFFFFFFFFF if shape.kind == I64 or shape.kind == BOOL else most_of(shape.kind), json_type(shape.kind), &number) < 0:
        return NULL
    if shape.kind == ENUM:
        return make_member(s, shape, <int32_t>number)
    if shape.kind == BOOL:
        made = TRUE if number else FALSE
        INCREF(made)
        return made
    return PyLong_FromLongLong(number)

cdef inline str json_type(Kind kind):
    if kind == I64:
        return "i64"
    elif kind == BOOL:
        return "tf"
    elif kind == I16:
        return "i16"
    elif kind == I8:
        return "i8"
    else:
        return "i32"

cdef PyObject* read_json_rare(Input* s, Kind kind, const unsigned char* inside, Py_ssize_t size, bint has_escapes) noexcept:
    try:
        data, start = bytes_at(inside, size), inside - s.start
        if kind == STRING:
            errors = "strict" if s.bounds.text_errors == NULL else s.bounds.text_errors.decode()
            made = json_text.text_of(data, has_escapes, start, s.bounds.max_string, errors)
        elif kind == BINARY:
            made = json_text.binary_of(data, has_escapes, start, s.bounds.max_string)
        else:
            made = json_text.uuid_of(data, has_escapes, start)
    except decode_errors.DecodeError as decode_error:
        wrong_other(s, decode_error)
        return NULL
    except BaseException as error:
        set_error(error)
        return NULL
    INCREF(<PyObject*>made)
    return <PyObject*>made

cdef PyObject* read_json_double(Input* s) noexcept:
    cdef int is_key = begin_json_value(s), found
    cdef const unsigned char* text
    cdef bint has_escapes
    cdef Py_ssize_t size
    if is_key < 0:
        return NULL
    found = b'"' if is_key else next_json(s)
    if found < 0:
        return NULL
    if found == b'"':
        size = pass_json_string(s, &text, &has_escapes)
    else:
        size = pass_json_number(s, MOST_OF_REAL, "double", &text)
    if size < 0:
        return NULL
    return make_json_double(s, text, size, found == b'"')

cdef PyObject* make_json_double(Input* s, const unsigned char* text, Py_ssize_t size, bint is_quoted) noexcept:
    try:
        made = json_text.double_of(bytes_at(text, size), text - s.start, is_quoted)
    except decode_errors.DecodeError as decode_error:
        wrong_other(s, decode_error)
        return NULL
    except BaseException as error:
        set_error(error)
        return NULL
    INCREF(<PyObject*>made)
    return <PyObject*>made

cdef int skip_json_scalar(Input* s) noexcept:
    cdef const unsigned char* text
    cdef bint has_escapes
    cdef int is_key = begin_json_value(s), found
    if is_key < 0:
        return -1
    found = b'"' if is_key else next_json(s)
    if found < 0:
        return -1
    if found == b'"':
        return -1 if pass_json_string(s, &text, &has_escapes) < 0 else 0
    return -1 if pass_json_number(s, MOST_OF_REAL, "a number", &text) < 0 else 0
