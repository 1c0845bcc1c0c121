# The fast lane of the binary protocol: numbers and text in structs, lists and maps, which is most of what is written.
#
# The position in the buffer stays in a register here instead of going through memory for each value. All other values
# are written as in the other protocols (`writer.pxi`). Functions return the position after the written bytes, NULL with
# an exception.
#
# Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md

cdef inline bint is_simple(Shape* shape) noexcept:
    return shape.kind <= ENUM or shape.kind == STRING

cdef unsigned char* more_room(Output* out, unsigned char* p, Py_ssize_t size) noexcept:
    out.p = p
    return NULL if grow(out, size) < 0 else out.p

cdef inline unsigned char* put_text(Output* out, unsigned char* p, PyObject* value) noexcept:
    # Leaves ROOM behind it.
    cdef Py_ssize_t size
    cdef const unsigned char* data = text_bytes(out, value, &size)
    if data == NULL:
        return NULL
    if out.end - p < size + 2 * ROOM:
        if size > 0x7FFFFFFF:
            PyErr_SetString(OVERFLOW_ERROR, "a string is too long for the protocol")
            return NULL
        p = more_room(out, p, size + 2 * ROOM)
        if p == NULL:
            return NULL
    put_32(p, <uint32_t>size)
    copy_bytes(p + 4, data, size)
    return p + 4 + size

cdef inline unsigned char* put_number(unsigned char* p, Shape* shape, PyObject* value) noexcept:
    # A value of fixed size, at most 8 bytes; there is room.
    cdef int64_t number = 0
    cdef double real
    cdef int truth
    if shape.kind == DOUBLE:
        if real_number(value, &real) < 0:
            return NULL
        put_64(p, bits_of(real))
        return p + 8
    elif shape.kind == BOOL:
        truth = truth_of(value)
        p[0] = <unsigned char>truth
        return NULL if truth < 0 else p + 1
    if whole_number(value, &number) < 0:
        return NULL
    if shape.kind == I64:
        put_64(p, <uint64_t>number)
        return p + 8
    elif shape.kind == I16:
        put_16(p, <uint16_t>number)
        return NULL if check_range(number, 0x7FFF) < 0 else p + 2
    elif shape.kind == I8:
        p[0] = <unsigned char>number
        return NULL if check_range(number, 0x7F) < 0 else p + 1
    else:
        put_32(p, <uint32_t>number)
        return NULL if check_range(number, 0x7FFFFFFF) < 0 else p + 4

cdef inline bint is_builtin_number(PyObject* value) noexcept:
    # Whether converting it to a number runs no Python code, which could release the last reference to it.
    return PyLong_CheckExact(value) or PyFloat_CheckExact(value) or PyBool_Check(value)

cdef unsigned char* put_other_number(unsigned char* p, Shape* shape, PyObject* value) noexcept:
    INCREF(value)
    p = put_number(p, shape, value)
    DECREF(value)
    return p

cdef inline unsigned char* put_scalar(Output* out, unsigned char* p, Shape* shape, PyObject* value) noexcept:
    if shape.kind == STRING:
        return put_text(out, p, value)
    return put_number(p, shape, value) if is_builtin_number(value) else put_other_number(p, shape, value)

cdef int write_binary_fields(Output* out, Layout* layout, PyObject* value, PyObject* kept) noexcept:
    # The fields of an object of exactly the class, or of a record. Steals `kept` (unknown fields), which may be NULL.
    cdef int failed = put_binary_fields(out, layout, value)
    if kept != NULL:
        if failed < 0:
            DECREF(kept)
        else:
            failed = write_kept(out, layout, kept, 0, False)
    if failed < 0 or need(out, 1) < 0:
        return -1
    out.p[0] = CODE_STOP
    out.p += 1
    return 0

cdef inline int put_binary_fields(Output* out, Layout* layout, PyObject* value) noexcept:
    cdef int i
    cdef Slot* slot
    cdef PyObject* found
    cdef unsigned char* p = out.p
    for i in range(layout.count):
        slot = &layout.slots[i]
        found = get_slot(value, slot.offset)
        if found == NONE:
            if slot.is_required:
                return no_value()
            continue
        if found == NULL:
            return deleted()
        if out.end - p < ROOM:
            p = more_room(out, p, ROOM)
            if p == NULL:
                return -1
        p[0] = slot.shape.code
        put_16(p + 1, <uint16_t>slot.id)
        if is_simple(slot.shape):
            p = put_scalar(out, p + 3, slot.shape, found)
            if p == NULL:
                return -1
            continue
        out.p = p + 3
        INCREF(found)
        if write_value(out, slot.shape, found) < 0:
            DECREF(found)
            return -1
        DECREF(found)
        p = out.p
    out.p = p
    return 0

cdef int write_binary_list(Output* out, Shape* element, PyObject* value) noexcept:
    # The elements of a `list`, which are simple.
    cdef Py_ssize_t i, size = PyList_GET_SIZE(value)
    cdef int64_t number
    cdef PyObject* item
    cdef unsigned char* p
    if need(out, (size if element.kind == STRING else size * 8) + ROOM) < 0:
        return -1
    p = out.p
    for i in range(size):
        # Converting an object that is not an `int` may run code that changes the list.
        if i >= PyList_GET_SIZE(value):
            return changed()
        item = PyList_GET_ITEM(value, i)
        if element.kind == STRING:
            p = put_text(out, p, item)
        elif element.kind == DOUBLE and PyFloat_CheckExact(item):
            put_64(p, bits_of(PyFloat_AS_DOUBLE(item)))
            p += 8
        elif element.kind == I64 and PyLong_CheckExact(item):
            number = number_of(item)
            put_64(p, <uint64_t>number)
            p = p + 8 if number != -1 or PyErr_Occurred() == NULL else NULL
        else:
            p = put_scalar(out, p, element, item)
        if p == NULL:
            return -1
    out.p = p
    return 0 if PyList_GET_SIZE(value) == size else changed()

cdef int write_binary_pairs(Output* out, Shape* shape, PyObject* value) noexcept:
    # The pairs of a `dict` whose keys and values are simple.
    cdef Py_ssize_t size = PyDict_GET_SIZE(value), count = 0, place = 0
    cdef PyObject* key
    cdef PyObject* item
    cdef unsigned char* p = out.p
    while PyDict_Next(value, &place, &key, &item):
        count += 1
        if out.end - p < ROOM:
            p = more_room(out, p, ROOM + 16 * (size - count if size > count else 0))
            if p == NULL:
                return -1
        if shape.key.kind == STRING:
            p = put_text(out, p, key)
        else:  # converting a key to a number may run code that removes `item` from the dict
            INCREF(item)
            p = put_scalar(out, p, shape.key, key)
        if p != NULL:
            p = put_text(out, p, item) if shape.element.kind == STRING else put_scalar(out, p, shape.element, item)
        if shape.key.kind != STRING:
            DECREF(item)
        if p == NULL:
            return -1
    out.p = p
    return 0 if count == size and PyDict_GET_SIZE(value) == size else changed()

cdef int no_value() noexcept:
    PyErr_SetString(TYPE_ERROR, "a required field is None")
    return -1

cdef int deleted() noexcept:
    PyErr_SetString(ATTRIBUTE_ERROR, "a field was deleted")
    return -1
