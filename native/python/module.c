/*
 * kos.app._native: the calls of libkos for Python. A thin layer: types in and out, the interpreter's lock released
 * around whatever may wait, a status that is no success raised as the class that `register` named.
 */
#include <string.h>
#include <sys/mman.h>

#include <kos.h>
#include <kos/hooks.h>

#include "module.h"
#include "shared_memory.h"
#include "trace.h"

static PyObject *status_error;

/* --- arguments and results ------------------------------------------------------------------------------------ */

bool expect(Py_ssize_t count, Py_ssize_t wanted)
{
    if (count != wanted) {
        PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
        return false;
    }
    return true;
}

/* Register-sized: what does not fit is an error, never cut. */
bool get_word(PyObject *object, kos_word_t *word)
{
    unsigned long long value = PyLong_AsUnsignedLongLong(object);
    if (value == (unsigned long long)-1 && PyErr_Occurred() != NULL) {
        return false;
    }
    if (value > (kos_word_t)-1) {
        PyErr_SetString(PyExc_OverflowError, "the number does not fit a register of this machine");
        return false;
    }
    *word = (kos_word_t)value;
    return true;
}

static bool get_slot(PyObject *object, kos_token_t *token)
{
    kos_word_t word;
    if (!get_word(object, &word)) {
        return false;
    }
    *token = word < KOS_MSG_TOKENS_PER_APP ? (kos_token_t)word : KOS_MSG_TOKENS_PER_APP;
    return true;
}

PyObject *raise_status(kos_status_t status)
{
    if (PyErr_Occurred() == NULL) { /* else a signal handler raised while we waited */
        PyObject *value = PyLong_FromUnsignedLongLong(status);
        PyErr_SetObject(status_error, value);
        Py_DecRef(value);
    }
    return NULL;
}

PyObject *none(void)
{
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *status_or_none(kos_status_t status)
{
    return status == STATUS_OK || status == STATUS_CREATED || status == STATUS_PONG ? none() : raise_status(status);
}

/* Copy an outgoing payload into a thread's buffer; None is empty. */
static bool get_payload(PyObject *object, void *room, uint16_t *size)
{
    *size = 0;
    if (object == Py_None) {
        return true;
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(object, &buffer, PyBUF_SIMPLE) < 0) {
        return false;
    }
    bool fits = buffer.len <= (Py_ssize_t)KOS_MSG_PAYLOAD_MAX_SIZE;
    if (fits) {
        memcpy(room, buffer.buf, (size_t)buffer.len);
        *size = (uint16_t)buffer.len;
    } else {
        PyErr_SetString(PyExc_ValueError, "a payload has at most 4096 bytes");
    }
    PyBuffer_Release(&buffer);
    return fits;
}

/* label, param, payload, token from four arguments. */
static bool get_message(PyObject *const *arguments, void *room, kos_msg_t *msg)
{
    kos_word_t label;
    kos_word_t param;
    uint16_t size;
    kos_token_t token;
    if (!get_word(arguments[0], &label) || !get_word(arguments[1], &param) ||
        !get_payload(arguments[2], room, &size) || !get_slot(arguments[3], &token)) {
        return false;
    }
    if (token >= KOS_MSG_TOKENS_PER_APP) {
        PyErr_SetString(PyExc_ValueError, "there is no such token slot");
        return false;
    }
    *msg = kos_msg_new(label, param, size, token, 0);
    return true;
}

static PyObject *message_tuple(const kos_msg_t *msg, const void *payload, const kos_word_t *extra,
                               Py_ssize_t extra_count)
{
    PyObject *tuple = PyTuple_New(4 + extra_count);
    if (tuple == NULL) {
        return NULL;
    }
    PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(msg->label));
    PyTuple_SetItem(tuple, 1, PyLong_FromUnsignedLongLong(msg->param));
    PyTuple_SetItem(tuple, 2, PyBytes_FromStringAndSize(payload, kos_msg_payload_size(msg->metadata)));
    PyTuple_SetItem(tuple, 3, PyLong_FromUnsignedLongLong(kos_msg_transfer_token(msg->metadata)));
    for (Py_ssize_t i = 0; i < extra_count; i++) {
        PyTuple_SetItem(tuple, 4 + i, PyLong_FromUnsignedLongLong(extra[i]));
    }
    if (PyErr_Occurred() != NULL) {
        Py_DecRef(tuple);
        return NULL;
    }
    return tuple;
}

/* A signal came while libkos waits: let Python's handlers run; true when one of them raised. */
static bool run_signal_handlers(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    bool raised = PyErr_CheckSignals() != 0;
    PyGILState_Release(state);
    return raised;
}

/* --- life ----------------------------------------------------------------------------------------------------- */

static FUNCTION(py_register)
{
    (void)module;
    if (!expect(count, 1)) {
        return NULL;
    }
    Py_IncRef(arguments[0]);
    status_error = arguments[0];
    return none();
}

static FUNCTION(py_setup)
{
    (void)module, (void)arguments;
    kos_status_t status;
    if (!expect(count, 0)) {
        return NULL;
    }
    WAITING(status = kos_msg_setup());
    return status_or_none(status);
}

static FUNCTION(py_ready)
{
    (void)module, (void)arguments;
    kos_status_t status;
    if (!expect(count, 0)) {
        return NULL;
    }
    WAITING(status = kos_app_ready());
    return status_or_none(status);
}

static FUNCTION(py_ping)
{
    (void)module, (void)arguments;
    kos_status_t status;
    if (!expect(count, 0)) {
        return NULL;
    }
    WAITING(status = kos_msg_ping());
    return status_or_none(status);
}

static FUNCTION(py_app_name)
{
    (void)module;
    kos_word_t caller;
    char name[KOS_ABI_APP_NAME_MAX + 1];
    kos_status_t status;
    if (!expect(count, 1) || !get_word(arguments[0], &caller)) {
        return NULL;
    }
    WAITING(status = kos_msg_app_name(caller, name, sizeof name));
    return status == STATUS_OK ? PyUnicode_FromString(name) : raise_status(status);
}

/* --- directory ------------------------------------------------------------------------------------------------ */

static FUNCTION(py_bind)
{
    (void)module;
    kos_word_t words[3];
    kos_status_t status;
    const char *port = count == 4 ? PyUnicode_AsUTF8AndSize(arguments[0], NULL) : NULL;
    if (!expect(count, 4) || port == NULL || !get_word(arguments[1], &words[0]) ||
        !get_word(arguments[2], &words[1]) || !get_word(arguments[3], &words[2])) {
        return NULL;
    }
    WAITING(status = kos_dir_bind(port, words[0], words[1], words[2]));
    return status_or_none(status);
}

static PyObject *port_call(PyObject *const *arguments, Py_ssize_t count, kos_status_t (*call)(const char *))
{
    kos_status_t status;
    const char *port = count == 1 ? PyUnicode_AsUTF8AndSize(arguments[0], NULL) : NULL;
    if (!expect(count, 1) || port == NULL) {
        return NULL;
    }
    WAITING(status = call(port));
    return status_or_none(status);
}

static FUNCTION(py_unbind)
{
    (void)module;
    return port_call(arguments, count, kos_dir_unbind);
}

static FUNCTION(py_query)
{
    (void)module;
    return port_call(arguments, count, kos_dir_query);
}

/* request(port, reply_flags, param, payload) → label, param, payload, slot of the token or 0 */
static FUNCTION(py_request)
{
    (void)module;
    kos_word_t flags;
    kos_word_t param;
    uint16_t size;
    kos_token_t slot = 0;
    const char *port = count == 4 ? PyUnicode_AsUTF8AndSize(arguments[0], NULL) : NULL;
    if (!expect(count, 4) || port == NULL || !get_word(arguments[1], &flags) || !get_word(arguments[2], &param) ||
        !get_payload(arguments[3], kos_msg_client_payload(), &size)) {
        return NULL;
    }
    kos_msg_t msg = kos_msg_new(0, param, size, 0, 0);
    kos_status_t status = kos_msg_token_slot_pool_alloc(&slot);
    if (status == STATUS_OK) {
        WAITING(status = kos_dir_request(port, slot, flags, &msg));
        if (status != STATUS_OK || kos_msg_transfer_token(msg.metadata) == 0) {
            kos_msg_token_slot_pool_free(slot);
        }
    }
    return status == STATUS_OK ? message_tuple(&msg, kos_msg_client_payload(), NULL, 0) : raise_status(status);
}

/* --- messages ------------------------------------------------------------------------------------------------- */

/* call(slot, reply_flags, label, param, payload, token) → label, param, payload, slot of a token or 0 */
static FUNCTION(py_call)
{
    (void)module;
    kos_token_t slot;
    kos_word_t flags;
    kos_msg_t msg;
    kos_token_t landing = 0;
    kos_status_t status = STATUS_OK;
    if (!expect(count, 6) || !get_slot(arguments[0], &slot) || !get_word(arguments[1], &flags) ||
        !get_message(arguments + 2, kos_msg_client_payload(), &msg)) {
        return NULL;
    }
    if ((flags & KOS_MSG_FLAG_SEND_TOKEN) != 0) {
        /* A token in the reply goes straight into the slot that it stays in. */
        kos_msg_client_t client = {0};
        status = kos_msg_token_slot_pool_alloc(&landing);
        if (status == STATUS_OK && kos_msg_client_create(0, landing, &client) != STATUS_CREATED) {
            status = STATUS_UNAVAILABLE;
        }
    }
    if (status == STATUS_OK) {
        WAITING(status = kos_msg_call(slot, flags, &msg));
    }
    if (landing != 0 && (status != STATUS_OK || kos_msg_transfer_token(msg.metadata) == 0)) {
        kos_msg_token_slot_pool_free(landing);
    }
    return status == STATUS_OK ? message_tuple(&msg, kos_msg_client_payload(), NULL, 0) : raise_status(status);
}

static FUNCTION(py_send)
{
    (void)module;
    kos_token_t slot;
    kos_msg_t msg;
    kos_status_t status;
    if (!expect(count, 5) || !get_slot(arguments[0], &slot) ||
        !get_message(arguments + 1, kos_msg_client_payload(), &msg)) {
        return NULL;
    }
    WAITING(status = kos_msg_send(slot, msg));
    return status_or_none(status);
}

/* queue_send(slot, label, at most 56 bytes) */
static FUNCTION(py_queue_send)
{
    (void)module;
    kos_token_t slot;
    kos_queue_msg_t msg = {0};
    Py_buffer buffer;
    if (!expect(count, 3) || !get_slot(arguments[0], &slot) || !get_word(arguments[1], &msg.label) ||
        PyObject_GetBuffer(arguments[2], &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    bool fits = buffer.len <= (Py_ssize_t)sizeof msg.bytes;
    if (fits) {
        memcpy(msg.bytes, buffer.buf, (size_t)buffer.len);
    }
    PyBuffer_Release(&buffer);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "a queued message has at most 56 bytes");
        return NULL;
    }
    return status_or_none(kos_msg_queue_send(slot, &msg));
}

/* The slot in which this thread's next received token lands; taken anew once a token went away in it. */
static _Thread_local kos_token_t landing_slot;

static kos_status_t prepare_landing(bool tokens)
{
    kos_msg_server_t server = {0};
    if (tokens && landing_slot == 0 && kos_msg_token_slot_pool_alloc(&landing_slot) != STATUS_OK) {
        landing_slot = 0; /* no room: who sends a token is refused until there is */
    }
    return kos_msg_server_create(0, 0, tokens ? landing_slot : 0, &server);
}

/*
 * reply_receive(label, param, payload, token, accept tokens, microseconds or -1)
 * → label, param, payload, slot of a token or 0, badge, caller id, marks
 */
static FUNCTION(py_reply_receive)
{
    (void)module;
    kos_msg_t msg;
    kos_word_t extra[3] = {0};
    kos_word_t tokens;
    if (!expect(count, 6) || !get_message(arguments, kos_msg_server_payload(), &msg) ||
        !get_word(arguments[4], &tokens)) {
        return NULL;
    }
    long long wait = PyLong_AsLongLong(arguments[5]);
    if (wait == -1 && PyErr_Occurred() != NULL) {
        return NULL;
    }
    kos_status_t status = prepare_landing(tokens != 0);
    if (status == STATUS_CREATED && wait < 0) {
        WAITING(status = kos_msg_reply_receive(&msg, &extra[0], &extra[1]));
    } else if (status == STATUS_CREATED) {
        WAITING(status = kos_msg_reply_receive_for(&msg, &extra[0], &extra[1], (uint64_t)wait));
    }
    if (status != STATUS_OK) {
        return raise_status(status);
    }
    if (kos_msg_transfer_token(msg.metadata) != 0) {
        landing_slot = 0;
    }
    extra[2] = msg.metadata & (KOS_ABI_METADATA_QUEUED | KOS_ABI_METADATA_ONE_WAY);
    return message_tuple(&msg, kos_msg_server_payload(), extra, 3);
}

/* reply(label, param, payload, token): answer the last caller without waiting for another */
static FUNCTION(py_reply)
{
    (void)module;
    kos_msg_t msg;
    kos_status_t status;
    if (!expect(count, 4) || !get_message(arguments, kos_msg_server_payload(), &msg)) {
        return NULL;
    }
    WAITING(status = kos_msg_reply(msg));
    return status_or_none(status);
}

static FUNCTION(py_queue_dropped)
{
    (void)module;
    kos_word_t badge;
    kos_word_t dropped;
    if (!expect(count, 1) || !get_word(arguments[0], &badge)) {
        return NULL;
    }
    kos_status_t status = kos_msg_queue_dropped(badge, &dropped);
    return status == STATUS_OK ? PyLong_FromUnsignedLongLong(dropped) : raise_status(status);
}

/* --- tokens --------------------------------------------------------------------------------------------------- */

/* token_create(badge, flags) → slot */
static FUNCTION(py_token_create)
{
    (void)module;
    kos_word_t badge;
    kos_word_t flags;
    kos_token_t slot;
    if (!expect(count, 2) || !get_word(arguments[0], &badge) || !get_word(arguments[1], &flags)) {
        return NULL;
    }
    kos_status_t status = kos_msg_token_slot_pool_alloc(&slot);
    if (status == STATUS_OK) {
        WAITING(status = kos_msg_token_create(badge, flags, slot));
        if (status != STATUS_CREATED) {
            kos_msg_token_slot_pool_free(slot);
        }
    }
    return status == STATUS_CREATED ? PyLong_FromUnsignedLongLong(slot) : raise_status(status);
}

static FUNCTION(py_token_free)
{
    (void)module;
    kos_token_t slot;
    kos_status_t status;
    if (!expect(count, 1) || !get_slot(arguments[0], &slot)) {
        return NULL;
    }
    WAITING(status = kos_msg_token_slot_pool_free(slot));
    return status_or_none(status);
}

static FUNCTION(py_token_info)
{
    (void)module;
    kos_token_t slot;
    kos_word_t flags;
    if (!expect(count, 1) || !get_slot(arguments[0], &slot)) {
        return NULL;
    }
    kos_status_t status = kos_msg_token_info(slot, &flags);
    return status == STATUS_OK ? PyLong_FromUnsignedLongLong(flags) : raise_status(status);
}

static FUNCTION(py_token_revoke)
{
    (void)module;
    kos_word_t badge;
    kos_status_t status;
    if (!expect(count, 1) || !get_word(arguments[0], &badge)) {
        return NULL;
    }
    WAITING(status = kos_msg_token_revoke(badge));
    return status_or_none(status);
}

/* --- shared buffers: mapped for the life of the process, so that no view of them can outlive the memory -------- */

/* buffer_create(size) → slot, writable memoryview */
static FUNCTION(py_buffer_create)
{
    (void)module;
    kos_word_t size;
    kos_token_t slot;
    void *memory = NULL;
    if (!expect(count, 1) || !get_word(arguments[0], &size)) {
        return NULL;
    }
    kos_status_t status = kos_msg_token_slot_pool_alloc(&slot);
    if (status == STATUS_OK) {
        WAITING(status = kos_msg_buffer_create(size, slot, &memory));
        if (status != STATUS_CREATED) {
            kos_msg_token_slot_pool_free(slot);
        }
    }
    if (status != STATUS_CREATED) {
        return raise_status(status);
    }
    PyObject *pair = PyTuple_New(2);
    if (pair != NULL) {
        PyTuple_SetItem(pair, 0, PyLong_FromUnsignedLongLong(slot));
        PyTuple_SetItem(pair, 1, PyMemoryView_FromMemory(memory, (Py_ssize_t)size, PyBUF_WRITE));
    }
    return pair;
}

/* buffer_map(slot) → read-only memoryview */
static FUNCTION(py_buffer_map)
{
    (void)module;
    kos_token_t slot;
    const void *memory;
    size_t size;
    if (!expect(count, 1) || !get_slot(arguments[0], &slot)) {
        return NULL;
    }
    kos_status_t status = kos_msg_buffer_map(slot, &memory, &size);
    return status == STATUS_OK ? PyMemoryView_FromMemory((char *)memory, (Py_ssize_t)size, PyBUF_READ)
                               : raise_status(status);
}

static PyMethodDef methods[] = {
    {"register", py_register, METH_FASTCALL, "register(class): what a status that is no success is raised as"},
    {"setup", py_setup, METH_FASTCALL, NULL},
    {"ready", py_ready, METH_FASTCALL, NULL},
    {"ping", py_ping, METH_FASTCALL, NULL},
    {"app_name", py_app_name, METH_FASTCALL, NULL},
    {"bind", py_bind, METH_FASTCALL, NULL},
    {"unbind", py_unbind, METH_FASTCALL, NULL},
    {"query", py_query, METH_FASTCALL, NULL},
    {"request", py_request, METH_FASTCALL, NULL},
    {"call", py_call, METH_FASTCALL, NULL},
    {"send", py_send, METH_FASTCALL, NULL},
    {"queue_send", py_queue_send, METH_FASTCALL, NULL},
    {"reply", py_reply, METH_FASTCALL, NULL},
    {"queue_dropped", py_queue_dropped, METH_FASTCALL, NULL},
    {"reply_receive", py_reply_receive, METH_FASTCALL, NULL},
    {"token_create", py_token_create, METH_FASTCALL, NULL},
    {"token_free", py_token_free, METH_FASTCALL, NULL},
    {"token_info", py_token_info, METH_FASTCALL, NULL},
    {"token_revoke", py_token_revoke, METH_FASTCALL, NULL},
    {"buffer_create", py_buffer_create, METH_FASTCALL, NULL},
    {"buffer_map", py_buffer_map, METH_FASTCALL, NULL},
    {"trace_mark", trace_mark, METH_FASTCALL, NULL},
    {"trace_next", trace_next, METH_FASTCALL, NULL},
    {"trace_peers", trace_peers, METH_FASTCALL, NULL},
    {"trace_read", trace_read, METH_FASTCALL, NULL},
    {"trace_counts", trace_counts, METH_FASTCALL, NULL},
    {"atomic_add", shared_memory_atomic_add, METH_FASTCALL, NULL},
    {"futex_wake", shared_memory_futex_wake, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef definition = {
    .base = {.references = 1}, .name = "_native", .size = 0, .methods = methods, .slots = slots};

__attribute__((visibility("default"))) PyObject *PyInit__native(void);
PyObject *PyInit__native(void)
{
    kos_hook_interrupted(run_signal_handlers);
    return PyModuleDef_Init(&definition);
}
