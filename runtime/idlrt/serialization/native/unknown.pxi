# Unknown fields, as from a newer peer: kept as they are read, and written again. Their format is that of
# `idlrt.spec.unknown`; `idlrt.serialization._unknown` translates them to another protocol.

cdef enum KeptHead:
    KEPT_HEAD = 7  # id, type, size

cdef inline bint keeps(Input* s, Layout* layout) noexcept:
    return layout.unknown > 0 and (layout.is_union or s.bounds.keeps_unknown)

cdef int pass_unknown(Input* s, Layout* layout, bint is_new, int code, int16_t id, Came* came) noexcept:
    # Pass a field to its end, and keep it if its id is new here. Not inline: readers of known fields stay small.
    cdef const unsigned char* start = s.p
    came.has_unknown = True
    if skip(s, code, s.depth + 1, True) < 0:
        add_step(s, IN_UNKNOWN, id, NULL)
        return -1
    if is_new and keeps(s, layout) and keep_field(s, code, id, start, came) < 0:
        return -1
    if close_field(s) < 0:
        add_step(s, IN_UNKNOWN, id, NULL)
        return -1
    return 0

cdef int keep_field(Input* s, int code, int16_t id, const unsigned char* value, Came* came) noexcept:
    # A field whose value lies between `value` and the place in the input. -1 with an exception.
    cdef Py_ssize_t size = s.p - value, wanted
    cdef unsigned char truth = 1 if s.truth else 2
    cdef unsigned char* p
    if size == 0:  # compact: the head has it
        value, size = &truth, 1
    if came.kept == NULL:
        came.kept_size = came.kept_room = 0
    wanted = came.kept_size + KEPT_HEAD + size + (1 if came.kept_size == 0 else 0)
    if size > 0xFFFFFFFF:
        PyErr_NoMemory()
        return -1
    if wanted > came.kept_room:
        p = <unsigned char*>PyMem_Realloc(came.kept, wanted + wanted // 2)
        if p == NULL:
            PyErr_NoMemory()
            return -1
        came.kept = p
        came.kept_room = wanted + wanted // 2
    p = came.kept + came.kept_size
    if came.kept_size == 0:
        p[0] = <unsigned char>s.protocol
        p += 1
    put_16(p, <uint16_t>id)
    p[2] = <unsigned char>code
    put_32(p + 3, <uint32_t>size)
    memcpy(p + KEPT_HEAD, value, size)
    came.kept_size = wanted
    return 0

cdef int store_unknown(Layout* layout, PyObject* value, Came* came) noexcept:
    # Store the kept fields in the object. A union with a known field keeps none.
    cdef PyObject* made
    if layout.is_union and came.count:
        return 0
    made = PyBytes_FromStringAndSize(<const char*>came.kept, came.kept_size)
    if made == NULL:
        return -1
    XDECREF(get_slot(value, layout.unknown))
    set_slot(value, layout.unknown, made)
    return 0

cdef PyObject* kept_in(Layout* layout, PyObject* value, bint is_plain) noexcept:
    # A new reference to what a value keeps; NULL, without an exception, if it keeps nothing.
    cdef PyObject* kept
    if layout.unknown <= 0:
        return NULL
    if is_plain:
        kept = get_slot(value, layout.unknown)
        if kept != NULL:
            INCREF(kept)
    else:
        kept = PyObject_GetAttr(value, <PyObject*>NAME_UNKNOWN)
        if kept == NULL:
            PyErr_Clear()
    if kept != NULL and (not PyBytes_CheckExact(kept) or PyBytes_GET_SIZE(kept) == 0):
        DECREF(kept)
        return NULL
    return kept

cdef PyObject* translated(PyObject* kept, Protocol protocol, bint is_union) noexcept:
    # Takes `kept`.
    try:
        made = unknown.translated(<object>kept, PROTOCOL_NAMES[protocol], is_union=is_union)
    except BaseException as error:
        set_error(error)
        DECREF(kept)
        return NULL
    DECREF(kept)
    INCREF(<PyObject*>made)
    return <PyObject*>made

cdef int write_kept(Output* out, Layout* layout, PyObject* kept, int16_t last, bint is_first) noexcept:
    # Behind the known fields. Takes `kept`.
    cdef const unsigned char* p
    cdef const unsigned char* end
    cdef Py_ssize_t size
    cdef int16_t id
    if <unsigned char>PyBytes_AS_STRING(kept)[0] != <unsigned char>out.protocol:
        kept = translated(kept, out.protocol, layout.is_union)
        if kept == NULL:
            return -1
    p = <const unsigned char*>PyBytes_AS_STRING(kept)
    end = p + PyBytes_GET_SIZE(kept)
    p += 1
    while end - p >= KEPT_HEAD:
        id = signed_16(get_16(p))
        size = get_32(p + 3)
        if size > end - p - KEPT_HEAD:
            break
        if need(out, size + 2 * ROOM) < 0:
            DECREF(kept)
            return -1
        put_kept(out, id, p[2], p + KEPT_HEAD, size, last, is_first)
        last = id
        is_first = False
        p += KEPT_HEAD + size
    DECREF(kept)
    return need(out, ROOM)

cdef void put_kept(
    Output* out, int16_t id, unsigned char code, const unsigned char* value, Py_ssize_t size, int16_t last, bint is_first
) noexcept:
    # There is room.
    if out.protocol == IN_BINARY:
        out.p[0] = code
        put_16(out.p + 1, <uint16_t>id)
        out.p += 3
    elif out.protocol == IN_JSON:
        put_json_head(out, code, id, is_first)
    elif code == CODE_BOOL:
        put_compact_head(out, 1 if value[0] == 1 else 2, id, last)
        return
    else:
        put_compact_head(out, compact_of(code), id, last)
    memcpy(out.p, value, size)
    out.p += size
    if out.protocol == IN_JSON:
        put_char(out, b"}")

cdef unsigned char compact_of(unsigned char code) noexcept:
    cdef unsigned char compact
    for compact in range(3, 14):
        if COMPACT_CODES[compact] == code:
            return compact
    return 1
