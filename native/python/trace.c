/* Tracing for Python: an app's own marks; rings and mailboxes for the trace server. See kos/trace.h. */
#include "trace.h"

#include <stdlib.h>

FUNCTION(trace_mark)
{
    (void)module;
    kos_word_t label;
    kos_word_t param;
    if (!expect(count, 2) || !get_word(arguments[0], &label) || !get_word(arguments[1], &param)) {
        return NULL;
    }
    kos_trace_mark(label, param);
    return none();
}

/* trace_next(number before) → number, caller id, bytes of a record, bytes of the ring, app's name, descriptor */
FUNCTION(trace_next)
{
    (void)module;
    kos_word_t after;
    kos_trace_ring_t ring;
    kos_status_t status;
    if (!expect(count, 1) || !get_word(arguments[0], &after)) {
        return NULL;
    }
    WAITING(status = kos_trace_next((uint32_t)after, &ring));
    PyObject *tuple = status == STATUS_OK ? PyTuple_New(6) : raise_status(status);
    if (tuple != NULL) {
        PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(ring.number));
        PyTuple_SetItem(tuple, 1, PyLong_FromUnsignedLongLong(ring.caller_id));
        PyTuple_SetItem(tuple, 2, PyLong_FromUnsignedLongLong(ring.record_size));
        PyTuple_SetItem(tuple, 3, PyLong_FromUnsignedLongLong(ring.size));
        PyTuple_SetItem(tuple, 4, PyUnicode_FromString(ring.app));
        PyTuple_SetItem(tuple, 5, PyLong_FromUnsignedLongLong((unsigned long long)ring.fd));
    }
    return tuple;
}

/* trace_peers(mailbox before) → bytes */
FUNCTION(trace_peers)
{
    (void)module;
    kos_word_t after;
    size_t size;
    kos_status_t status;
    uint8_t data[KOS_MSG_PAYLOAD_MAX_SIZE];
    if (!expect(count, 1) || !get_word(arguments[0], &after)) {
        return NULL;
    }
    WAITING(status = kos_trace_peers((uint32_t)after, data, &size));
    return status == STATUS_OK ? PyBytes_FromStringAndSize((char *)data, (Py_ssize_t)size) : raise_status(status);
}

/* A ring that was mapped whole; false and an exception when the buffer is smaller. */
static bool get_ring(PyObject *object, kos_word_t record_size, Py_buffer *buffer)
{
    if (PyObject_GetBuffer(object, buffer, PyBUF_SIMPLE) < 0) {
        return false;
    }
    bool known = record_size == KOS_TRACE_RECORD_SIZE || record_size == KOS_TRACE_RECORD_SIZE_PAYLOADS;
    if (!known || buffer->len < (Py_ssize_t)(KOS_TRACE_HEADER_SIZE + KOS_TRACE_ENTRIES * record_size)) {
        PyErr_SetString(PyExc_ValueError, "not a ring with records of that size");
        PyBuffer_Release(buffer);
        return false;
    }
    return true;
}

/* trace_read(ring, bytes of a record, number to begin with, bytes at most) → first number, bytes */
FUNCTION(trace_read)
{
    (void)module;
    kos_word_t words[3];
    Py_buffer ring;
    if (!expect(count, 4) || !get_word(arguments[1], &words[0]) || !get_word(arguments[2], &words[1]) ||
        !get_word(arguments[3], &words[2]) || !get_ring(arguments[0], words[0], &ring)) {
        return NULL;
    }
    uint32_t cursor = (uint32_t)words[1];
    uint32_t first = cursor;
    char *room = malloc(words[2] > 0 ? words[2] : 1);
    PyObject *tuple = room != NULL ? PyTuple_New(2) : raise_status(STATUS_NOT_ENOUGH_MEMORY);
    if (tuple != NULL) {
        uint32_t found = kos_trace_read(ring.buf, (uint32_t)words[0], &cursor, room, words[2], &first);
        PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(first));
        PyTuple_SetItem(tuple, 1, PyBytes_FromStringAndSize(room, (Py_ssize_t)(found * words[0])));
    }
    free(room);
    PyBuffer_Release(&ring);
    return tuple;
}

/* trace_counts(ring, bytes of a record) → records written, records left out */
FUNCTION(trace_counts)
{
    (void)module;
    kos_word_t record_size;
    Py_buffer ring;
    uint32_t head;
    uint32_t dropped;
    if (!expect(count, 2) || !get_word(arguments[1], &record_size) ||
        !get_ring(arguments[0], record_size, &ring)) {
        return NULL;
    }
    kos_trace_counts(ring.buf, &head, &dropped);
    PyBuffer_Release(&ring);
    PyObject *pair = PyTuple_New(2);
    if (pair != NULL) {
        PyTuple_SetItem(pair, 0, PyLong_FromUnsignedLongLong(head));
        PyTuple_SetItem(pair, 1, PyLong_FromUnsignedLongLong(dropped));
    }
    return pair;
}
