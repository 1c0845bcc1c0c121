# The Python interface: codecs of classes and of records.

# Of each protocol what a value of each type takes at least, and the head of a field.
cdef dict SMALLEST_OF = {
    name: (each.MINIMUM, each.FIELD_HEAD)
    for name, each in (("binary", BinaryInput), ("compact", CompactInput), ("json", JsonInput))
}

PROTOCOLS = {"binary": IN_BINARY, "compact": IN_COMPACT, "json": IN_JSON}
cdef tuple PROTOCOL_NAMES = ("binary", "compact", "json")

# Exceptions of unsuitable values; others are not about the value.
cdef tuple WRITE_ERRORS = (*explain.WRITE_ERRORS, BufferError, RuntimeError)


cdef class _Codec:
    cdef Plan plan
    cdef Bounds bounds
    cdef Protocol protocol

    cdef int bind(self, str protocol, object limits) except -1:
        self.protocol = PROTOCOLS[protocol]
        # Clamped to the ranges of C, which no message reaches.
        self.bounds.max_depth = min(limits.max_depth, 1 << 30)
        self.bounds.max_string = min(limits.max_string, 1 << 60)
        self.bounds.max_container = min(limits.max_container, 1 << 60)
        self.bounds.max_message = min(limits.max_message, 1 << 60)
        self.bounds.text_errors = handler_of(options.text_errors_of(limits))
        self.bounds.keeps_unknown = options.keeps_unknown(limits)
        self.bounds.escapes_text = options.write_errors_of(limits) != "strict"
        self.bounds.max_decoded = min(limits.max_decoded, 1 << 60)
        self.bounds.max_expansion = min(limits.max_expansion, (1 << 30) - 1)
        return 0


cdef const char* handler_of(str text_errors) except? NULL:
    # Name of the Python error handler for a `TextErrors`; NULL for `strict`.
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


cdef struct Reading:
    # What is known of a value beside it.
    Py_ssize_t received  # bytes of the message as they arrived; 0: those that are read
    Py_ssize_t after     # the offset after it
    Py_ssize_t size      # of the data
    int64_t budget       # bytes of memory that it might have taken beside


cdef inline object read_from(
    _Codec codec, const unsigned char* data, Py_ssize_t size, Py_ssize_t start, Reading* reading
):
    cdef Input s
    cdef PyObject* made
    cdef Py_ssize_t received = reading.received or size - start
    if not 0 <= start <= size or size - start > codec.bounds.max_message:
        raise refused(codec, start, size)
    open_input(&s, data, start, size, codec.protocol, &codec.bounds, received)
    made = read_opened(&s, &codec.plan.layout)
    if made == NULL:
        raise error_of(&s, codec.plan.label)
    value = <object>made
    DECREF(made)
    reading.after = s.p - s.start
    reading.size = size
    reading.budget = s.budget
    return value


cdef object refused(_Codec codec, Py_ssize_t start, Py_ssize_t size):
    if start < 0:
        return ValueError(f"an offset is 0 or more, not {start}")
    if start > size:
        return decode_errors.public_error(decode_errors.too_short(start, 1, size), codec.plan.label)
    decode_error = decode_errors.over_limit(start, size - start, "max_message", codec.bounds.max_message)
    return decode_errors.public_error(decode_error, codec.plan.label)


cdef object read(_Codec codec, object data, Py_ssize_t start, Reading* reading):
    # The value that starts at `start`.
    cdef Py_buffer view
    cdef Py_ssize_t size
    if PyBytes_CheckExact(<PyObject*>data):
        size = PyBytes_GET_SIZE(<PyObject*>data)
        return read_from(codec, <const unsigned char*>PyBytes_AS_STRING(<PyObject*>data), size, start, reading)
    if PyObject_GetBuffer(<PyObject*>data, &view, PyBUF_SIMPLE) < 0:
        reraise()
    try:
        return read_from(codec, <const unsigned char*>view.buf, view.len, start, reading)
    finally:
        PyBuffer_Release(&view)


cdef class StructCodec(_Codec):
    """A `StructCodec` of `idlrt.serialization.base`.

    Args:
        cls: a generated class.
        protocol: `binary`, `compact` or `json`.
        limits: `idlrt.Limits`.
    """

    def __init__(self, object cls, str protocol, object limits):
        self.plan = plan_of_class(cls)
        self.bind(protocol, limits)

    def encode(self, value, /):
        """Return the bytes of `value`."""
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
        """Return the value at `start`, and the offset after it."""
        cdef Reading reading
        reading.received = 0
        value = read(self, data, start, &reading)
        return value, reading.after

    def decode_whole(self, data, /):
        """Return the value of which `data` consists."""
        cdef Reading reading
        reading.received = 0
        value = read(self, data, 0, &reading)
        if reading.after != reading.size:
            raise decode_errors.trailing_bytes(self.plan.label, reading.after, reading.size)
        return value


cdef class RecordCodec(_Codec):
    """A `RecordCodec` of `idlrt.serialization.base`.

    Args:
        fields: the table.
        defaults: the value of an absent field, or a function that makes one; `None` where it is shorter.
        label: the root of paths in errors.
        protocol: `binary`, `compact` or `json`.
        limits: `idlrt.Limits`.
    """

    cdef tuple fields
    cdef int64_t root, per_byte  # see `_decoded_size.Costs`

    def __init__(self, tuple fields, tuple defaults, str label, str protocol, object limits):
        self.fields = fields
        self.plan = plan_of_record(fields, defaults, label)
        self.bind(protocol, limits)
        costs = decoded_size.costs_of_record(fields, *SMALLEST_OF[protocol])
        self.root, self.per_byte = costs.root, costs.per_byte

    cdef str refused(self, tuple record, object error):
        text_errors = text_errors_of(&self.bounds)
        return explain.explain_record(self.fields, record, error, self.bounds.max_depth, self.plan.label, text_errors)

    def encode(self, values, /):
        """Return the bytes of `values`, in table order; `None` is omitted."""
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

    def decode(self, data, Py_ssize_t start=0, Py_ssize_t received=0):
        """Return a value for each field in table order, and the offset after them."""
        cdef Reading reading
        reading.received = received
        value = read(self, data, start, &reading)
        return value, reading.after

    def decode_measured(self, data, Py_ssize_t start=0, Py_ssize_t received=0):
        """Decode as `decode`; also return an upper bound of the memory of the values, in bytes."""
        cdef Reading reading
        reading.received = received
        value = read(self, data, start, &reading)
        return value, reading.after, budget_of(&self.bounds, received or reading.size - start) - reading.budget

    def message(self, values, bytes before not None, int32_t sequence_id, bytes after not None, bint is_framed):
        """Return a whole message: its length (if it is framed), its head and `values`.

        Args:
            values: one for each field.
            before: bytes of the head before the sequence id.
            after: bytes of the head after it.
            is_framed: whether the message starts with its length.

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
