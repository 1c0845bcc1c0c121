# Cells of monitoring: a histogram as words of an arena, which one thread writes to. The same as `idlrt.observe.cells.Cell`.

cdef struct CellHead:
    # Words before the buckets.
    uint64_t total
    uint64_t least
    uint64_t most
    uint64_t received
    uint64_t sent

cdef int SUB_BUCKET_BITS = 6
cdef int64_t MAX_DURATION = (<int64_t>1 << 42) - 1
cdef double LONGEST_DURATION = 4e18
cdef uint64_t MAX_SUM = 0xFFFFFFFFFFFFFFFF


cdef inline int64_t bucket_of(int64_t value) noexcept:
    # As `idlrt.observe.histogram.bucket_index`.
    cdef int shift
    if value > MAX_DURATION:
        value = MAX_DURATION
    if value < (2 << SUB_BUCKET_BITS):
        return value
    shift = bit_length(<uint64_t>value) - SUB_BUCKET_BITS - 1
    return (<int64_t>shift << SUB_BUCKET_BITS) + (value >> shift)


# It refers to no object that refers to it. The collector must not clear the words before the cell has released them.
@cython.no_gc
cdef class Cell:
    """Histogram that one thread writes to.

    Args:
        words: writable memory of 64-bit words.
    """

    cdef readonly object words
    cdef Py_buffer view
    cdef CellHead* head
    cdef uint64_t* buckets
    cdef bint is_empty

    def __cinit__(self, words):
        self.head = NULL
        self.is_empty = True
        if PyObject_GetBuffer(<PyObject*>words, &self.view, PyBUF_WRITABLE) < 0:
            reraise()
        self.head = <CellHead*>self.view.buf
        self.buckets = <uint64_t*>self.view.buf + sizeof(CellHead) // sizeof(uint64_t)
        self.words = words
        if self.view.len < <Py_ssize_t>(sizeof(CellHead) + (bucket_of(MAX_DURATION) + 1) * sizeof(uint64_t)):
            raise ValueError("a cell needs more memory")

    def __dealloc__(self):
        if self.head != NULL:
            PyBuffer_Release(&self.view)

    def add(self, int64_t nanoseconds):
        """Add a duration; a negative one counts as 0."""
        self.put(nanoseconds)

    def add_call(self, double seconds, int64_t received, int64_t sent):
        """Add a call: its duration in seconds, and the bytes of its messages."""
        cdef double nanoseconds = seconds * 1e9 + 0.5
        # NaN is not greater than anything.
        if nanoseconds > LONGEST_DURATION:
            nanoseconds = LONGEST_DURATION
        self.put(<int64_t>nanoseconds if nanoseconds > 0 else 0)
        self.head.received += <uint64_t>received
        self.head.sent += <uint64_t>sent

    cdef void put(self, int64_t value) noexcept:
        cdef CellHead* head = self.head
        cdef uint64_t number
        if value < 0:
            value = 0
        number = <uint64_t>value
        self.buckets[bucket_of(value)] += 1
        head.total = head.total + number if number <= MAX_SUM - head.total else MAX_SUM
        if self.is_empty or number < head.least:
            head.least = number
        if number > head.most:
            head.most = number
        self.is_empty = False
