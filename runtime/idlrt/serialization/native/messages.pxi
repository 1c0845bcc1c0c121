# Whole messages, for framed binary and compact: what a server does for each call in one go. Splitting frames, the head,
# the arguments; and the length, the head and the result of a response.
#
# Unusual messages (another form of the head, an unknown name) are left to the pure code, so that decisions and messages
# are in one place.

cdef struct MessageHeader:
    int kind
    const unsigned char* name
    Py_ssize_t name_size
    int32_t sequence_id
    Py_ssize_t start  # where the body begins

cdef bint find_head(Protocol protocol, const unsigned char* p, Py_ssize_t size, MessageHeader* head) noexcept:
    # Whether a message begins as usual.
    cdef Input s
    cdef Bounds bounds
    cdef uint64_t number = 0
    cdef int rest = 0
    if protocol == IN_BINARY:
        if size < 12 or get_32(p) >> 8 != 0x800100:
            return False
        head.kind = p[3]
        head.name_size = get_32(p + 4)
        if head.name_size > size - 12:
            return False
        head.name = p + 8
        head.sequence_id = signed_32(get_32(p + 8 + head.name_size))
        head.start = 12 + head.name_size
    else:
        if size < 4 or p[0] != 0x82 or p[1] & 0x1F != 1:
            return False
        memset(&bounds, 0, sizeof(Bounds))
        open_input(&s, p, 2, size, protocol, &bounds, 0)
        if read_varint(&s, 5, &number, &rest) < 0 or number >> 32:
            close_input(&s)
            return False
        head.kind = p[1] >> 5
        head.name_size = read_compact_length(&s)
        if head.name_size < 0 or head.name_size > left(&s):
            close_input(&s)
            return False
        head.name = s.p
        head.sequence_id = signed_32(<uint32_t>number)
        head.start = s.p + head.name_size - p
    return head.kind == CALL or head.kind == ONEWAY

# Calls that arrive together wait for each other. The first is handled at once; of the others, arguments are decoded
# ahead up to this much memory in total. The rest stays encoded until its turn.
cdef int64_t READ_AHEAD = 256 << 10

cdef enum MessageKinds:
    CALL = 1, ONEWAY = 4


cdef class FramedRequestReader:
    """Splits the input of one client into frames and reads their calls.

    A `RequestReader` of `idlrt.protocol.thrift.request_readers`.

    Args:
        dialect: framed binary or framed compact.
        methods: served methods by name on the wire.
        arguments_of: returns the `RecordCodec` of a method's arguments in a dialect.
        event: `ThriftRequest`.
        trailing_bytes: creates the error for trailing bytes after the arguments of a method, from the offset and the size.
        read: creates the request of `(message, metadata, number, size)` if the head is unusual.
        empty: empty metadata and empty typed values.
    """

    cdef object dialect, methods, arguments_of, event, trailing_bytes, read
    cdef object metadata, context  # of the next request
    cdef bint is_unordered
    cdef dict known     # name → (name, method, codec of the arguments)
    cdef Protocol protocol
    cdef Py_ssize_t max_name
    cdef Py_ssize_t most
    cdef str limit
    cdef unsigned char* kept  # the beginning of a frame that is not complete
    cdef Py_ssize_t size
    cdef Py_ssize_t room
    cdef int64_t ahead  # memory left for arguments that are decoded ahead, in bytes
    cdef bint is_busy

    def __init__(self, dialect, methods, arguments_of, event, trailing_bytes, read, tuple empty):
        limits = dialect.envelope.limits
        self.dialect, self.methods, self.arguments_of = dialect, methods, arguments_of
        self.event, self.trailing_bytes, self.read = event, trailing_bytes, read
        self.metadata, self.context = empty
        self.known = {}
        self.protocol = PROTOCOLS[dialect.envelope.name]
        self.max_name = min(limits.max_string, 1 << 60)
        self.limit = "max_frame" if limits.max_frame <= limits.max_message else "max_message"
        self.most = min(limits.max_frame, limits.max_message)

    def __dealloc__(self):
        PyMem_Free(self.kept)

    @property
    def is_empty(self):
        """Whether nothing of an unfinished frame has arrived."""
        return self.size == 0

    def receive(self, bytes data not None, list events not None):
        """Add what `data` completes to `events`.

        Raises:
            RemoteProtocolError: the stream is invalid; nothing can be read any more.
        """
        cdef Py_ssize_t used, size = PyBytes_GET_SIZE(<PyObject*>data)
        cdef const unsigned char* p = <const unsigned char*>PyBytes_AS_STRING(<PyObject*>data)
        if self.is_busy:
            raise RuntimeError("cannot receive data: the connection is already reading (reentrant call)")
        self.is_busy = True
        self.ahead = READ_AHEAD
        try:
            if self.size == 0:
                used = self.cut(p, size, events)
                self.keep(p + used, size - used)
            else:
                self.keep(p, size)
                used = self.cut(self.kept, self.size, events)
                if used:
                    self.size -= used
                    memmove(self.kept, self.kept + used, self.size)
        finally:
            self.is_busy = False

    cdef int keep(self, const unsigned char* p, Py_ssize_t size) except -1:
        # Never more than has arrived: announced lengths are not trusted.
        cdef Py_ssize_t wanted = self.size + size
        cdef unsigned char* kept
        if size == 0:
            return 0
        if wanted > self.room:
            kept = <unsigned char*>PyMem_Realloc(self.kept, wanted + wanted // 2)
            if kept == NULL:
                raise MemoryError
            self.kept = kept
            self.room = wanted + wanted // 2
        memcpy(self.kept + self.size, p, size)
        self.size = wanted
        return 0

    cdef Py_ssize_t cut(self, const unsigned char* p, Py_ssize_t size, list events) except -1:
        # How many bytes whole frames took.
        cdef Py_ssize_t used = 0, length
        while size - used >= 4:
            length = get_32(p + used)
            if length > self.most:
                what = f"the limit is {self.limit}={self.most}"
                raise RemoteProtocolError(f"cannot read a frame of {length} bytes: {what}")
            if size - used - 4 < length:
                break
            events.append(self.call(p + used + 4, length, not events))
            used += 4 + length
        return used

    cdef object call(self, const unsigned char* p, Py_ssize_t size, bint is_first):
        # The request in a frame.
        request = self.request(p, size, is_first, 0, size)
        return self.read(bytes_at(p, size), self.metadata, 0, size) if request is None else request

    cdef object request(
        self, const unsigned char* p, Py_ssize_t size, bint is_first, int32_t number, Py_ssize_t received
    ):
        # The request in a message; `None` if it is unusual. `number`: that of the frame, 0 if it has none.
        cdef MessageHeader head
        cdef PyObject* name
        cdef tuple entry
        if not find_head(self.protocol, p, size, &head) or head.name_size > self.max_name:
            return None
        name = make_key(head.name, head.name_size)
        if name == NULL:
            PyErr_Clear()
            return None
        key = <object>name
        DECREF(name)
        entry = self.known.get(key)
        if entry is None:
            method = self.methods.get(key)
            if method is None:
                return None
            entry = self.known[key] = (key, method, <RecordCodec?>self.arguments_of(method, self.dialect))
        if number:
            head.sequence_id = number
        if not is_first and (<RecordCodec>entry[2]).root + (<RecordCodec>entry[2]).per_byte * size > self.ahead:
            return self.event(
                head.sequence_id, key, entry[1], head.kind == ONEWAY, self.is_unordered, self.metadata, self.context,
                None, None, None, received, dialect=self.dialect, message=bytes_at(p, size), start=head.start
            )
        return self.made(entry, p, size, &head, received)

    cdef object made(
        self, tuple entry, const unsigned char* p, Py_ssize_t size, MessageHeader* head, Py_ssize_t received
    ):
        cdef RecordCodec codec = <RecordCodec>entry[2]
        cdef Input s
        cdef PyObject* values
        arguments, decode_error, decoded = None, None, 0
        open_input(&s, p, head.start, size, self.protocol, &codec.bounds, received)
        values = read_opened(&s, &codec.plan.layout)
        if values == NULL:
            decode_error = str(error_of(&s, codec.plan.label))
        else:
            arguments = <object>values
            DECREF(values)
            decoded = budget_of(&codec.bounds, received) - s.budget
            self.ahead -= <int64_t>decoded
            if s.p != s.end:
                arguments, decode_error = None, str(self.trailing_bytes(entry[1], s.p - s.start, size))
        return self.event(
            head.sequence_id, entry[0], entry[1], head.kind == ONEWAY, self.is_unordered, self.metadata, self.context,
            None, arguments, decode_error, received, decoded, dialect=self.dialect, message=b"", start=0
        )
