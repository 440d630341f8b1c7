/* Atomic words in any writable buffer, see shared_memory.h. */
#include "shared_memory.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The 32-bit word at an offset of a buffer; holds the buffer until it is released. */
static _Atomic uint32_t *word_at(PyObject *object, PyObject *offset_object, Py_buffer *buffer)
{
    long long offset = PyLong_AsLongLong(offset_object);
    if ((offset == -1 && PyErr_Occurred() != NULL) || PyObject_GetBuffer(object, buffer, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    if (offset < 0 || offset % 4 != 0 || offset > buffer->len - 4 || (uintptr_t)buffer->buf % 4 != 0) {
        PyErr_SetString(PyExc_ValueError, "offset must be a multiple of 4 inside the buffer");
        PyBuffer_Release(buffer);
        return NULL;
    }
    /* SAFETY: aligned and wholly inside a buffer that stays exported until the caller releases it. */
    return (_Atomic uint32_t *)((char *)buffer->buf + offset);
}

PyObject *shared_memory_atomic_add(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Py_buffer buffer;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "atomic_add takes buffer, offset, n");
        return NULL;
    }
    long long n = PyLong_AsLongLong(arguments[2]);
    if (n == -1 && PyErr_Occurred() != NULL) {
        return NULL;
    }
    _Atomic uint32_t *word = word_at(arguments[0], arguments[1], &buffer);
    if (word == NULL) {
        return NULL;
    }
    uint32_t result = atomic_fetch_add(word, (uint32_t)n) + (uint32_t)n;
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLongLong(result);
}

PyObject *shared_memory_futex_wake(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    Py_buffer buffer;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "futex_wake takes buffer, offset");
        return NULL;
    }
    _Atomic uint32_t *word = word_at(arguments[0], arguments[1], &buffer);
    if (word == NULL) {
        return NULL;
    }
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    PyBuffer_Release(&buffer);
    return woken < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromUnsignedLongLong((unsigned long long)woken);
}
