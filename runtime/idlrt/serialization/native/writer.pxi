# Writing values by their plan, over the primitives of a protocol. Callers of `write_value` have reserved ROOM.

cdef int write_fields(Output* out, Layout* layout, PyObject* value) noexcept:
    # The fields of a struct, or of a record (then `value` is a tuple).
    cdef int i, failed, context
    cdef int16_t last = 0
    cdef Slot* slot
    cdef PyObject* found
    cdef bint is_first = True
    cdef PyObject* kept = NULL
    cdef bint is_plain = <PyObject*>TYPE(value) == layout.cls or layout.cls == NULL
    if not is_plain and check_generated(value) < 0:
        return -1
    if out.protocol == IN_JSON:
        begin_json(out)
        put_char(out, b"{")
    context = out.context
    if layout.is_union:
        if check_union(layout, value, is_plain, &kept) < 0:
            return -1
    elif out.keeps_unknown:
        kept = kept_in(layout, value, is_plain)
    if is_plain and out.protocol == IN_BINARY:
        return write_binary_fields(out, layout, value, kept)
    for i in range(layout.count):
        slot = &layout.slots[i]
        found = get_slot(value, slot.offset) if is_plain else NULL
        if found != NULL:
            INCREF(found)
        else:
            found = PyObject_GetAttr(value, slot.attribute)
            if found == NULL:
                XDECREF(kept)
                return -1
        if found == NONE:
            DECREF(found)
            if slot.is_required:
                XDECREF(kept)
                return no_value()
            continue
        failed = write_field(out, slot, found, last, is_first)
        DECREF(found)
        if failed < 0:
            XDECREF(kept)
            return -1
        last = slot.id
        is_first = False
    if kept != NULL and write_kept(out, layout, kept, last, is_first) < 0:
        return -1
    if need(out, ROOM) < 0:
        return -1
    put_char(out, b"}" if out.protocol == IN_JSON else CODE_STOP)
    out.context = context
    return 0

cdef inline int write_field(Output* out, Slot* slot, PyObject* value, int16_t last, bint is_first) noexcept:
    cdef int truth
    if need(out, ROOM) < 0:
        return -1
    if out.protocol == IN_BINARY:
        out.p[0] = slot.shape.code
        put_16(out.p + 1, <uint16_t>slot.id)
        out.p += 3
    elif out.protocol == IN_JSON:
        put_json_head(out, slot.shape.code, slot.id, is_first)
        if write_value(out, slot.shape, value) < 0 or need(out, ROOM) < 0:
            return -1
        put_char(out, b"}")
        return 0
    elif slot.shape.kind == BOOL:
        truth = truth_of(value)
        if truth >= 0:
            put_compact_head(out, 1 if truth else 2, slot.id, last)
        return -1 if truth < 0 else 0
    else:
        put_compact_head(out, slot.shape.compact, slot.id, last)
    return write_value(out, slot.shape, value)

cdef int write_value(Output* out, Shape* shape, PyObject* value) noexcept:
    cdef int64_t number = 0
    cdef double real
    cdef int result
    if out.protocol == IN_JSON and shape.kind < LIST:
        return -1 if need(out, ROOM) < 0 else write_json_scalar(out, shape, value)
    elif shape.kind == STRING:
        return write_text(out, value)
    elif shape.kind == I64:
        if whole_number(value, &number) < 0:
            return -1
        if out.protocol == IN_BINARY:
            put_64(out.p, <uint64_t>number)
            out.p += 8
        else:
            put_varint(out, zigzag(number))
        return 0
    elif shape.kind == I32 or shape.kind == ENUM:
        if whole_number(value, &number) < 0 or check_range(number, 0x7FFFFFFF) < 0:
            return -1
        if out.protocol == IN_BINARY:
            put_32(out.p, <uint32_t>number)
            out.p += 4
        else:
            put_varint(out, zigzag(number))
        return 0
    elif shape.kind == DOUBLE:
        if real_number(value, &real) < 0:
            return -1
        if out.protocol == IN_BINARY:
            put_64(out.p, bits_of(real))
        else:
            put_64_little(out.p, bits_of(real))
        out.p += 8
        return 0
    elif shape.kind == BOOL:
        result = truth_of(value)
        if result < 0:
            return -1
        out.p[0] = result if out.protocol == IN_BINARY else 1 if result else 2
        out.p += 1
        return 0
    elif shape.kind == STRUCT:
        if enter_write(out) < 0:
            return -1
        result = write_fields(out, shape.layout, value)
        leave_write(out)
        return result
    elif shape.kind == LIST or shape.kind == SET:
        return write_sequence(out, shape.element, value)
    elif shape.kind == MAP:
        return write_map(out, shape, value)
    else:
        return write_rare(out, shape, value)

cdef int write_rare(Output* out, Shape* shape, PyObject* value) noexcept:
    cdef Held held
    cdef int64_t number = 0
    cdef int failed
    cdef PyObject* made
    if shape.kind == BINARY:
        if hold(&held, value) < 0:
            return -1
        failed = write_bytes(out, held.data, held.size)
        let_go(&held)
        return failed
    elif shape.kind == UID:
        made = uuid_bytes(value)
        if made == NULL:
            return -1
        copy_bytes(out.p, PyBytes_AS_STRING(made), 16)
        out.p += 16
        DECREF(made)
        return 0
    if whole_number(value, &number) < 0 or check_range(number, 0x7FFF if shape.kind == I16 else 0x7F) < 0:
        return -1
    if shape.kind == I8:
        out.p[0] = <unsigned char>number
        out.p += 1
    elif out.protocol == IN_BINARY:
        put_16(out.p, <uint16_t>number)
        out.p += 2
    else:
        put_varint(out, zigzag(number))
    return 0

cdef inline int truth_of(PyObject* value) noexcept:
    return 1 if value == TRUE else 0 if value == FALSE else PyObject_IsTrue(value)

cdef inline int write_text(Output* out, PyObject* value) noexcept:
    cdef Py_ssize_t size
    cdef const unsigned char* data = text_bytes(out, value, &size)
    return -1 if data == NULL else write_bytes(out, data, size)

cdef inline int write_bytes(Output* out, const unsigned char* data, Py_ssize_t size) noexcept:
    if size > 0x7FFFFFFF:
        PyErr_SetString(OVERFLOW_ERROR, "a string is too long for the protocol")
        return -1
    if need(out, size + ROOM) < 0:
        return -1
    put_count(out, size)
    copy_bytes(out.p, data, size)
    out.p += size
    return 0

cdef inline void put_count(Output* out, Py_ssize_t size) noexcept:
    if out.protocol == IN_BINARY:
        put_32(out.p, <uint32_t>size)
        out.p += 4
    else:
        put_varint(out, size)

cdef inline int check_range(int64_t number, int64_t most) noexcept:
    if number > most or number < -most - 1:
        PyErr_SetString(OVERFLOW_ERROR, "a number does not fit its type")
        return -1
    return 0

# Containers. Writing an element may call Python code, and that may change the container.

cdef inline int write_element(Output* out, Shape* shape, PyObject* value) noexcept:
    # Takes `value`.
    cdef int failed = need(out, ROOM)
    if failed == 0:
        # Without a call: most elements are strings.
        failed = write_text(out, value) if shape.kind == STRING and out.protocol != IN_JSON else write_value(out, shape, value)
    DECREF(value)
    return failed

cdef Py_ssize_t size_of(PyObject* value) noexcept:
    cdef Py_ssize_t size
    if PyUnicode_Check(value) or PyBytes_CheckExact(value):
        PyErr_SetString(TYPE_ERROR, "text is no container")
        return -1
    size = PyObject_Size(value)
    if size > 0x7FFFFFFF:
        PyErr_SetString(OVERFLOW_ERROR, "a container is too long for the protocol")
        return -1
    return size

cdef int changed() noexcept:
    PyErr_SetString(RUNTIME_ERROR, "a container changed while it was written")
    return -1

cdef int write_sequence(Output* out, Shape* element, PyObject* value) noexcept:
    cdef Py_ssize_t size = size_of(value)
    if size < 0:
        return -1
    if out.protocol == IN_BINARY:
        out.p[0] = element.code
        put_32(out.p + 1, <uint32_t>size)
        out.p += 5
        if is_simple(element) and PyList_CheckExact(value):
            return write_binary_list(out, element, value)
    elif out.protocol == IN_JSON:
        return write_json_sequence(out, element, value, size)
    elif size < 15:
        out.p[0] = <unsigned char>(size << 4) | element.compact
        out.p += 1
    else:
        out.p[0] = 0xF0 | element.compact
        out.p += 1
        put_varint(out, size)
    return write_elements(out, element, value, size)

cdef int write_json_sequence(Output* out, Shape* element, PyObject* value, Py_ssize_t size) noexcept:
    cdef int context
    begin_json(out)
    put_char(out, b"[")
    put_json_type(out, element.code)
    put_char(out, b",")
    put_decimal(out, size)
    context = out.context
    out.context = AT_ELEMENT
    if write_elements(out, element, value, size) < 0 or need(out, ROOM) < 0:
        return -1
    put_char(out, b"]")
    out.context = context
    return 0

cdef int write_elements(Output* out, Shape* element, PyObject* value, Py_ssize_t size) noexcept:
    # Of a list, or of whatever can be iterated.
    cdef Py_ssize_t i, count = 0
    cdef PyObject* item
    cdef PyObject* iterator
    if PyList_CheckExact(value):
        for i in range(size):
            if i >= PyList_GET_SIZE(value):
                return changed()
            item = PyList_GET_ITEM(value, i)
            INCREF(item)
            if write_element(out, element, item) < 0:
                return -1
        return 0 if PyList_GET_SIZE(value) == size else changed()
    iterator = PyObject_GetIter(value)
    if iterator == NULL:
        return -1
    while True:
        item = PyIter_Next(iterator)
        if item == NULL:
            break
        count += 1
        if write_element(out, element, item) < 0:
            DECREF(iterator)
            return -1
    DECREF(iterator)
    if PyErr_Occurred() != NULL:
        return -1
    return 0 if count == size else changed()

cdef int write_map(Output* out, Shape* shape, PyObject* value) noexcept:
    cdef Py_ssize_t size, count = 0, place = 0
    cdef PyObject* key
    cdef PyObject* item
    cdef PyObject* plain = plain_dict(value)
    cdef int failed = 0, context
    if plain == NULL:
        return -1
    size = PyDict_GET_SIZE(plain)
    if out.protocol == IN_JSON:
        begin_json(out)
    context = out.context
    if out.protocol == IN_BINARY:
        out.p[0] = shape.key.code
        out.p[1] = shape.element.code
        put_32(out.p + 2, <uint32_t>size)
        out.p += 6
    elif out.protocol == IN_JSON:
        open_json_pairs(out, shape, size)
    else:
        put_varint(out, size)
        if size:
            out.p[0] = (shape.key.compact << 4) | shape.element.compact
            out.p += 1
    if out.protocol == IN_BINARY and is_simple(shape.key) and is_simple(shape.element):
        failed = write_binary_pairs(out, shape, plain)
        DECREF(plain)
        return failed
    while failed == 0 and PyDict_Next(plain, &place, &key, &item):
        INCREF(key)
        INCREF(item)
        count += 1
        failed = write_element(out, shape.key, key)
        if failed == 0:
            failed = write_element(out, shape.element, item)
        else:
            DECREF(item)
    if failed == 0 and (count != size or PyDict_GET_SIZE(plain) != size):
        failed = changed()
    DECREF(plain)
    if out.protocol == IN_JSON and failed == 0:
        failed = need(out, ROOM)
        if failed == 0:
            put_short(out, b"}]")
    out.context = context
    return failed

cdef void open_json_pairs(Output* out, Shape* shape, Py_ssize_t size) noexcept:
    put_char(out, b"[")
    put_json_type(out, shape.key.code)
    put_char(out, b",")
    put_json_type(out, shape.element.code)
    put_char(out, b",")
    put_decimal(out, size)
    put_short(out, b",{")
    out.context = AT_FIRST_KEY
