/*
 * The app's 64 token slots: what libkos knows of each. Authority is the message server's: a wrong record here
 * harms only this app.
 *
 * Three locks for each slot. `use` is held for the length of a request: a token carries one at a time. `lock` guards
 * the record. Whoever changes a record holds both, `use` first; whoever holds either may read it. No one holds two
 * slots at a time, except slots_move. `tokens` is held, before any other, while a token travels with a request or
 * its reply: a mailbox has room for one offer each way.
 */
#ifndef KOS_SRC_SLOTS_H
#define KOS_SRC_SLOTS_H

#include <pthread.h>
#include <stdbool.h>

#include "control.h"
#include "mailbox.h"

struct slot {
    pthread_mutex_t use;
    pthread_mutex_t lock;
    pthread_mutex_t tokens;
    uint32_t kind; /* KOS_TOKEN_KIND_… */
    uint32_t flags;
    bool awaited;                  /* a connection request will fill it: `use` is held, `lock` is not */
    bool used;                     /* a single-use token that carried its message */
    bool ended;                    /* the message server says so, whatever the mailbox says */
    bool complained;               /* the message server was told what its owner does */
    uint64_t badge;                /* of a token of our own */
    struct connection *connection; /* NULL: a token of our own that no message server knows yet */
    uint64_t mailbox_id;
    struct mailbox *mailbox;
    int fd; /* MAILBOX: the owner's event; BUFFER: the memory */
    uint64_t size;
    uint32_t request_seq;
    uint32_t queue_head;
};

/* The slot with that number, or NULL when it is 0 or out of range. */
struct slot *slot_at(kos_token_t token);

/* Its number. */
kos_token_t slot_number(const struct slot *slot);

void slot_hold(struct slot *slot);
void slot_release(struct slot *slot);

/* What a token that is there is good for: OK, INVALID_TOKEN, UNAVAILABLE. The caller may read the slot. */
kos_status_t slot_state(const struct slot *slot);

/* What the message server says of the mailbox in a slot: OK, INVALID_TOKEN (revoked), UNAVAILABLE (owner gone). */
kos_status_t slot_mailbox_state(const struct slot *slot);

/* The app uses this slot: the pool leaves it alone. */
void slot_reserve(kos_token_t token);

/* Make room for something new: a token that no longer works is cleared away. → OK or CONFLICT. Held slot. */
kos_status_t slot_make_empty(struct slot *slot, kos_token_t token);

/* Forget what a held slot had, without telling anyone. */
void slot_forget(struct slot *slot);

/* Put what ACCEPT or REQUEST_RESULT passed into a held, empty slot. Takes over the descriptors. */
struct arrival {
    uint32_t kind;
    uint32_t flags;
    uint64_t mailbox_id;
    uint64_t size;
};
kos_status_t slot_fill(struct slot *slot, struct connection *connection, const struct arrival *arrival,
                       struct answer *answer);

/* Offer the token to the peer of a mailbox; the slot is empty afterwards. */
kos_status_t token_offer(kos_token_t token, struct connection *connection, uint64_t mailbox_id, uint32_t *ticket);
/* Take a token that the peer of a mailbox offered. */
kos_status_t token_accept(kos_token_t token, struct connection *connection, uint64_t mailbox_id, uint32_t ticket);
/* Make sure that the message server knows a token of our own, before it travels in a REPLY. */
kos_status_t token_publish(kos_token_t token, struct connection *connection);
/* The token left with a REPLY. */
void token_gone(kos_token_t token);

#endif /* KOS_SRC_SLOTS_H */
