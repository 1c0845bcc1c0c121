# Reading values by their plan, over the primitives of a protocol: how a field, a container, a scalar begins.
# Nothing is read without a check of the remaining size; lengths are checked against it, and against the limits, before
# anything is allocated for them.

# At most this many places are allocated before elements were read.
cdef Py_ssize_t PLACES = 4096

cdef struct Head:
    # The head of a field.
    int code        # `CODE_STOP` at the end of the struct
    int16_t id
    bint is_first   # JSON: no field has come yet

cdef inline int next_field(Input* s, Head* head) noexcept:
    if s.protocol == IN_BINARY:
        return next_binary_field(s, head)
    elif s.protocol == IN_COMPACT:
        return next_compact_field(s, head)
    else:
        return next_json_field(s, head)

cdef struct Came:
    # State of an object while its slots are filled.
    int count          # fields that came, each once
    bint has_unknown   # whether others came too
    bint is_tracked    # whether the garbage collector has to know it
    unsigned char* kept  # unknown fields, to be written again; NULL if there are none
    Py_ssize_t kept_size
    Py_ssize_t kept_room

cdef PyObject* read_struct(Input* s, Layout* layout) noexcept:
    # A struct, or the tuple of a record.
    cdef PyObject* value = NULL
    cdef Came came
    cdef int failed
    if s.depth < 0:
        wrong_limit(s, DEEP, s.p, 0)
        return NULL
    if s.is_guarded and Py_EnterRecursiveCall(" while a value is read") != 0:
        return NULL
    s.depth -= 1
    came.count = came.has_unknown = came.is_tracked = 0
    came.kept = NULL
    value = make_value(layout)
    if value != NULL:
        if s.protocol == IN_BINARY:
            failed = read_binary_fields(s, layout, value, &came)
        elif s.protocol == IN_COMPACT:
            failed = read_compact_fields(s, layout, value, &came)
        else:
            failed = read_fields(s, layout, value, &came)
        if failed or complete(s, layout, value, &came) < 0:
            DECREF(value)
            value = NULL
        if came.kept != NULL:
            if value != NULL and store_unknown(layout, value, &came) < 0:
                DECREF(value)
                value = NULL
            PyMem_Free(came.kept)
    s.depth += 1
    if s.is_guarded:
        Py_LeaveRecursiveCall()
    return value

cdef inline PyObject* read_opened(Input* s, Layout* layout) noexcept:
    # The outermost value. The message's own bytes have been charged.
    if s.budget < 0:
        wrong_limit(s, DECODED, s.p, 0)
        return NULL
    return read_struct(s, layout)

cdef int read_fields(Input* s, Layout* layout, PyObject* value, Came* came) noexcept:
    # Fill the slots of `value`, to the end of the struct.
    cdef PyObject* found
    cdef Slot* slot
    cdef Head head
    cdef Slot* expected = layout.slots
    cdef int context
    head.code = CODE_STOP
    head.id = 0
    head.is_first = True
    if s.protocol == IN_JSON and open_json_struct(s) < 0:
        return -1
    context = s.context
    while True:
        if next_field(s, &head) < 0:
            return -1
        if head.code == CODE_STOP:
            s.context = context
            return 0
        slot = find_slot(layout, head.id, expected)
        if slot == NULL or slot.shape.code != head.code:
            if pass_unknown(s, layout, slot == NULL, head.code, head.id, came) < 0:
                return -1
            continue
        expected = slot + 1
        found = read_field_value(s, slot.shape)
        if found == NULL or close_field(s) < 0:
            XDECREF(found)
            add_step(s, IN_FIELD, 0, slot.name)
            return -1
        fill_slot(value, slot, slot.shape.kind, found, came)

cdef inline void fill_slot(PyObject* value, Slot* slot, Kind kind, PyObject* found, Came* came) noexcept:
    # Steals `found`. The last value of a repeated field is kept.
    cdef PyObject* before = get_slot(value, slot.offset)
    set_slot(value, slot.offset, found)
    if kind > DOUBLE and kind != STRING and is_tracked(found):
        came.is_tracked = True
    if before == NULL:
        came.count += 1
    else:
        DECREF(before)

cdef inline PyObject* read_field_value(Input* s, Shape* shape) noexcept:
    cdef PyObject* found
    if shape.kind == BOOL and s.protocol == IN_COMPACT:  # came with the head
        found = TRUE if s.truth else FALSE
        INCREF(found)
        return found
    return read_value(s, shape)

cdef inline int close_field(Input* s) noexcept:
    return expect_json(s, b"}") if s.protocol == IN_JSON else 0

cdef PyObject* read_value(Input* s, Shape* shape) noexcept:
    # A value; a boolean as an element has it.
    cdef Py_ssize_t size
    if s.protocol == IN_JSON and shape.kind < LIST:
        return read_json_scalar(s, shape)
    elif shape.kind == STRING:
        return read_string(s)
    elif shape.kind == STRUCT:
        return read_struct(s, shape.layout)
    elif shape.kind == MAP:
        return read_map(s, shape)
    elif shape.kind == LIST or shape.kind == SET:
        return read_sequence(s, shape)
    elif shape.kind == BINARY:
        size = read_length(s)
        if size < 0:
            return NULL
        s.p += size
        return PyBytes_FromStringAndSize(<const char*>s.p - size, size)
    elif s.protocol == IN_BINARY:
        return read_binary_scalar(s, shape)
    else:
        return read_compact_scalar(s, shape)

cdef inline Py_ssize_t read_length(Input* s) noexcept:
    # The length of a string whose bytes are all there, and start at `p` then.
    cdef Py_ssize_t size = read_size(s)
    if size > s.bounds.max_string:
        return wrong_limit(s, OVER_STRING, s.p, size)
    return check_left(s, size, 1)

cdef inline Py_ssize_t read_size(Input* s) noexcept:
    # The length that a string has in front.
    cdef Py_ssize_t size
    if s.protocol == IN_BINARY:
        if left(s) < 4:
            return wrong_short(s, s.p, 4)
        size = get_32(s.p)
        s.p += 4
        return size
    return read_compact_length(s)

cdef inline PyObject* read_string(Input* s) noexcept:
    cdef Py_ssize_t size = read_length(s)
    return passed_text(s, make_text(s.p, size), size) if size >= 0 else NULL

cdef inline PyObject* passed_text(Input* s, PyObject* text, Py_ssize_t size) noexcept:
    # `text` was made of the next bytes, or they are no text.
    if text == NULL:
        text = decode_with_handler(s, s.p, size)
    if text == NULL:
        s.wrong = TEXT
        s.at = s.p - s.start
    s.p += size
    return text

cdef PyObject* decode_with_handler(Input* s, const unsigned char* p, Py_ssize_t size) noexcept:
    # Decode bytes that are not UTF-8 with the error handler; the exception for them is set. NULL without a handler.
    if s.bounds.text_errors == NULL:
        return NULL
    PyErr_Clear()
    return PyUnicode_DecodeUTF8(<const char*>p, size, s.bounds.text_errors)

cdef inline Py_ssize_t check_left(Input* s, Py_ssize_t size, Py_ssize_t minimum) noexcept:
    # Check that `size` elements of at least `minimum` bytes each can follow.
    return wrong_short(s, s.p, size * minimum) if size * minimum > left(s) else size

cdef inline Py_ssize_t check_count(Input* s, Py_ssize_t size, Py_ssize_t minimum) noexcept:
    # The same, and that their number is within the limit.
    if check_left(s, size, minimum) < 0:
        return -1
    if size > s.bounds.max_container:
        return wrong_limit(s, OVER_CONTAINER, s.p, size)
    return size

cdef PyObject* read_sequence(Input* s, Shape* shape) noexcept:
    cdef Shape* element = shape.element
    cdef Py_ssize_t i, size, places, done = 0
    cdef int context, code = 0
    cdef PyObject* items
    cdef PyObject* item
    if s.protocol == IN_BINARY:
        size = open_binary_sequence(s, element, &code)
    elif s.protocol == IN_COMPACT:
        size = open_compact_sequence(s, element, &code)
    else:
        size = check_count(s, open_json_sequence(s, &code), 2)
    context = s.context
    s.context = AT_ELEMENT
    if size < 0:
        return NULL
    if size and code != element.code:
        wrong_elements(s, s.p, code, element.code, 0, 0)
        return NULL
    if charge(s, s.p, shape.base + size * shape.each) < 0:
        return NULL
    places = min(size, PLACES)
    items = PyList_New(places)
    if items == NULL:
        return NULL
    # Untracked: the garbage collector must not expose it while places are empty. Numbers and text do not trigger it.
    if not is_quiet(element):
        PyObject_GC_UnTrack(items)
    if s.protocol == IN_BINARY:
        done = read_binary_items(s, element, items, places)
    elif s.protocol == IN_COMPACT:
        done = read_compact_items(s, element, items, places)
    for i in range(done, size):
        item = read_value(s, element)
        if item == NULL or put_item(items, i, item) < 0:
            add_step(s, IN_ELEMENT, i, NULL)
            DECREF(items)
            return NULL
    if not is_quiet(element):
        PyObject_GC_Track(items)
    if s.protocol == IN_JSON and expect_json(s, b"]") < 0:
        DECREF(items)
        return NULL
    s.context = context
    return finish_list(s, shape, items)

cdef inline bint is_quiet(Shape* shape) noexcept:
    return shape.kind <= DOUBLE or shape.kind == STRING or shape.kind == BINARY

cdef inline int put_item(PyObject* items, Py_ssize_t i, PyObject* item) noexcept:
    # Steals `item`. Beyond the allocated places the list grows.
    cdef int failed
    if i < PLACES:
        PyList_SET_ITEM(items, i, item)
        return 0
    failed = PyList_Append(items, item)
    DECREF(item)
    return failed

cdef PyObject* read_map(Input* s, Shape* shape) noexcept:
    cdef Py_ssize_t i, size, done = 0
    cdef int context, key_code = 0, code = 0, failed
    cdef bint is_text_key
    cdef Probes probes
    cdef PyObject* items
    cdef PyObject* key
    cdef PyObject* item
    if s.protocol == IN_BINARY:
        size = open_binary_map(s, shape, &key_code, &code)
    elif s.protocol == IN_COMPACT:
        size = open_compact_map(s, shape, &key_code, &code)
    else:
        size = check_count(s, open_json_map(s, &key_code, &code), 4)
    context = s.context
    s.context = AT_FIRST_KEY
    if size < 0:
        return NULL
    if size and (key_code != shape.key.code or code != shape.element.code):
        wrong_elements(s, s.p, key_code, shape.key.code, code, shape.element.code)
        return NULL
    if charge(s, s.p, shape.base + size * shape.each) < 0:
        return NULL
    is_text_key = shape.key.kind == STRING and s.protocol != IN_JSON
    items = make_dict(size)
    if items == NULL:
        return NULL
    if probes_open(&probes, size, shape.watched) < 0:
        DECREF(items)
        return NULL
    if s.protocol == IN_BINARY:
        done = read_binary_pairs(s, shape, items, size)
    elif s.protocol == IN_COMPACT:
        done = read_compact_pairs(s, shape, items, size)
    for i in range(done, size):
        key = read_key(s) if is_text_key else read_value(s, shape.key)
        if key == NULL:
            add_step(s, IN_KEY, i, NULL)
            break
        item = read_value(s, shape.element)
        if item == NULL:
            add_step(s, IN_VALUE, i, key)
            DECREF(key)
            break
        if probes.bits == NULL:
            failed = PyDict_SetItem(items, key, item)
        else:
            failed = put_watched(s, &probes, shape.key, items, key, item)
        if failed and s.wrong != COLLIDING:
            add_step(s, IN_KEY, i, NULL)
        DECREF(key)
        DECREF(item)
        if failed:
            break
    else:
        if s.protocol != IN_JSON or (expect_json(s, b"}") == 0 and expect_json(s, b"]") == 0):
            s.context = context
            probes_close(&probes)
            return finish_map(shape, items)
    probes_close(&probes)
    DECREF(items)
    return NULL

cdef inline PyObject* read_key(Input* s) noexcept:
    cdef Py_ssize_t size = read_length(s)
    if size < 0:
        return NULL
    return passed_text(s, make_key(s.p, size), size)

# Skipping of unknown fields.

cdef int skip(Input* s, int code, int depth, bint is_field) noexcept:
    # Containers count in `depth` too, because nothing else bounds them here. Limits are enforced as for
    # known fields, so that scanning and decoding a message give the same errors.
    cdef Py_ssize_t size
    cdef int result
    if code == CODE_STRING and s.protocol != IN_JSON:
        size = read_length(s)
        if size < 0:
            return -1
        s.p += size
        return 0
    if code == CODE_STRUCT or code == CODE_LIST or code == CODE_SET or code == CODE_MAP:
        if depth < (1 if code == CODE_STRUCT else 0):
            return wrong_limit(s, DEEP, s.p, 0)
        if s.is_guarded and Py_EnterRecursiveCall(" while a value is skipped") != 0:
            return -1
        result = skip_struct(s, depth) if code == CODE_STRUCT else skip_container(s, code, depth)
        if s.is_guarded:
            Py_LeaveRecursiveCall()
        return result
    if s.protocol == IN_BINARY:
        return skip_binary_scalar(s, code)
    elif s.protocol == IN_COMPACT:
        return skip_compact_scalar(s, code, is_field)
    else:
        return skip_json_scalar(s)

cdef int skip_struct(Input* s, int depth) noexcept:
    cdef Head head
    cdef int context
    head.code = CODE_STOP
    head.id = 0
    head.is_first = True
    if s.protocol == IN_JSON and open_json_struct(s) < 0:
        return -1
    context = s.context
    while True:
        if next_field(s, &head) < 0:
            return -1
        if head.code == CODE_STOP:
            s.context = context
            return 0
        if skip(s, head.code, depth - 1, True) < 0 or close_field(s) < 0:
            return -1

cdef int skip_container(Input* s, int code, int depth) noexcept:
    cdef Py_ssize_t i, size
    cdef int context, first = 0, second = 0
    if s.protocol == IN_BINARY:
        size = open_unknown_binary(s, code, &first, &second)
    elif s.protocol == IN_COMPACT:
        size = open_unknown_compact(s, code, &first, &second)
    elif code == CODE_MAP:
        size = check_count(s, open_json_map(s, &first, &second), 4)
    else:
        size = check_count(s, open_json_sequence(s, &first), 2)
    if size < 0:
        return -1
    context = s.context
    s.context = AT_FIRST_KEY if code == CODE_MAP else AT_ELEMENT
    for i in range(size):
        if skip(s, first, depth - 1, False) < 0:
            return -1
        if code == CODE_MAP and skip(s, second, depth - 1, False) < 0:
            return -1
    if s.protocol == IN_JSON:
        if (code == CODE_MAP and expect_json(s, b"}") < 0) or expect_json(s, b"]") < 0:
            return -1
    s.context = context
    return 0
