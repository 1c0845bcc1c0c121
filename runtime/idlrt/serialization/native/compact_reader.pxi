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
    return wrong_other(s, decode_errors.over_long(s.p - s.start, most))

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
    return wrong_other(s, decode_errors.out_of_range(at - s.start, (whole >> 1) ^ -(whole & 1), name))

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
        return wrong_other(s, decode_errors.out_of_range(at - s.start, value, "i32"))
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
            return wrong_other(s, decode_errors.out_of_range(at - s.start, id, "i16"))
    elif read_zigzag(s, I16, &id) < 0:
        return -1
    head.id = <int16_t>id
    s.truth = byte & 0x0F == 1
    return 0

cdef int read_compact_fields(Input* s, Layout* layout, PyObject* value, Came* came) noexcept:
    # `read_fields` for compact. The place in the input stays in a register as long as numbers and text come.
    cdef const unsigned char* p = s.p
    cdef const unsigned char* after
    cdef Slot* expected = layout.slots
    cdef Slot* last = layout.slots + layout.count
    cdef Slot* slot
    cdef Shape* shape
    cdef PyObject* found = NULL
    cdef Head head
    cdef Kind kind
    cdef bint truth
    head.id = 0
    while True:
        if p < s.end and expected < last and (p[0] == expected.compact_heads[0] or p[0] == expected.compact_heads[1]):
            slot = expected  # most fields
            head.id = slot.id
            truth = p[0] == slot.compact_heads[0]
            p += 1
        else:
            s.p = p
            if next_compact_field(s, &head) < 0:
                return -1
            if head.code == CODE_STOP:
                return 0
            slot = search_slot(layout, head.id)
            if slot == NULL or slot.shape.code != head.code:
                if pass_unknown(s, layout, slot == NULL, head.code, head.id, came) < 0:
                    return -1
                p = s.p
                expected = last  # heads are those of fields that follow one another
                continue
            p = s.p
            truth = s.truth
        expected = slot + 1
        shape = slot.shape
        kind = shape.kind
        if kind == BOOL:  # came with the head
            found = TRUE if truth else FALSE
            INCREF(found)
        else:
            after = make_compact_simple(s, p, kind, shape, &found)
            if after != NULL:
                p = after
            else:
                s.p = p
                if kind == LIST:
                    found = read_sequence(s, shape)
                elif kind == MAP:
                    found = read_map(s, shape)
                else:
                    found = read_value(s, shape)
                p = s.p
                if found == NULL:
                    add_step(s, IN_FIELD, 0, slot.name)
                    return -1
        fill_slot(value, slot, kind, found, came)

cdef inline Py_ssize_t compact_text_length(Input* s, const unsigned char** place) noexcept:
    # The length of text that is all there and within the limit, and to `place` where it begins, else -1.
    cdef const unsigned char* p = place[0]
    cdef uint64_t size = 0
    cdef int taken = get_varint(p, s.end - p, &size)
    if taken == 0 or taken > 5 or size >> 31:
        return -1
    place[0] = p = p + taken
    return <Py_ssize_t>size if <Py_ssize_t>size <= s.end - p and <Py_ssize_t>size <= s.bounds.max_string else -1

cdef inline const unsigned char* make_compact_simple(
    Input* s, const unsigned char* p, Kind kind, Shape* shape, PyObject** made
) noexcept:
    # A number, a known member of an enum, or text, with which nothing is wrong: the place after it. NULL, without an
    # exception, for everything else: it is still to be read.
    cdef uint64_t number = 0
    cdef int64_t place
    cdef Py_ssize_t size
    cdef int taken
    if kind == STRING:
        size = compact_text_length(s, &p)
        if size < 0:
            return NULL
        made[0] = make_text(p, size)
        p += size
    elif kind == I64 or kind == I32 or kind == I16 or kind == ENUM:
        taken = get_varint(p, s.end - p, &number)
        if taken == 0 or (kind != I64 and (taken > 5 or number >> (16 if kind == I16 else 32))):
            return NULL
        p += taken
        if kind != ENUM:
            made[0] = make_number(unzigzag(number))
        else:
            place = unzigzag(number) - shape.first
            if shape.dense == NULL or place < 0 or place >= shape.span or shape.dense[place] == NULL:
                return NULL
            made[0] = shape.dense[place]
            INCREF(made[0])
    elif kind == DOUBLE:
        if s.end - p < 8:
            return NULL
        made[0] = PyFloat_FromDouble(double_of(get_64_little(p)))
        p += 8
    else:
        return NULL
    if made[0] != NULL:
        return p
    PyErr_Clear()
    return NULL

# The next two are for the elements that most containers have, as those of the binary protocol.

cdef Py_ssize_t read_compact_items(Input* s, Shape* element, PyObject* items, Py_ssize_t size) noexcept:
    # Into the places of a list.
    cdef const unsigned char* p = s.p
    cdef PyObject* item = NULL
    cdef Py_ssize_t i = 0, length
    cdef Kind kind = element.kind
    if kind == STRING:
        while i < size:
            length = compact_text_length(s, &p)
            item = make_text(p, length) if length >= 0 else NULL
            if item == NULL:
                break
            p += length
            s.p = p
            PyList_SET_ITEM(items, i, item)
            i += 1
    elif kind > BOOL and kind <= ENUM:
        while i < size:
            p = make_compact_simple(s, p, kind, element, &item)
            if p == NULL:
                break
            s.p = p
            PyList_SET_ITEM(items, i, item)
            i += 1
    if i < size:
        PyErr_Clear()
    return i

cdef Py_ssize_t read_compact_pairs(Input* s, Shape* shape, PyObject* items, Py_ssize_t size) noexcept:
    # Into a dict whose keys are text.
    cdef const unsigned char* p = s.p
    cdef PyObject* key
    cdef PyObject* item = NULL
    cdef Py_ssize_t i = 0, length
    cdef Kind kind = shape.element.kind
    cdef bint failed
    if shape.key.kind != STRING:
        return 0
    while i < size:
        length = compact_text_length(s, &p)
        key = make_key(p, length) if length >= 0 else NULL
        if key == NULL:
            break
        p = make_compact_simple(s, p + length, kind, shape.element, &item)
        if p == NULL:
            DECREF(key)
            break
        failed = PyDict_SetItem(items, key, item) != 0
        DECREF(key)
        DECREF(item)
        if failed:
            break
        s.p = p
        i += 1
    if i < size:
        PyErr_Clear()
    return i

cdef PyObject* read_compact_scalar(Input* s, Shape* shape) noexcept:
    cdef PyObject* made
    cdef int64_t number = 0
    if shape.kind == I32 or shape.kind == I64 or shape.kind == I16 or shape.kind == ENUM:
        if read_zigzag(s, shape.kind, &number) < 0:
            return NULL
        return make_member(s, shape, <int32_t>number) if shape.kind == ENUM else make_number(number)
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
