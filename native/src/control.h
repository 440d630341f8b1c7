/*
 * The app's connections to its message servers: one question, one answer (src/kos/abi/control.py).
 *
 * A lost connection is final: from then on every question is answered STATUS_UNAVAILABLE at once. Nothing here
 * knows what the operations mean.
 */
#ifndef KOS_SRC_CONTROL_H
#define KOS_SRC_CONTROL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kos/types.h>

#include "mailbox.h"

#define CONTROL_DESCRIPTORS_MAX 3
#define CONNECTIONS_MAX 8

struct connection {
    int fd;
    int event_fd;
    int completion_fd;
    int completion_epoll; /* tells of completion_fd by edges, of a hang-up as long as it lasts */
    const struct app_page *page;
    uint32_t event_seen;
    uint64_t caller_id;
    uint32_t name_hash; /* of the message server, as trace records name it */
    atomic_bool lost;
    bool loss_reported;
    pthread_mutex_t lock;
    pthread_mutex_t request_lock; /* one connection request at a time */
};

struct question {
    uint32_t op;
    uint64_t a[6];
    const void *head; /* data: head, then tail, in one packet */
    size_t head_size;
    const void *tail;
    size_t tail_size;
};

struct answer {
    uint64_t r[6];
    void *data; /* where to put what comes with it, or NULL */
    size_t data_room;
    size_t data_size;
    int fds[CONTROL_DESCRIPTORS_MAX]; /* the caller closes them; -1 where there is none */
};

/* Ask and wait for the answer. `answer` may be NULL; only its data and data_room are read. */
kos_status_t control_ask(struct connection *connection, const struct question *question, struct answer *answer);

/* An operation with words only. */
kos_status_t control_words(struct connection *connection, uint32_t op, uint64_t a0, uint64_t a1, uint64_t a2);

/* Whether the message server's end is still open; notes the loss. */
bool control_alive(struct connection *connection);

void control_close_fds(struct answer *answer);

/* The connections of KOS_MSG_SERVERS, opened at the first use. → how many there are. */
unsigned connections_open(void);
struct connection *connection_at(unsigned index);
/* The first message server that is alive; NULL when there is none. */
struct connection *connection_first(void);

/* The message server on which the manifest grants a port; asked once when there are several. */
kos_status_t connection_for_port(const char *port, struct connection **connection);

#endif /* KOS_SRC_CONTROL_H */
