# The primitives of reading the binary protocol.
#
# Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md

cdef inline int smallest(int code) noexcept:
    # Minimum size of a value, in bytes; 0 if the number is not a type.
    return SMALLEST[code] if code <= 16 else 0

cdef inline int next_binary_field(Input* s, Head* head) noexcept:
    if left(s) < 1:
        return wrong_short(s, s.p, 1)
    head.code = s.p[0]
    if head.code == CODE_STOP:
        s.p += 1
        return 0
    if left(s) < 3:
        return wrong_short(s, s.p + 1, 2)
    head.id = signed_16(get_16(s.p + 1))
    s.p += 3
    return 0

cdef int read_binary_fields(Input* s, Layout* layout, PyObject* value, Came* came) noexcept:
    # `read_fields` for binary. The position in the input stays in a register while fields are numbers and text.
    cdef const unsigned char* p = s.p
    cdef const unsigned char* end = s.end
    cdef PyObject* found
    cdef Slot* slot
    cdef Shape* shape
    cdef Slot* expected = layout.slots
    cdef Slot* last = layout.slots + layout.count
    cdef Kind kind
    cdef int code
    cdef int16_t id
    while True:
        if end - p >= 4 and expected < last and get_32(p) >> 8 == expected.binary_head:  # most fields
            slot = expected
            p += 3
        else:
            if end - p < 1:
                return wrong_short(s, p, 1)
            code = p[0]
            if code == CODE_STOP:
                s.p = p + 1
                return 0
            if end - p < 3:
                return wrong_short(s, p + 1, 2)
            id = signed_16(get_16(p + 1))
            p += 3
            slot = search_slot(layout, id)
            if slot == NULL or slot.shape.code != code:
                s.p = p
                if pass_unknown(s, layout, slot == NULL, code, id, came) < 0:
                    return -1
                p = s.p
                continue
        expected = slot + 1
        shape = slot.shape
        kind = shape.kind
        if shape.width and end - p >= shape.width:
            found = make_binary_scalar(s, p, shape)
            p += shape.width
            if found == NULL:
                s.at = p - s.start  # the class may reject an unknown member
        else:
            s.p = p
            if kind == STRING:
                found = read_binary_string(s)
            elif kind == LIST:
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

cdef inline PyObject* read_binary_string(Input* s) noexcept:
    cdef Py_ssize_t size = text_length(s, s.p)
    cdef PyObject* text
    if size >= 0:
        text = make_text(s.p + 4, size)
        if text != NULL:
            s.p += 4 + size
            return text
        PyErr_Clear()
    return read_string(s)  # which reports the error

cdef PyObject* read_binary_scalar(Input* s, Shape* shape) noexcept:
    cdef PyObject* made
    if left(s) < shape.width:
        wrong_short(s, s.p, shape.width)
        return NULL
    s.p += shape.width
    return make_binary_scalar(s, s.p - shape.width, shape)

# The next two are for the most frequent elements, numbers and text. They return the number of elements read: all, or
# those before the first invalid one, where `reader.pxi` continues and reports the error.

cdef Py_ssize_t read_binary_items(Input* s, Shape* element, PyObject* items, Py_ssize_t size) noexcept:
    # Into the places of a list.
    cdef const unsigned char* p = s.p
    cdef PyObject* item
    cdef Py_ssize_t i = 0, length
    if element.width:  # `check_count` has checked that all bytes are there
        while i < size:
            item = make_binary_scalar(s, p, element)
            if item == NULL:
                break
            p += element.width
            PyList_SET_ITEM(items, i, item)
            i += 1
    elif element.kind == STRING:
        while i < size:
            length = text_length(s, p)
            item = make_text(p + 4, length) if length >= 0 else NULL
            if item == NULL:
                break
            p += 4 + length
            PyList_SET_ITEM(items, i, item)
            i += 1
    return stopped(s, p, i, size)

cdef Py_ssize_t read_binary_pairs(Input* s, Shape* shape, PyObject* items, Py_ssize_t size) noexcept:
    # Into a dict whose keys are text.
    cdef const unsigned char* p = s.p
    cdef const unsigned char* after
    cdef Shape* element = shape.element
    cdef PyObject* key
    cdef PyObject* item
    cdef Py_ssize_t i = 0, length
    cdef bint failed
    if shape.key.kind != STRING or (element.width == 0 and element.kind != STRING):
        return 0
    while i < size:
        length = text_length(s, p)
        key = make_key(p + 4, length) if length >= 0 else NULL
        if key == NULL:
            break
        after = p + 4 + length
        if element.width:
            if s.end - after < element.width:
                DECREF(key)
                break
            item = make_binary_scalar(s, after, element)
            after += element.width
        else:
            length = text_length(s, after)
            if length < 0:
                DECREF(key)
                break
            item = make_text(after + 4, length)
            after += 4 + length
        failed = item == NULL or PyDict_SetItem(items, key, item) != 0
        DECREF(key)
        XDECREF(item)
        if failed:
            break
        p = after
        i += 1
    return stopped(s, p, i, size)

cdef inline Py_ssize_t text_length(Input* s, const unsigned char* p) noexcept:
    # The length of text that is complete and within the limit, else -1.
    cdef Py_ssize_t rest = s.end - p - 4, size
    if rest < 0:
        return -1
    size = get_32(p)
    return size if size <= rest and size <= s.bounds.max_string else -1

cdef inline Py_ssize_t stopped(Input* s, const unsigned char* p, Py_ssize_t done, Py_ssize_t size) noexcept:
    s.p = p
    if done < size:
        PyErr_Clear()
    return done

cdef inline PyObject* make_binary_scalar(Input* s, const unsigned char* p, Shape* shape) noexcept:
    # A complete value of fixed size.
    cdef PyObject* made
    if shape.kind == I64:
        return make_number(signed_64(get_64(p)))
    elif shape.kind == I32:
        return make_number(signed_32(get_32(p)))
    elif shape.kind == DOUBLE:
        return PyFloat_FromDouble(double_of(get_64(p)))
    elif shape.kind == BOOL:
        made = TRUE if p[0] != 0 else FALSE
        INCREF(made)
        return made
    elif shape.kind == ENUM:
        return make_member(s, shape, signed_32(get_32(p)))
    elif shape.kind == I16:
        return PyLong_FromLong(signed_16(get_16(p)))
    elif shape.kind == I8:
        return PyLong_FromLong(signed_8(p[0]))
    else:
        return make_uuid(p)

cdef Py_ssize_t open_binary_sequence(Input* s, Shape* element, int* code) noexcept:
    # How many elements follow; their type goes to `code`.
    cdef Py_ssize_t size
    if left(s) < 5:
        return wrong_short(s, s.p, 5)
    code[0] = s.p[0]
    size = get_32(s.p + 1)
    s.p += 5
    return check_count(s, size, SMALLEST[element.code])

cdef Py_ssize_t open_binary_map(Input* s, Shape* shape, int* key_code, int* code) noexcept:
    cdef Py_ssize_t size
    if left(s) < 6:
        return wrong_short(s, s.p, 6)
    key_code[0] = s.p[0]
    code[0] = s.p[1]
    size = get_32(s.p + 2)
    s.p += 6
    return check_count(s, size, SMALLEST[shape.key.code] + SMALLEST[shape.element.code])

cdef Py_ssize_t open_unknown_binary(Input* s, int code, int* first, int* second) noexcept:
    # How many elements have to be skipped one by one.
    cdef Py_ssize_t size, minimum
    cdef int head = 6 if code == CODE_MAP else 5
    if left(s) < head:
        return wrong_short(s, s.p, head)
    first[0] = s.p[0]
    second[0] = s.p[1] if code == CODE_MAP else 0
    size = get_32(s.p + head - 4)
    s.p += head
    if size == 0:
        return 0
    if smallest(first[0]) == 0:
        return wrong_type(s, s.p, first[0])
    if code == CODE_MAP and smallest(second[0]) == 0:
        return wrong_type(s, s.p, second[0])
    minimum = smallest(first[0]) + smallest(second[0])
    size = check_count(s, size, minimum)
    if size > 0 and is_fixed(first[0]) and (code != CODE_MAP or is_fixed(second[0])):
        s.p += size * minimum
        return 0
    return size

cdef inline bint is_fixed(int code) noexcept:
    return code < CODE_STRING or code == CODE_UID

cdef int skip_binary_scalar(Input* s, int code) noexcept:
    if smallest(code) == 0:
        return wrong_type(s, s.p, code)
    if left(s) < smallest(code):
        return wrong_short(s, s.p, smallest(code))
    s.p += smallest(code)
    return 0
