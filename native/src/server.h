/*
 * The owner's side: mailboxes of tokens that this app created and others hold. owned.c keeps them and takes
 * messages out of one; server.c waits for all of them.
 *
 * No word that a holder writes is trusted: each is copied once, then checked against our own record.
 */
#ifndef KOS_SRC_SERVER_H
#define KOS_SRC_SERVER_H

#include <stdbool.h>

#include <kos/msg.h>

#include "control.h"
#include "mailbox.h"

struct owned {
    struct mailbox *mailbox;
    uint32_t request_seq; /* the last request that we took: our record, not the holder's */
    uint32_t queue_tail;
    uint32_t flags;
    bool used;    /* a single-use token that brought its message */
    bool serving; /* a thread of ours has its call and owes the reply */
    bool closed;  /* only what was sent before the end is still taken */
    bool dropped; /* revoked by us: nothing is taken any more */
    bool complained; /* the message server was told what its holder does */
    bool offered; /* closed with a token on its way: the message server keeps it for us */
    uint32_t final_seq;
    uint32_t final_head;
    uint64_t id;
    uint64_t badge;
    uint64_t caller_id;
    struct connection *connection;
    int event_fd;
    int epoll_fd; /* in which event_fd is registered */
};

/* A message on its way to the app, and how to answer it. */
struct received {
    kos_msg_t msg;
    uint64_t badge;
    uint64_t caller_id;
    uint32_t ticket;
    struct owned *owned;           /* a call through a mailbox waits for its reply; else NULL */
    struct owned *with_token;      /* a one-way message whose token is not accepted yet; else NULL */
    uint32_t seq;
    uint32_t reply_flags;
    struct connection *connection; /* where tokens and replies of this message belong */
    uint64_t mailbox_id;
    bool is_request;               /* a connection request, answered with REPLY */
    uint64_t request_id;
};

/* This thread's server payload buffer. */
uint8_t *server_payload(void);

/* --- the table; each call takes the table's lock -------------------------------------------------------------- */

/* From an ATTACH event. Takes over the descriptors of `answer`. */
void owned_attach(struct connection *connection, struct answer *answer, int epoll_fd);
/* From a CLOSED event: what was sent before is still delivered, unless it is `dropped`. */
void owned_close(struct connection *connection, uint64_t id, bool offered, bool dropped);
/* Revoked by ourselves: nothing more is delivered. */
void owned_drop_badge(uint64_t badge);
/* Take the next message, beginning after the mailbox that was served last. → whether there was one. */
bool owned_take(struct received *received);
/* Whether a wait could begin; marks each open mailbox so that its holder wakes us. */
void owned_sleep(bool sleeping);
/* Whether the holder of the mailbox served last runs on this thread's processor. */
bool owned_peer_is_here(void);
/* The token of a one-way message was accepted or refused: its holder may offer the next. */
void owned_accepted(struct received *received);
/* Answer a call. The ticket is that of a token for the holder, or 0. */
void owned_reply(struct received *received, const kos_msg_t *msg, uint32_t ticket);

#endif /* KOS_SRC_SERVER_H */
