/*
 * The part of Python's stable ABI (PEP 384, version 3.11) that the extension module uses.
 *
 * Declared here and not taken from Python.h, because a machine that runs Python often lacks its headers, and a
 * cross-build would need those of every target. The stable ABI never changes, so neither does this file.
 * Object layouts are not part of it: PyObject stays opaque.
 */
#ifndef KOS_PYTHON_ABI_H
#define KOS_PYTHON_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef ssize_t Py_ssize_t;
typedef struct PyObject PyObject;
typedef struct PyThreadState PyThreadState;
typedef int PyGILState_STATE;

typedef PyObject *(*PyCFunctionFast)(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

typedef struct {
    const char *name;
    PyCFunctionFast function;
    int flags;
    const char *doc;
} PyMethodDef;

typedef struct {
    int slot;
    void *value;
} PyModuleDef_Slot;

typedef struct {
    struct {
        Py_ssize_t references;
        void *type;
        PyObject *(*init)(void);
        Py_ssize_t index;
        PyObject *copy;
    } base;
    const char *name;
    const char *doc;
    Py_ssize_t size;
    PyMethodDef *methods;
    PyModuleDef_Slot *slots;
    void *traverse;
    void *clear;
    void *free;
} PyModuleDef;

typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    char *format;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets;
    void *internal;
} Py_buffer;

#define METH_FASTCALL 0x0080
#define PyBUF_SIMPLE 0
#define PyBUF_WRITABLE 1
#define PyBUF_READ 0x100
#define PyBUF_WRITE 0x200

extern PyObject *PyExc_TypeError;
extern PyObject *PyExc_ValueError;
extern PyObject *PyExc_OverflowError;
extern PyObject *PyExc_OSError;
extern char _Py_NoneStruct[]; /* only its address is used */
#define Py_None ((PyObject *)_Py_NoneStruct)

PyObject *PyModuleDef_Init(PyModuleDef *definition);
void Py_IncRef(PyObject *object);
void Py_DecRef(PyObject *object);
PyObject *PyLong_FromUnsignedLongLong(unsigned long long value);
unsigned long long PyLong_AsUnsignedLongLong(PyObject *object);
long long PyLong_AsLongLong(PyObject *object);
PyObject *PyBytes_FromStringAndSize(const char *bytes, Py_ssize_t size);
PyObject *PyUnicode_FromString(const char *text);
const char *PyUnicode_AsUTF8AndSize(PyObject *object, Py_ssize_t *size);
PyObject *PyTuple_New(Py_ssize_t size);
int PyTuple_SetItem(PyObject *tuple, Py_ssize_t index, PyObject *item);
PyObject *PyMemoryView_FromMemory(char *memory, Py_ssize_t size, int flags);
int PyObject_GetBuffer(PyObject *object, Py_buffer *buffer, int flags);
void PyBuffer_Release(Py_buffer *buffer);
void PyErr_SetString(PyObject *type, const char *text);
void PyErr_SetObject(PyObject *type, PyObject *value);
PyObject *PyErr_SetFromErrno(PyObject *type);
PyObject *PyErr_Occurred(void);
int PyErr_CheckSignals(void);
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *state);
PyGILState_STATE PyGILState_Ensure(void);
void PyGILState_Release(PyGILState_STATE state);

#endif /* KOS_PYTHON_ABI_H */
