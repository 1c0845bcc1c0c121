# The output of a writer: one buffer that grows, and the conversion of Python values.
#
# Most values fit into a scratch buffer that is kept; it has one user at a time (writing may call Python code, which
# may start another writer); the others allocate memory.

cdef enum Sizes:
    SCRATCH = 65536
    # Reserved before each value: enough for the head of a field or container and a scalar without another check.
    ROOM = 40

cdef struct Output:
    unsigned char* start
    unsigned char* p
    unsigned char* end
    bint is_scratch
    Protocol protocol
    int context         # JSON: what comes next
    int depth           # structs that may still nest
    bint is_guarded
    bint keeps_unknown  # structs write unknown fields that they keep
    bint escapes_text   # lone surrogates are written as the bytes that they represent
    PyObject* escaped   # the bytes of the last text that had some, or NULL

cdef unsigned char* scratch = NULL
cdef bint is_scratch_taken = False

cdef int open_output(Output* out, Protocol protocol, const Bounds* bounds) noexcept:
    global scratch, is_scratch_taken
    out.protocol = protocol
    out.context = 0
    out.depth = bounds.max_depth
    out.is_guarded = bounds.max_depth > SAFE_DEPTH
    out.keeps_unknown = bounds.keeps_unknown
    out.escapes_text = bounds.escapes_text
    out.escaped = NULL
    out.is_scratch = not is_scratch_taken
    if out.is_scratch:
        if scratch == NULL:
            scratch = <unsigned char*>PyMem_Malloc(SCRATCH)
        out.start = scratch
    else:
        out.start = <unsigned char*>PyMem_Malloc(1024)
    if out.start == NULL:
        PyErr_NoMemory()
        return -1
    if out.is_scratch:
        is_scratch_taken = True
    out.p = out.start
    out.end = out.start + (SCRATCH if out.is_scratch else 1024)
    return 0

cdef void close_output(Output* out) noexcept:
    global is_scratch_taken
    XDECREF(out.escaped)
    if out.start == scratch:
        is_scratch_taken = False
    else:
        PyMem_Free(out.start)
    out.start = NULL

cdef int grow(Output* out, Py_ssize_t size) noexcept:
    global is_scratch_taken
    cdef Py_ssize_t used = out.p - out.start
    cdef Py_ssize_t wanted = (out.end - out.start) * 2
    cdef unsigned char* start
    if size > PY_SSIZE_T_MAX // 4 or used > PY_SSIZE_T_MAX // 4:
        PyErr_NoMemory()
        return -1
    if wanted < used + size:
        wanted = used + size + used // 2
    if out.start == scratch:
        start = <unsigned char*>PyMem_Malloc(wanted)
        if start != NULL:
            memcpy(start, out.start, used)
            is_scratch_taken = False
    else:
        start = <unsigned char*>PyMem_Realloc(out.start, wanted)
    if start == NULL:
        PyErr_NoMemory()
        return -1
    out.start = start
    out.p = start + used
    out.end = start + wanted
    return 0

cdef inline int need(Output* out, Py_ssize_t size) noexcept:
    return grow(out, size) if out.end - out.p < size else 0

cdef PyObject* bytes_of(Output* out) noexcept:
    return PyBytes_FromStringAndSize(<const char*>out.start, out.p - out.start)

# Conversion of Python values. -1 with an exception if they do not fit; `explain` then finds the field.

cdef inline int whole_number(PyObject* value, int64_t* number) noexcept:
    cdef PyObject* index
    if PyLong_Check(value):
        number[0] = number_of(value)
    else:
        index = PyNumber_Index(value)
        if index == NULL:
            return -1
        number[0] = number_of(index)
        DECREF(index)
    return -1 if number[0] == -1 and PyErr_Occurred() != NULL else 0

cdef inline int real_number(PyObject* value, double* number) noexcept:
    if PyFloat_CheckExact(value):
        number[0] = PyFloat_AS_DOUBLE(value)
        return 0
    number[0] = PyFloat_AsDouble(value)
    return -1 if number[0] == -1.0 and PyErr_Occurred() != NULL else 0

cdef inline const unsigned char* text_bytes(Output* out, PyObject* value, Py_ssize_t* size) noexcept:
    # Borrowed from `value`, or, until the next text, from `out`.
    cdef const unsigned char* data
    if not PyUnicode_Check(value):
        PyErr_SetString(TYPE_ERROR, "a string must be a str")
        return NULL
    if PyUnicode_IS_COMPACT_ASCII(value):
        size[0] = PyUnicode_GET_LENGTH(value)
        return <const unsigned char*>PyUnicode_DATA(value)
    data = <const unsigned char*>PyUnicode_AsUTF8AndSize(value, size)
    return encode_surrogates(out, value, size) if data == NULL and out.escapes_text else data

cdef const unsigned char* encode_surrogates(Output* out, PyObject* value, Py_ssize_t* size) noexcept:
    # Bytes of a text that UTF-8 cannot encode; the exception for that is set.
    if not PyErr_ExceptionMatches(UNICODE_ENCODE_ERROR):
        return NULL
    PyErr_Clear()
    XDECREF(out.escaped)
    out.escaped = PyUnicode_AsEncodedString(value, "utf-8", "surrogateescape")
    if out.escaped == NULL:
        return NULL
    size[0] = PyBytes_GET_SIZE(out.escaped)
    return <const unsigned char*>PyBytes_AS_STRING(out.escaped)

cdef struct Held:
    # The bytes of a binary value, held until `let_go`.
    const unsigned char* data
    Py_ssize_t size
    PyObject* copy  # of what does not lie in one piece, else NULL
    bint is_view
    Py_buffer view

cdef inline int hold(Held* held, PyObject* value) noexcept:
    if PyBytes_CheckExact(value):
        held.data = <const unsigned char*>PyBytes_AS_STRING(value)
        held.size = PyBytes_GET_SIZE(value)
        held.is_view = False
        held.copy = NULL
        return 0
    held.copy = NULL
    if PyObject_GetBuffer(value, &held.view, PyBUF_SIMPLE) < 0:
        return hold_copy(held, value)
    held.data = <const unsigned char*>held.view.buf
    held.size = held.view.len
    held.is_view = True
    return 0

cdef inline void let_go(Held* held) noexcept:
    if held.is_view:
        PyBuffer_Release(&held.view)
    XDECREF(held.copy)

cdef int hold_copy(Held* held, PyObject* value) noexcept:
    # Of a view with gaps. An exception is set: that it cannot be had as it is.
    try:
        reraise()
    except BufferError:
        try:
            copy = bytes(memoryview(<object>value))
        except BaseException as error:
            set_error(error)
            return -1
    except BaseException as error:
        set_error(error)
        return -1
    INCREF(<PyObject*>copy)
    held.copy = <PyObject*>copy
    held.data = <const unsigned char*>PyBytes_AS_STRING(held.copy)
    held.size = PyBytes_GET_SIZE(held.copy)
    held.is_view = False
    return 0

cdef int enter_write(Output* out) noexcept:
    # A struct begins within another one.
    out.depth -= 1
    if out.depth < 0:
        PyErr_SetString(RECURSION_ERROR, "values are nested too deep")
        return -1
    if out.is_guarded and Py_EnterRecursiveCall(" while a value is written") != 0:
        return -1
    return 0

cdef inline void leave_write(Output* out) noexcept:
    out.depth += 1
    if out.is_guarded:
        Py_LeaveRecursiveCall()

cdef int check_generated(PyObject* value) noexcept:
    # Check an object of another class, a derived one or one with the same attributes: it must have a field table.
    cdef PyObject* table = PyObject_GetAttr(value, <PyObject*>NAME_FIELDS)
    XDECREF(table)
    return -1 if table == NULL else 0

cdef int check_union(Layout* layout, PyObject* value, bint is_plain, PyObject** kept) noexcept:
    # Fields can be assigned after the constructor checked them. After a
    # newer peer's field none is set: `kept` then gets a new reference to the unknown fields to write.
    cdef int i, count = 0
    cdef PyObject* found
    for i in range(layout.count):
        found = PyObject_GetAttr(value, layout.slots[i].attribute)
        if found == NULL:
            return -1
        count += found != NONE
        DECREF(found)
    if count == 0:
        kept[0] = kept_in(layout, value, is_plain)
    if count != 1 and kept[0] == NULL:
        PyErr_SetString(VALUE_ERROR, "a union must have exactly one field set")
        return -1
    return 0

cdef PyObject* uuid_bytes(PyObject* value) noexcept:
    # The 16 bytes of a `uuid.UUID`, as a new `bytes`.
    cdef PyObject* data = PyObject_GetAttr(value, <PyObject*>NAME_BYTES)
    if data != NULL and (not PyBytes_CheckExact(data) or PyBytes_GET_SIZE(data) != 16):
        DECREF(data)
        PyErr_SetString(TYPE_ERROR, "a uuid must be a uuid.UUID")
        return NULL
    return data

cdef PyObject* plain_dict(PyObject* value) noexcept:
    # A new reference to a `dict`: `value` itself, or one with the items of another mapping.
    if PyDict_CheckExact(value):
        INCREF(value)
        return value
    return dict_of(value)

cdef void set_error(object error) noexcept:
    # For callers that report errors by NULL.
    kind = type(error)
    PyErr_SetObject(<PyObject*>kind, <PyObject*>error)

cdef PyObject* dict_of(PyObject* value) noexcept:
    try:
        made = dict((<object>value).items())
    except BaseException as error:
        set_error(error)
        return NULL
    INCREF(<PyObject*>made)
    return <PyObject*>made
