# What Python sees: codecs of classes and of records.

PROTOCOLS = {"binary": IN_BINARY, "compact": IN_COMPACT, "json": IN_JSON}
cdef tuple PROTOCOL_NAMES = ("binary", "compact", "json")

# What writing an unsuitable value can raise; everything else is not about the value.
cdef tuple WRITE_ERRORS = (*explain.WRITE_ERRORS, BufferError, RuntimeError)


cdef class _Codec:
    cdef Plan plan
    cdef Bounds bounds
    cdef Protocol protocol

    cdef int bind(self, str protocol, object limits) except -1:
        self.protocol = PROTOCOLS[protocol]
        # C has bounds of its own, which no message reaches.
        self.bounds.max_depth = min(limits.max_depth, 1 << 30)
        self.bounds.max_string = min(limits.max_string, 1 << 60)
        self.bounds.max_container = min(limits.max_container, 1 << 60)
        self.bounds.max_message = min(limits.max_message, 1 << 60)
        self.bounds.text_errors = handler_of(options.text_errors_of(limits))
        self.bounds.keeps_unknown = options.keeps_unknown(limits)
        self.bounds.escapes_text = options.write_errors_of(limits) != "strict"
        return 0


cdef const char* handler_of(str text_errors) except? NULL:
    # The handler of Python that a `TextErrors` names; NULL for `strict`.
    if text_errors == "replace":
        return "replace"
    if text_errors == "surrogateescape":
        return "surrogateescape"
    return NULL


cdef str text_errors_of(Bounds* bounds):
    return "surrogateescape" if bounds.escapes_text else "strict"


cdef PyObject* written(_Codec codec, PyObject* value) noexcept:
    cdef Output out
    cdef PyObject* data = NULL
    if open_output(&out, codec.protocol, &codec.bounds) < 0:
        return NULL
    if write_fields(&out, &codec.plan.layout, value) == 0:
        data = bytes_of(&out)
    close_output(&out)
    return data


cdef inline object read_from(
    _Codec codec, const unsigned char* data, Py_ssize_t size, Py_ssize_t start, Py_ssize_t* after
):
    cdef Input s
    cdef PyObject* made
    if not 0 <= start <= size or size - start > codec.bounds.max_message:
        raise refused(codec, start, size)
    open_input(&s, data, start, size, codec.protocol, &codec.bounds)
    made = read_struct(&s, &codec.plan.layout)
    if made == NULL:
        raise error_of(&s, codec.plan.label)
    value = <object>made
    DECREF(made)
    after[0] = s.p - s.start
    return value


cdef object refused(_Codec codec, Py_ssize_t start, Py_ssize_t size):
    if start < 0:
        return ValueError(f"an offset is 0 or more, not {start}")
    if start > size:
        return faults.whole(faults.too_short(start, 1, size), codec.plan.label)
    fault = faults.over_limit(start, size - start, "max_message", codec.bounds.max_message)
    return faults.whole(fault, codec.plan.label)


cdef object read(_Codec codec, object data, Py_ssize_t start, Py_ssize_t* after, Py_ssize_t* size):
    # The value that starts at `start`; the offset after it, and the size of `data`, go to the pointers.
    cdef Py_buffer view
    if PyBytes_CheckExact(<PyObject*>data):
        size[0] = PyBytes_GET_SIZE(<PyObject*>data)
        return read_from(codec, <const unsigned char*>PyBytes_AS_STRING(<PyObject*>data), size[0], start, after)
    if PyObject_GetBuffer(<PyObject*>data, &view, PyBUF_SIMPLE) < 0:
        reraise()
    try:
        size[0] = view.len
        return read_from(codec, <const unsigned char*>view.buf, view.len, start, after)
    finally:
        PyBuffer_Release(&view)


cdef class StructCodec(_Codec):
    """A `StructCodec` of `idlrt.wire.protocol`.

    Args:
        cls: a generated class.
        protocol: `binary`, `compact` or `json`.
        limits: `idlrt.wire.Limits`.
    """

    def __init__(self, object cls, str protocol, object limits):
        self.plan = plan_of_class(cls)
        self.bind(protocol, limits)

    def encode(self, value, /):
        """See `StructCodec.encode`."""
        cdef PyObject* data = written(self, <PyObject*>value)
        if data == NULL:
            try:
                reraise()
            except WRITE_ERRORS as error:
                text_errors = text_errors_of(&self.bounds)
                what = explain.explain_struct(value, error, self.bounds.max_depth, text_errors)
                raise LocalProtocolError(what) from error
        encoded = <object>data
        DECREF(data)
        return encoded

    def decode(self, data, Py_ssize_t start=0):
        """See `StructCodec.decode`."""
        cdef Py_ssize_t after = 0, size = 0
        value = read(self, data, start, &after, &size)
        return value, after

    def decode_whole(self, data, /):
        """See `StructCodec.decode_whole`."""
        cdef Py_ssize_t after = 0, size = 0
        value = read(self, data, 0, &after, &size)
        if after != size:
            raise faults.goes_on(self.plan.label, after, size)
        return value


cdef class RecordCodec(_Codec):
    """A `RecordCodec` of `idlrt.wire.protocol`.

    Args:
        fields: the table.
        defaults: the value of an absent field, or a function that makes one; `None` where it is shorter.
        label: the root of paths in errors.
        protocol: `binary`, `compact` or `json`.
        limits: `idlrt.wire.Limits`.
    """

    cdef tuple fields

    def __init__(self, tuple fields, tuple defaults, str label, str protocol, object limits):
        self.fields = fields
        self.plan = plan_of_record(fields, defaults, label)
        self.bind(protocol, limits)

    cdef str refused(self, tuple record, object error):
        text_errors = text_errors_of(&self.bounds)
        return explain.explain_record(self.fields, record, error, self.bounds.max_depth, self.plan.label, text_errors)

    def encode(self, values, /):
        """See `RecordCodec.encode`."""
        cdef PyObject* data = NULL
        cdef tuple record = values if type(values) is tuple else tuple(values)
        if len(record) != len(self.fields):
            raise LocalProtocolError(self.refused(record, ValueError("wrong number of values")))
        data = written(self, <PyObject*>record)
        if data == NULL:
            try:
                reraise()
            except WRITE_ERRORS as error:
                raise LocalProtocolError(self.refused(record, error)) from error
        encoded = <object>data
        DECREF(data)
        return encoded

    def decode(self, data, Py_ssize_t start=0):
        """See `RecordCodec.decode`."""
        cdef Py_ssize_t after = 0, size = 0
        value = read(self, data, start, &after, &size)
        return value, after

    def message(self, values, bytes before not None, int32_t sequence_id, bytes after not None, bint is_framed):
        """A whole message: its length (if it is framed), its head and `values`.

        Args:
            values: one for each field.
            before: what stands in the head before the sequence id.
            after: what stands in the head behind it.
            is_framed: whether the length stands in front.

        Raises:
            LocalProtocolError: a value cannot be written; the message has the path of the field.
        """
        cdef Output out
        cdef PyObject* data = NULL
        cdef tuple record = values if type(values) is tuple else tuple(values)
        if len(record) != len(self.fields):
            raise LocalProtocolError(self.refused(record, ValueError("wrong number of values")))
        if open_output(&out, self.protocol, &self.bounds) == 0:
            if write_message(&out, self, record, before, sequence_id, after, is_framed) == 0:
                data = bytes_of(&out)
            close_output(&out)
        if data == NULL:
            try:
                reraise()
            except WRITE_ERRORS as error:
                raise LocalProtocolError(self.refused(record, error)) from error
        packed = <object>data
        DECREF(data)
        return packed


cdef int write_message(
    Output* out, RecordCodec codec, tuple record, bytes before, int32_t sequence_id, bytes after, bint is_framed
) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(<PyObject*>before), rest = PyBytes_GET_SIZE(<PyObject*>after)
    if need(out, size + rest + ROOM) < 0:
        return -1
    out.p += 4 if is_framed else 0
    copy_bytes(out.p, PyBytes_AS_STRING(<PyObject*>before), size)
    out.p += size
    if out.protocol == IN_BINARY:
        put_32(out.p, <uint32_t>sequence_id)
        out.p += 4
    else:
        put_varint(out, <uint32_t>sequence_id)
    copy_bytes(out.p, PyBytes_AS_STRING(<PyObject*>after), rest)
    out.p += rest
    if write_fields(out, &codec.plan.layout, <PyObject*>record) < 0:
        return -1
    if out.p - out.start > 0x7FFFFFFF:
        PyErr_SetString(OVERFLOW_ERROR, "a message is too long for a frame")
        return -1
    if is_framed:
        put_32(out.start, <uint32_t>(out.p - out.start - 4))
    return 0
