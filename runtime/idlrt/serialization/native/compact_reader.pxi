# The primitives of reading the compact protocol.
#
# Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

cdef inline int read_varint(Input* s, int most, uint64_t* number, int* rest) noexcept:
    # A number of at most `most` bytes, seven bits in each, the lowest first. What is above 64 bits goes to `rest`.
    cdef const unsigned char* p = s.p
    cdef uint64_t value = 0
    cdef int byte, i
    rest[0] = 0
    for i in range(most):
        if p >= s.end:
            return wrong_short(s, p, 1)
        byte = p[0]
        p += 1
        value |= <uint64_t>(byte & 0x7F) << (7 * i)
        if i == 9:
            rest[0] = (byte & 0x7F) >> 1
        if byte < 0x80:
            s.p = p
            number[0] = value
            return 0
    return wrong_other(s, faults.over_long(s.p - s.start, most))

cdef inline int read_zigzag(Input* s, Kind kind, int64_t* number) noexcept:
    # A signed number, within the range of its type.
    cdef uint64_t value = 0
    cdef int rest = 0
    cdef const unsigned char* at = s.p
    if left(s) and s.p[0] < 0x80:  # most numbers
        number[0] = unzigzag(s.p[0])
        s.p += 1
        return 0
    if read_varint(s, 10 if kind == I64 else 5, &value, &rest) < 0:
        return -1
    if rest or (kind != I64 and value >> (16 if kind == I16 else 32)):
        return out_of_range(s, at, value, rest, kind)
    number[0] = unzigzag(value)
    return 0

cdef int out_of_range(Input* s, const unsigned char* at, uint64_t value, int rest, Kind kind) noexcept:
    whole = (<object>rest << 64) | <object>value
    name = "i64" if kind == I64 else "i16" if kind == I16 else "i32"
    return wrong_other(s, faults.out_of_range(at - s.start, (whole >> 1) ^ -(whole & 1), name))

cdef inline Py_ssize_t read_compact_length(Input* s) noexcept:
    cdef uint64_t value = 0
    cdef int rest = 0
    cdef const unsigned char* at = s.p
    if left(s) and s.p[0] < 0x80:
        s.p += 1
        return at[0]
    if read_varint(s, 5, &value, &rest) < 0:
        return -1
    if value >> 31:
        return wrong_other(s, faults.out_of_range(at - s.start, value, "i32"))
    return <Py_ssize_t>value

cdef inline int next_compact_field(Input* s, Head* head) noexcept:
    cdef int byte
    cdef int64_t id = 0
    cdef const unsigned char* at = s.p
    if left(s) < 1:
        return wrong_short(s, s.p, 1)
    byte = s.p[0]
    s.p += 1
    head.code = COMPACT_CODES[byte & 0x0F]
    if head.code == CODE_STOP:  # whatever the other bits are
        return 0
    if byte >> 4:
        id = head.id + (byte >> 4)
        if id > 0x7FFF:
            return wrong_other(s, faults.out_of_range(at - s.start, id, "i16"))
    elif read_zigzag(s, I16, &id) < 0:
        return -1
    head.id = <int16_t>id
    s.truth = byte & 0x0F == 1
    return 0

cdef PyObject* read_compact_scalar(Input* s, Shape* shape) noexcept:
    cdef PyObject* made
    cdef int64_t number = 0
    if shape.kind == I32 or shape.kind == I64 or shape.kind == I16 or shape.kind == ENUM:
        if read_zigzag(s, shape.kind, &number) < 0:
            return NULL
        return make_member(s, shape, <int32_t>number) if shape.kind == ENUM else PyLong_FromLongLong(number)
    if left(s) < COMPACT_SMALLEST[shape.compact]:
        wrong_short(s, s.p, COMPACT_SMALLEST[shape.compact])
        return NULL
    if shape.kind == DOUBLE:
        made = PyFloat_FromDouble(double_of(get_64_little(s.p)))
    elif shape.kind == BOOL:
        made = TRUE if s.p[0] == 1 else FALSE
        INCREF(made)
    elif shape.kind == I8:
        made = PyLong_FromLong(signed_8(s.p[0]))
    else:
        made = make_uuid(s.p)
    s.p += COMPACT_SMALLEST[shape.compact]
    return made

cdef Py_ssize_t open_compact_list(Input* s, int* code) noexcept:
    # The length and the element type (as compact numbers it) of a list or set.
    cdef int byte
    if left(s) < 1:
        return wrong_short(s, s.p, 1)
    byte = s.p[0]
    s.p += 1
    code[0] = byte & 0x0F
    return byte >> 4 if byte >> 4 < 15 else read_compact_length(s)

cdef Py_ssize_t open_compact_sequence(Input* s, Shape* element, int* code) noexcept:
    cdef int compact
    cdef Py_ssize_t size = open_compact_list(s, &compact)
    if size < 0:
        return -1
    code[0] = COMPACT_CODES[compact]
    return check_count(s, size, COMPACT_SMALLEST[element.compact])

cdef Py_ssize_t open_compact_pairs(Input* s, int* key, int* item) noexcept:
    cdef Py_ssize_t size = read_compact_length(s)
    if size <= 0:
        return size
    if left(s) < 1:
        return wrong_short(s, s.p, 1)
    key[0] = s.p[0] >> 4
    item[0] = s.p[0] & 0x0F
    s.p += 1
    return size

cdef Py_ssize_t open_compact_map(Input* s, Shape* shape, int* key_code, int* code) noexcept:
    cdef int key = 0, item = 0
    cdef Py_ssize_t size = open_compact_pairs(s, &key, &item)
    if size <= 0:
        return size
    key_code[0] = COMPACT_CODES[key]
    code[0] = COMPACT_CODES[item]
    return check_count(s, size, COMPACT_SMALLEST[shape.key.compact] + COMPACT_SMALLEST[shape.element.compact])

cdef Py_ssize_t open_unknown_compact(Input* s, int code, int* first, int* second) noexcept:
    cdef int key = 0, item = 0
    cdef Py_ssize_t size
    size = open_compact_pairs(s, &key, &item) if code == CODE_MAP else open_compact_list(s, &key)
    if size <= 0:
        return size
    first[0] = COMPACT_CODES[key]
    second[0] = COMPACT_CODES[item]
    if first[0] <= 0:
        return wrong_type(s, s.p, key)
    if code == CODE_MAP and second[0] <= 0:
        return wrong_type(s, s.p, item)
    return check_count(s, size, COMPACT_SMALLEST[key] + (COMPACT_SMALLEST[item] if code == CODE_MAP else 0))

cdef int skip_compact_scalar(Input* s, int code, bint is_field) noexcept:
    cdef uint64_t number
    cdef int size, rest
    if code <= 0:
        return wrong_type(s, s.p, -code)
    if code == CODE_BOOL and is_field:
        return 0
    if code == CODE_I16 or code == CODE_I32 or code == CODE_I64:
        return read_varint(s, 10, &number, &rest)
    size = 16 if code == CODE_UID else 8 if code == CODE_DOUBLE else 1
    if left(s) < size:
        return wrong_short(s, s.p, size)
    s.p += size
    return 0
