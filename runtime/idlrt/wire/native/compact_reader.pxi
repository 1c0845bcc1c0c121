# The primitives of reading the compact protocol.
#
# Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

cdef inline int read_varint(Input* s, int most, uint64_t* number) noexcept:
    # A number of at most `most` bits, seven in each byte, the lowest first.
    cdef const unsigned char* p = s.p
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef int byte
    while True:
        if p >= s.end:
            return wrong_short(s, p, 1)
        byte = p[0]
        p += 1
        if shift + 7 > most and (shift >= most or byte >> (most - shift)):
            return wrong_other(s, faults.bad_varint(s.p - s.start, most))
        value |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            s.p = p
            number[0] = value
            return 0
        shift += 7

cdef inline int read_zigzag(Input* s, int most, int64_t* number) noexcept:
    cdef uint64_t value
    if read_varint(s, most, &value) < 0:
        return -1
    number[0] = unzigzag(value)
    return 0

cdef inline Py_ssize_t read_compact_length(Input* s) noexcept:
    cdef uint64_t value
    if read_varint(s, 32, &value) < 0:
        return -1
    return <Py_ssize_t>value

cdef inline int next_compact_field(Input* s, Head* head) noexcept:
    cdef int byte, code
    cdef int64_t id
    cdef const unsigned char* at = s.p
    if left(s) < 1:
        return wrong_short(s, s.p, 1)
    byte = s.p[0]
    s.p += 1
    code = byte & 0x0F
    if code == 0:
        head.code = CODE_STOP
        return 0
    if byte >> 4:
        id = head.id + (byte >> 4)
        if id > 0x7FFF:
            return wrong_other(s, faults.bad_number(at - s.start, id, 16))
    elif read_zigzag(s, 16, &id) < 0:
        return -1
    head.id = <int16_t>id
    s.truth = code == 1
    head.code = COMPACT_CODES[code]
    if head.code == 0:
        return wrong_type(s, at, code)
    return 0

cdef PyObject* read_compact_scalar(Input* s, Shape* shape) noexcept:
    cdef PyObject* made
    cdef int64_t number
    if shape.kind == I32 or shape.kind == I64 or shape.kind == I16 or shape.kind == ENUM:
        if read_zigzag(s, 64 if shape.kind == I64 else 16 if shape.kind == I16 else 32, &number) < 0:
            return NULL
        return make_member(shape, <int32_t>number) if shape.kind == ENUM else PyLong_FromLongLong(number)
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
    if first[0] == 0:
        return wrong_type(s, s.p, key)
    if code == CODE_MAP and second[0] == 0:
        return wrong_type(s, s.p, item)
    return check_count(s, size, COMPACT_SMALLEST[key] + (COMPACT_SMALLEST[item] if code == CODE_MAP else 0))

cdef int skip_compact_scalar(Input* s, int code, bint is_field) noexcept:
    cdef uint64_t number
    cdef int size
    if code == CODE_BOOL and is_field:
        return 0
    if code == CODE_I16 or code == CODE_I32 or code == CODE_I64:
        return read_varint(s, 64 if code == CODE_I64 else 16 if code == CODE_I16 else 32, &number)
    size = 16 if code == CODE_UID else 8 if code == CODE_DOUBLE else 1
    if left(s) < size:
        return wrong_short(s, s.p, size)
    s.p += size
    return 0
