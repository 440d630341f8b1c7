/*
 * The memory that two apps share, as C sees it, and the few ways to touch it. Layout: src/kos/abi/message.py.
 *
 * The other side may be hostile: copy a word once, then check the copy; never act twice on a word that it can
 * change in between. Nothing here decides anything.
 */
#ifndef KOS_SRC_MAILBOX_H
#define KOS_SRC_MAILBOX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <kos/abi.h>

typedef _Atomic uint32_t shared_word;

struct queue_entry {
    /* volatile: 64 bits need not be atomic here, only read once */
    volatile uint64_t label;
    uint8_t bytes[KOS_ABI_QUEUE_BYTES];
};

struct mailbox {
    shared_word magic;
    shared_word version;
    shared_word state;
    shared_word holder_event;
    uint8_t pad_server[48];

    shared_word request_seq;
    shared_word holder_sleeping;
    shared_word holder_cpu;
    shared_word request_kind;
    volatile uint64_t request_label;
    volatile uint64_t request_param;
    shared_word request_size;
    shared_word request_ticket;
    shared_word reply_flags;
    uint8_t pad_holder[20];

    shared_word reply_seq;
    shared_word owner_sleeping;
    shared_word owner_cpu;
    shared_word reply_size;
    volatile uint64_t reply_label;
    volatile uint64_t reply_param;
    shared_word reply_ticket;
    shared_word taken_seq;
    uint8_t pad_owner[24];

    shared_word queue_head;
    shared_word queue_dropped;
    uint8_t pad_queue_head[56];
    shared_word queue_tail;
    uint8_t pad_queue_tail[KOS_ABI_MAILBOX_HEADER_SIZE - 260];

    struct queue_entry queue[KOS_ABI_QUEUE_LENGTH];
    uint8_t request_payload[KOS_MSG_PAYLOAD_MAX_SIZE];
    uint8_t reply_payload[KOS_MSG_PAYLOAD_MAX_SIZE];
};

struct app_page {
    shared_word magic;
    shared_word version;
    shared_word event_seq;
};

#define KOS_AT(type, member, offset) \
    _Static_assert(offsetof(type, member) == (offset), #member " is where the ABI says")
KOS_AT(struct mailbox, magic, KOS_MAILBOX_MAGIC);
KOS_AT(struct mailbox, version, KOS_MAILBOX_VERSION);
KOS_AT(struct mailbox, state, KOS_MAILBOX_STATE);
KOS_AT(struct mailbox, holder_event, KOS_MAILBOX_HOLDER_EVENT);
KOS_AT(struct mailbox, request_seq, KOS_MAILBOX_REQUEST_SEQ);
KOS_AT(struct mailbox, holder_sleeping, KOS_MAILBOX_HOLDER_SLEEPING);
KOS_AT(struct mailbox, holder_cpu, KOS_MAILBOX_HOLDER_CPU);
KOS_AT(struct mailbox, request_kind, KOS_MAILBOX_REQUEST_KIND);
KOS_AT(struct mailbox, request_label, KOS_MAILBOX_REQUEST_LABEL);
KOS_AT(struct mailbox, request_param, KOS_MAILBOX_REQUEST_PARAM);
KOS_AT(struct mailbox, request_size, KOS_MAILBOX_REQUEST_SIZE);
KOS_AT(struct mailbox, request_ticket, KOS_MAILBOX_REQUEST_TICKET);
KOS_AT(struct mailbox, reply_flags, KOS_MAILBOX_REPLY_FLAGS);
KOS_AT(struct mailbox, reply_seq, KOS_MAILBOX_REPLY_SEQ);
KOS_AT(struct mailbox, owner_sleeping, KOS_MAILBOX_OWNER_SLEEPING);
KOS_AT(struct mailbox, owner_cpu, KOS_MAILBOX_OWNER_CPU);
KOS_AT(struct mailbox, reply_size, KOS_MAILBOX_REPLY_SIZE);
KOS_AT(struct mailbox, reply_label, KOS_MAILBOX_REPLY_LABEL);
KOS_AT(struct mailbox, reply_param, KOS_MAILBOX_REPLY_PARAM);
KOS_AT(struct mailbox, reply_ticket, KOS_MAILBOX_REPLY_TICKET);
KOS_AT(struct mailbox, taken_seq, KOS_MAILBOX_TAKEN_SEQ);
KOS_AT(struct mailbox, queue_head, KOS_MAILBOX_QUEUE_HEAD);
KOS_AT(struct mailbox, queue_dropped, KOS_MAILBOX_QUEUE_DROPPED);
KOS_AT(struct mailbox, queue_tail, KOS_MAILBOX_QUEUE_TAIL);
KOS_AT(struct mailbox, queue, KOS_ABI_MAILBOX_QUEUE_OFFSET);
KOS_AT(struct mailbox, request_payload, KOS_ABI_MAILBOX_REQUEST_OFFSET);
KOS_AT(struct mailbox, reply_payload, KOS_ABI_MAILBOX_REPLY_OFFSET);
KOS_AT(struct app_page, event_seq, KOS_APP_PAGE_EVENT_SEQ);
_Static_assert(sizeof(struct mailbox) == KOS_ABI_MAILBOX_SIZE, "a mailbox has the ABI's size");
_Static_assert(sizeof(struct queue_entry) == 64, "a queue entry is one cache line");
_Static_assert(sizeof(shared_word) == 4, "a shared word is 32 bits");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "shared words need lock-free atomics: a lock would not be shared");

static inline uint32_t read_word(const shared_word *word)
{
    return atomic_load_explicit((shared_word *)word, memory_order_acquire);
}

static inline uint32_t peek_word(const shared_word *word)
{
    return atomic_load_explicit((shared_word *)word, memory_order_relaxed);
}

static inline void write_word(shared_word *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void publish_word(shared_word *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

/*
 * Between "I published" and "does the peer sleep?", and between "I am about to sleep" and "is there something?".
 * Acquire and release do not order a store before a later load; without this a wake-up is lost.
 */
static inline void full_barrier(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

#endif /* KOS_SRC_MAILBOX_H */
