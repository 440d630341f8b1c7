/* Atomic words in any writable buffer: for the message server, which is written in Python. */
#ifndef KOS_PYTHON_SHARED_MEMORY_H
#define KOS_PYTHON_SHARED_MEMORY_H

#include "python_abi.h"

PyObject *shared_memory_atomic_add(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *shared_memory_futex_wake(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif /* KOS_PYTHON_SHARED_MEMORY_H */
