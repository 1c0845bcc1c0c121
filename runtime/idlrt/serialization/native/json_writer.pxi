# The primitives of writing Thrift's JSON.
#
# The output is that of Apache's Python library, except where that is not JSON: see `_json_output.py`.
#
# Source: Apache's implementations (`TJSONProtocol`); RFC 8259 for strings

# What comes next; see `_json_layout.Context`.
cdef enum Context:
    AT_VALUE, AT_ELEMENT, AT_FIRST_KEY, AT_PAIR_VALUE, AT_KEY

cdef inline void put_char(Output* out, unsigned char char_) noexcept:
    out.p[0] = char_
    out.p += 1

cdef inline bint begin_json(Output* out) noexcept:
    # Start of a value: write the separator before it; return whether it is a key.
    cdef int context = out.context
    if JSON_BEFORE[context]:
        put_char(out, JSON_BEFORE[context])
    out.context = JSON_AFTER[context]
    return context == AT_FIRST_KEY or context == AT_KEY

cdef void put_decimal(Output* out, int64_t value) noexcept:
    # At most 20 bytes.
    cdef unsigned char digits[20]
    cdef int count = 0
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        put_char(out, b"-")
        rest = 0 - rest
    while rest >= 10:
        digits[count] = <unsigned char>(rest % 10)
        rest //= 10
        count += 1
    put_char(out, <unsigned char>(48 + rest))
    while count:
        count -= 1
        put_char(out, 48 + digits[count])

cdef void put_json_whole(Output* out, int64_t value) noexcept:
    cdef bint is_key = begin_json(out)
    if is_key:
        put_char(out, b'"')
    put_decimal(out, value)
    if is_key:
        put_char(out, b'"')

cdef inline void put_json_type(Output* out, unsigned char code) noexcept:
    put_char(out, b'"')
    put_short(out, JSON_NAMES[code])
    put_char(out, b'"')

cdef inline void put_short(Output* out, const char* text) noexcept:
    while text[0]:
        put_char(out, <unsigned char>text[0])
        text += 1

cdef void put_json_head(Output* out, unsigned char code, int16_t id, bint is_first) noexcept:
    # The head of a field.
    if not is_first:
        put_char(out, b",")
    put_char(out, b'"')
    put_decimal(out, id)
    put_char(out, b'"')
    put_short(out, b":{")
    put_json_type(out, code)
    put_char(out, b":")
    out.context = AT_VALUE

cdef int write_json_scalar(Output* out, Shape* shape, PyObject* value) noexcept:
    cdef int64_t number = 0
    cdef int truth
    cdef Py_ssize_t size
    cdef const unsigned char* data
    cdef Held held
    if shape.kind == STRING:
        data = text_bytes(out, value, &size)
        return -1 if data == NULL else write_json_text(out, data, size)
    elif shape.kind == DOUBLE:
        return write_json_double(out, value)
    elif shape.kind == BOOL:
        truth = truth_of(value)
        if truth < 0:
            return -1
        put_json_whole(out, truth)
        return 0
    elif shape.kind == BINARY:
        if hold(&held, value) < 0:
            return -1
        truth = write_json_base64(out, held.data, held.size)
        let_go(&held)
        return truth
    elif shape.kind == UID:
        return write_json_uuid(out, value)
    if whole_number(value, &number) < 0:
        return -1
    if shape.kind != I64 and check_range(number, most_of(shape.kind)) < 0:
        return -1
    put_json_whole(out, number)
    return 0

cdef inline int64_t most_of(Kind kind) noexcept:
    return 0x7FFFFFFF if kind == I32 or kind == ENUM else 0x7FFF if kind == I16 else 0x7F

cdef int write_json_double(Output* out, PyObject* value) noexcept:
    cdef double real
    cdef bint is_key
    cdef char* text
    if real_number(value, &real) < 0:
        return -1
    is_key = begin_json(out)
    if real - real != 0:
        put_short(out, b'"NaN"' if real != real else b'"Infinity"' if real > 0 else b'"-Infinity"')
        return 0
    text = PyOS_double_to_string(real, b"g", 17, 0, NULL)
    if text == NULL:
        return -1
    if is_key:
        put_char(out, b'"')
    put_short(out, text)
    if is_key:
        put_char(out, b'"')
    PyMem_Free(text)
    return 0

cdef int write_json_text(Output* out, const unsigned char* data, Py_ssize_t size) noexcept:
    cdef Py_ssize_t i
    cdef unsigned char char_, short_
    if size > PY_SSIZE_T_MAX // 8 or need(out, size + ROOM) < 0:
        PyErr_NoMemory()
        return -1
    begin_json(out)
    put_char(out, b'"')
    for i in range(size):
        char_ = data[i]
        if char_ >= 0x20 and char_ != b'"' and char_ != b"\\":
            put_char(out, char_)
            continue
        # An escape takes up to six bytes; the rest has to fit behind it.
        if need(out, size - i + ROOM) < 0:
            return -1
        put_char(out, b"\\")
        short_ = JSON_ESCAPES[char_]
        if short_:
            put_char(out, short_)
        else:
            put_short(out, b"u00")
            put_char(out, b"1" if char_ >= 0x10 else b"0")
            put_char(out, HEX[char_ & 0x0F])
    put_char(out, b'"')
    return need(out, ROOM)

cdef int write_json_base64(Output* out, const unsigned char* data, Py_ssize_t size) noexcept:
    cdef uint32_t word
    if size > PY_SSIZE_T_MAX // 8 or need(out, (size + 2) // 3 * 4 + ROOM) < 0:
        PyErr_NoMemory()
        return -1
    begin_json(out)
    put_char(out, b'"')
    while size > 0:
        word = <uint32_t>data[0] << 16
        if size > 1:
            word |= <uint32_t>data[1] << 8
        if size > 2:
            word |= data[2]
        put_char(out, BASE64[word >> 18])
        put_char(out, BASE64[(word >> 12) & 0x3F])
        put_char(out, BASE64[(word >> 6) & 0x3F] if size > 1 else b"=")
        put_char(out, BASE64[word & 0x3F] if size > 2 else b"=")
        data += 3
        size -= 3
    put_char(out, b'"')
    return 0

cdef int write_json_uuid(Output* out, PyObject* value) noexcept:
    cdef int i
    cdef unsigned char byte
    cdef PyObject* made = uuid_bytes(value)
    if made == NULL:
        return -1
    begin_json(out)
    put_char(out, b'"')
    for i in range(16):
        byte = <unsigned char>PyBytes_AS_STRING(made)[i]
        if i == 4 or i == 6 or i == 8 or i == 10:
            put_char(out, b"-")
        put_char(out, HEX[byte >> 4])
        put_char(out, HEX[byte & 0x0F])
    put_char(out, b'"')
    DECREF(made)
    return 0
