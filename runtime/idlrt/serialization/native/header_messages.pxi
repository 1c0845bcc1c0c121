# Requests behind a THeader.
#
# The decoded header is cached with its bytes, because most requests of a connection have the same header. A header that
# differs only in short pairs of metadata is read here too; all others, and invalid ones, are left to the pure code.

cdef enum HeaderSizes:
    FIXED = 10         # bytes before the header: magic number, flags, sequence id, size
    BEFORE_SIZE = 8
    MARK = 4           # magic number and flags
    PAIRS = 1          # the info with metadata
    MORE = 0x80        # from here on a varint is more than one byte
    LONGEST_DIGITS = 12

cdef bint digits_at(const unsigned char* p, Py_ssize_t size, int64_t* number) noexcept:
    # Whether there are digits, few enough for a number.
    cdef Py_ssize_t i
    if not 0 < size <= LONGEST_DIGITS:
        return False
    number[0] = 0
    for i in range(size):
        if not c'0' <= p[i] <= c'9':
            return False
        number[0] = number[0] * 10 + (p[i] - c'0')
    return True

cdef str text_at(const unsigned char* p, Py_ssize_t size):
    # `None` if it is not UTF-8.
    cdef PyObject* made = make_key(p, size)
    if made == NULL:
        PyErr_Clear()
        return None
    text = <object>made
    DECREF(made)
    return text


cdef class HeaderRequestReader(FramedRequestReader):
    """Splits the input of one client into frames and reads their requests.

    A `RequestReader` of `idlrt.protocol.thrift.request_readers`.

    Args:
        dialect, methods, arguments_of, event, trailing_bytes, empty: as of `FramedRequestReader`.
        read: creates the request of a frame in pure code.
        frame_decoder: opens frames for `read`; it has the content of the last header.
        limits: those of the framing.
        typed_from: creates the typed values and the rest of the metadata.
        typed: creates the typed values from a timeout, an attempt, a tag and a caller.
    """

    cdef object frame_decoder, typed_from, typed, no_metadata, no_context
    cdef dict known_by   # envelope → `known`
    cdef bint is_plain   # whether `mark`, `header` and their content are set, and messages have no transform
    cdef bytes mark      # see `HeaderFrameDecoder`
    cdef bytes header
    cdef bint can_learn  # whether there are only short pairs, within the limits
    cdef Py_ssize_t max_message

    def __init__(
        self, dialect, methods, arguments_of, event, trailing_bytes, read, tuple empty, frame_decoder, limits, typed_from, typed
    ):
        FramedRequestReader.__init__(self, dialect, methods, arguments_of, event, trailing_bytes, read, empty)
        self.no_metadata, self.no_context = empty
        self.frame_decoder, self.typed_from, self.typed = frame_decoder, typed_from, typed
        self.limit, self.most = "max_frame", min(limits.max_frame, 1 << 60)
        self.max_message = min(limits.max_message, 1 << 60)
        self.known_by = {}
        self.mark = self.header = b""

    cdef object call(self, const unsigned char* p, Py_ssize_t size, bint is_first):
        cdef Py_ssize_t start
        if self.is_plain and (self.is_same(p, size) or self.learn(p, size)):
            start = BEFORE_SIZE + PyBytes_GET_SIZE(<PyObject*>self.header)
            if size - start <= self.max_message:
                request = self.request(p + start, size - start, is_first, signed_32(get_32(p + MARK)), size)
                if request is not None:
                    return request
        return self.step_by_step(bytes_at(p, size))

    cdef bint is_same(self, const unsigned char* p, Py_ssize_t size) noexcept:
        # Whether a frame has the header that is kept.
        cdef Py_ssize_t length = PyBytes_GET_SIZE(<PyObject*>self.header)
        return (
            size >= BEFORE_SIZE + length
            and memcmp(p, PyBytes_AS_STRING(<PyObject*>self.mark), MARK) == 0
            and memcmp(p + BEFORE_SIZE, PyBytes_AS_STRING(<PyObject*>self.header), length) == 0
        )

    cdef bint learn(self, const unsigned char* p, Py_ssize_t size) except -1:
        # Whether the header of a frame is like the one that is kept, but for short pairs. Then it is kept instead.
        cdef const unsigned char* header = p + FIXED
        cdef Py_ssize_t at = FIXED + 4, end, value
        cdef int64_t milliseconds = -1
        cdef bint is_typed = True  # only a timeout, and who calls
        cdef int count
        if not self.can_learn or size < at or memcmp(p, PyBytes_AS_STRING(<PyObject*>self.mark), MARK) != 0:
            return False
        end = FIXED + 4 * <Py_ssize_t>get_16(p + BEFORE_SIZE)
        # The same protocol, and no transforms.
        if end > size or end < at or header[0] != <unsigned char>PyBytes_AS_STRING(<PyObject*>self.header)[2]:
            return False
        if header[1] != 0 or header[2] != PAIRS or header[3] >= MORE:
            return False
        found, caller = {}, ""
        for count in range(header[3]):
            if at >= end or p[at] >= MORE or at + 1 + p[at] >= end:
                return False
            value = at + 1 + p[at]
            if p[value] >= MORE or value + 1 + p[value] > end:
                return False
            name = text_at(p + at + 1, p[at])
            text = text_at(p + value + 1, p[value])
            if name is None or text is None:
                return False
            found[name] = text
            if p[at] == 14 and memcmp(p + at + 1, b"client_timeout", 14) == 0:
                is_typed = digits_at(p + value + 1, p[value], &milliseconds) and is_typed
            elif p[at] == 10 and memcmp(p + at + 1, b"rpc_caller", 10) == 0:
                caller = text
            else:
                is_typed = False
            at = value + 1 + p[value]
        # What follows is padding, or is skipped like it. Other pairs are not.
        if at < end and p[at] != 0:
            return False
        if is_typed and milliseconds >= 0:
            self.context, self.metadata = self.typed(milliseconds / <double>1000, 0, "", caller), self.no_metadata
        elif found:
            self.context, self.metadata = self.typed_from(MappingProxyType(found))
        else:
            self.context, self.metadata = self.no_context, self.no_metadata
        self.header = bytes_at(p + BEFORE_SIZE, end - BEFORE_SIZE)
        return True

    cdef object step_by_step(self, bytes frame):
        self.is_plain = False
        request = self.read(frame)
        frame_decoder = self.frame_decoder
        if frame_decoder.is_plain and frame_decoder.dialect.is_native:
            self.dialect = frame_decoder.dialect
            self.protocol = PROTOCOLS[self.dialect.envelope.name]
            self.is_unordered = self.dialect.framing.is_unordered
            self.known = self.known_by.setdefault(self.dialect.envelope, {})
            self.context, self.metadata = self.typed_from(frame_decoder.metadata)
            self.mark, self.header = frame_decoder.mark, frame_decoder.header
            self.can_learn = frame_decoder.accepts_short and not frame_decoder.persistent
            self.is_plain = True
        return request
