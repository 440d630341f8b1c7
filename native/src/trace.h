/*
 * Records of what this app does, in a ring that the trace server reads (src/kos/abi/trace.py).
 *
 * An app that is not traced has no ring: each place that could record costs one predictable branch. Writing never
 * waits: a thread that finds another one writing for too long leaves its record out, and counts it.
 */
#ifndef KOS_SRC_TRACE_H
#define KOS_SRC_TRACE_H

#include <kos/msg.h>

#include "control.h"

struct trace_event {
    uint64_t label;
    uint64_t param;
    uint64_t badge;
    uint64_t mailbox;
    uint64_t caller;
    uint32_t sequence;
    kos_status_t status;
    uint8_t kind;
    uint8_t flags;
    kos_token_t slot;
    uint32_t size;
    const struct connection *connection; /* of the mailbox; NULL where there is none */
    const void *payload;                 /* `size` bytes, kept where the manifest says so */
};

struct trace_ring;
extern _Atomic(struct trace_ring *) trace_ring;

/* Take the ring of a message server that says that this app is traced, unless there is one already. */
void trace_open(struct connection *connection, uint64_t record_size);

/* From now on records go into this memory, which is a ring for records of that size. */
void trace_use(void *memory, uint32_t record_size);

void trace_write(const struct trace_event *event);

/* The hash by which records name a port or a message server; `size` bytes at `name`. */
uint32_t trace_hash(const char *name, size_t size);

#define TRACE(...)                                                                            \
    do {                                                                                      \
        if (__builtin_expect(                                                                 \
                atomic_load_explicit(&trace_ring, memory_order_acquire) != NULL, false)) {    \
            trace_write(&(const struct trace_event){__VA_ARGS__});                            \
        }                                                                                     \
    } while (0)

#define TRACE_MESSAGE(msg) .label = (msg)->label, .param = (msg)->param, .size = kos_msg_payload_size((msg)->metadata)

#endif /* KOS_SRC_TRACE_H */
