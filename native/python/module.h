/* What the parts of kos.app._native share: arguments in, results out, the interpreter's lock. */
#ifndef KOS_PYTHON_MODULE_H
#define KOS_PYTHON_MODULE_H

#include <kos.h>

#include "python_abi.h"

/* Whether as many arguments came as wanted; else an exception is set. */
bool expect(Py_ssize_t count, Py_ssize_t wanted);
/* Register-sized: what does not fit is an error, never cut. */
bool get_word(PyObject *object, kos_word_t *word);
PyObject *raise_status(kos_status_t status);
PyObject *none(void);

#define WAITING(statement)                        \
    do {                                          \
        PyThreadState *saved = PyEval_SaveThread(); \
        statement;                                \
        PyEval_RestoreThread(saved);              \
    } while (0)

/* A function of the module. */
#define FUNCTION(name) PyObject *name(PyObject *module, PyObject *const *arguments, Py_ssize_t count)

#endif /* KOS_PYTHON_MODULE_H */
