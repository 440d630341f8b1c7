/*
 * Beside the reference: tracing. libkos records what an app does by itself where the manifest has it traced; only
 * kos_trace_mark is for every app. The rest is for the trace server.
 */
#ifndef KOS_TRACE_H
#define KOS_TRACE_H

#include <kos/types.h>

KOS_BEGIN_DECLS

/* Put a mark of the app's own on its time line. Without effect where the app is not traced. */
void kos_trace_mark(IN kos_word_t label, IN kos_word_t param);

/* The ring of one start of an app, as the message server hands it to the trace server. */
typedef struct kos_trace_ring {
    uint32_t number;
    uint32_t record_size;
    uint64_t caller_id;
    uint64_t size;
    int fd; /* to read; the caller closes it */
    char app[KOS_ABI_APP_NAME_MAX + 1];
} kos_trace_ring_t;

/* The first ring with a number over `after` → STATUS_OK, STATUS_NO_REPLY when there is none. */
kos_status_t kos_trace_next(IN uint32_t after, OUT kos_trace_ring_t *ring);

/* Who is at the ends of mailboxes made after mailbox `after`: up to KOS_MSG_PAYLOAD_MAX_SIZE bytes of records. */
kos_status_t kos_trace_peers(IN uint32_t after, OUT void *data, OUT size_t *size);

/*
 * Copy whole records out of a ring that its app goes on writing, from number *cursor on or, where that was overwritten,
 * from the oldest that is there. `*first` is the number of the first that was copied; what lies between is lost. The
 * contents are the app's: check them. → how many were copied; `cursor` moves on behind them.
 */
uint32_t kos_trace_read(IN const void *ring, IN uint32_t record_size, IN_OUT uint32_t *cursor, OUT void *buffer,
                        IN size_t room, OUT uint32_t *first);

/* The app's words for how many records it ever wrote, and how many it left out. */
void kos_trace_counts(IN const void *ring, OUT uint32_t *head, OUT uint32_t *dropped);

KOS_END_DECLS

#endif /* KOS_TRACE_H */
