/*
 * Reply and receive: one thread at a time scans and sleeps, the others wait for their turn (leader and followers),
 * so that a wake-up goes to whoever can act on it.
 *
 * A wait is an epoll over each mailbox's event, each message server's event and its hang-up. The events are edge-
 * triggered and never read: no holder can clear or block another's.
 */
#include "server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "slots.h"
#include "trace.h"
#include "wait.h"

#define LOST_PAUSE_MICROSECONDS 100000
#define NO_DEADLINE UINT64_MAX

static _Thread_local uint8_t payload_buffer[KOS_MSG_PAYLOAD_MAX_SIZE] __attribute__((aligned(16)));
static _Thread_local kos_token_t server_receive_slot;
static _Thread_local struct received current;

static pthread_mutex_t leader = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static int epoll_fd = -1;
static bool requests_first;

uint8_t *server_payload(void)
{
    return payload_buffer;
}

void *kos_msg_server_payload(void)
{
    return payload_buffer;
}

static void prepare(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < connections_open(); i++) {
        struct connection *connection = connection_at(i);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET};
        struct epoll_event hangup = {.events = EPOLLRDHUP | EPOLLET};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->event_fd, &event);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &hangup);
    }
}

kos_status_t kos_msg_server_create(kos_cap_t server_cap, kos_cap_t reply_cap, kos_token_t receive_token_slot,
                                   kos_msg_server_t *server)
{
    if (server == NULL || receive_token_slot >= KOS_MSG_TOKENS_PER_APP) {
        return STATUS_BAD_REQUEST;
    }
    if (connection_first() == NULL) {
        return STATUS_UNAVAILABLE;
    }
    server->cap = server_cap;
    server->reply_cap = reply_cap;
    server->receive_slot = receive_token_slot;
    server_receive_slot = receive_token_slot;
    slot_reserve(receive_token_slot);
    return STATUS_CREATED;
}

/* --- replies -------------------------------------------------------------------------------------------------- */

/*
 * A token that was given in an answer is gone from its slot, also when nobody takes it: the app puts the next one there.
 */
static void give_up(kos_token_t token)
{
    if (token != 0) {
        kos_msg_token_delete(token);
    }
}

/* A connection request is answered through the message server, which moves the token itself. */
static void reply_to_request(const kos_msg_t *msg)
{
    kos_token_t token = kos_msg_transfer_token(msg->metadata);
    uint32_t size = kos_msg_payload_size(msg->metadata);
    struct question question = {.op = KOS_OP_REPLY,
                                .a = {current.request_id, msg->label, msg->param, token},
                                .tail = payload_buffer,
                                .tail_size = size > KOS_MSG_PAYLOAD_MAX_SIZE ? 0 : size};
    kos_status_t status = token == 0 ? STATUS_OK : token_publish(token, current.connection);
    if (status == STATUS_OK) {
        status = control_ask(current.connection, &question, NULL);
        if (status == STATUS_OK && token != 0) {
            token_gone(token);
        } else if (status == STATUS_BAD_REQUEST) {
            give_up(token); /* the requester is gone */
            return;
        }
    }
    if (status != STATUS_OK) {
        /* The requester must not wait for a token that cannot be given. */
        struct question failure = {.op = KOS_OP_REPLY, .a = {current.request_id, STATUS_INTERNAL_ERROR}};
        control_ask(current.connection, &failure, NULL);
    }
}

static void reply_to_call(const kos_msg_t *msg)
{
    kos_token_t token = kos_msg_transfer_token(msg->metadata);
    uint32_t ticket = 0;
    kos_status_t status = STATUS_UNAVAILABLE; /* where the caller does not agree to receive it */
    if (token == 0) {
        status = STATUS_OK;
    } else if ((current.reply_flags & KOS_MSG_FLAG_SEND_TOKEN) != 0) {
        status = token_offer(token, current.connection, current.mailbox_id, &ticket);
    }
    if (status == STATUS_UNAVAILABLE) {
        give_up(token);
    } else if (status != STATUS_OK) {
        const kos_msg_t failure = kos_msg_new_status(STATUS_INTERNAL_ERROR);
        owned_reply(&current, &failure, 0);
        return;
    }
    owned_reply(&current, msg, ticket);
}

/* The mailbox, or the number of the connection request, that `current` came through. */
static uint64_t current_place(void)
{
    return current.is_request ? current.request_id : current.mailbox_id;
}

static uint8_t current_flags(void)
{
    if (current.is_request) {
        return KOS_TRACE_FLAG_REQUEST;
    }
    bool queued = (current.msg.metadata & KOS_ABI_METADATA_QUEUED) != 0;
    return (uint8_t)((queued ? KOS_TRACE_FLAG_QUEUED : 0) | (current.owned == NULL ? KOS_TRACE_FLAG_ONE_WAY : 0));
}

static void trace_current(uint8_t kind, const kos_msg_t *msg)
{
    TRACE(TRACE_MESSAGE(msg), .kind = kind, .flags = current_flags(), .badge = current.badge,
          .mailbox = current_place(), .sequence = current.seq, .status = STATUS_OK, .caller = current.caller_id,
          .connection = current.connection, .payload = payload_buffer);
}

static void reply(const kos_msg_t *msg)
{
    if (current.is_request || current.owned != NULL) {
        trace_current(KOS_TRACE_KIND_REPLY, msg);
    }
    if (current.is_request) {
        reply_to_request(msg);
    } else if (current.owned != NULL) {
        reply_to_call(msg);
    } else if (kos_msg_transfer_token(msg->metadata) != server_receive_slot) { /* not one that just came */
        give_up(kos_msg_transfer_token(msg->metadata));
    }
    memset(&current, 0, sizeof current);
}

kos_status_t kos_msg_reply(kos_msg_t msg)
{
    bool awaited = current.is_request || current.owned != NULL;
    reply(&msg);
    return awaited ? STATUS_OK : STATUS_NO_REPLY;
}

/* --- events of the message servers ---------------------------------------------------------------------------- */

static bool take_event(struct connection *connection)
{
    while (!atomic_load(&connection->lost)) {
        uint32_t seq = read_word(&connection->page->event_seq);
        if (seq == connection->event_seen) {
            return false;
        }
        struct question question = {.op = KOS_OP_NEXT_EVENT};
        struct answer answer = {.data = payload_buffer, .data_room = sizeof payload_buffer};
        if (control_ask(connection, &question, &answer) != STATUS_OK) {
            connection->event_seen = seq;
        } else if (answer.r[0] == KOS_EVENT_ATTACH) {
            owned_attach(connection, &answer, epoll_fd);
        } else if (answer.r[0] == KOS_EVENT_CLOSED) {
            owned_close(connection, answer.r[1], answer.r[2] != 0, answer.r[3] != 0);
        } else if (answer.r[0] == KOS_EVENT_REQUEST) {
            current.is_request = true;
            current.request_id = answer.r[1];
            current.msg =
                kos_msg_new((kos_word_t)answer.r[2], (kos_word_t)answer.r[3], (uint16_t)answer.data_size, 0, 0);
            current.badge = answer.r[4];
            current.caller_id = answer.r[5];
            current.connection = connection;
            control_close_fds(&answer);
            return true;
        }
        control_close_fds(&answer);
    }
    return false;
}

static bool take_events(void)
{
    for (unsigned i = 0; i < connections_open(); i++) {
        if (take_event(connection_at(i))) {
            return true;
        }
    }
    return false;
}

/* In turn, so that neither a flood of connection requests nor of messages keeps the other waiting. */
static bool take_next(void)
{
    requests_first = !requests_first;
    return requests_first ? take_events() || owned_take(&current) : owned_take(&current) || take_events();
}

/* --- receive -------------------------------------------------------------------------------------------------- */

/* A message server that is gone is reported once; with none left there is nothing to wait for. */
static bool take_loss(void)
{
    bool any_alive = false;
    for (unsigned i = 0; i < connections_open(); i++) {
        struct connection *connection = connection_at(i);
        bool alive = control_alive(connection);
        any_alive |= alive;
        if (!alive && !connection->loss_reported) {
            connection->loss_reported = true;
            return true;
        }
    }
    if (!any_alive) {
        /* The app went on all the same: do not let its loop eat the processor. */
        const struct timespec pause = {.tv_nsec = LOST_PAUSE_MICROSECONDS * 1000L};
        nanosleep(&pause, NULL);
    }
    return !any_alive;
}

/* Accept the token that came with a message. → false when the message was refused on its account. */
static bool accept_token(void)
{
    if (current.ticket == 0) {
        return true;
    }
    kos_status_t status =
        token_accept(server_receive_slot, current.connection, current.mailbox_id, current.ticket);
    if (current.with_token != NULL) {
        owned_accepted(&current);
    }
    if (status == STATUS_OK) {
        current.msg.metadata |= (kos_word_t)server_receive_slot << KOS_ABI_METADATA_TOKEN_SHIFT;
        return true;
    }
    if (current.owned == NULL && status == STATUS_UNAVAILABLE) {
        return true; /* sent one way by who has died since: the message arrives, a token of its own went with it */
    }
    const kos_msg_t refusal = kos_msg_new_status(status == STATUS_CONFLICT ? STATUS_AT_TOKEN_LIMIT : status);
    reply(&refusal);
    return false;
}

/* Sleep until something happens. → OK, or why the wait ended. */
static kos_status_t sleep_until(uint64_t deadline)
{
    int timeout = -1;
    if (deadline != NO_DEADLINE) {
        uint64_t now = wait_clock_microseconds();
        if (now >= deadline) {
            return STATUS_NO_REPLY;
        }
        uint64_t milliseconds = (deadline - now + 999) / 1000;
        timeout = milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds;
    }
    struct epoll_event events[8];
    int count = epoll_wait(epoll_fd, events, 8, timeout);
    if (count < 0 && errno == EINTR && wait_interrupted()) {
        return STATUS_NO_REPLY;
    }
    for (int i = 0; i < count; i++) {
        if ((events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
            return STATUS_UNAVAILABLE;
        }
    }
    return STATUS_OK;
}

/* The leader's turn: fill `current`, or say why not. */
static kos_status_t wait_for_message(uint64_t deadline)
{
    struct spin spin = {0};
    bool look_for_loss = connection_first() == NULL;
    for (;;) {
        if (take_next()) {
            return STATUS_OK;
        }
        if (look_for_loss && take_loss()) {
            return STATUS_UNAVAILABLE;
        }
        if (!owned_peer_is_here() && wait_spin(&spin)) {
            continue;
        }
        owned_sleep(true);
        bool found = take_next();
        kos_status_t status = STATUS_OK;
        if (!found) {
            TRACE(.kind = KOS_TRACE_KIND_SLEEP);
            status = sleep_until(deadline);
            TRACE(.kind = KOS_TRACE_KIND_WAKE);
        }
        owned_sleep(false);
        if (found) {
            return STATUS_OK;
        }
        if (status == STATUS_NO_REPLY) {
            return take_next() ? STATUS_OK : status;
        }
        look_for_loss = status == STATUS_UNAVAILABLE;
    }
}

static kos_status_t reply_receive(kos_msg_t *msg, kos_word_t *badge, kos_word_t *caller_id, uint64_t deadline)
{
    if (msg == NULL || badge == NULL || caller_id == NULL) {
        return STATUS_BAD_REQUEST;
    }
    reply(msg);
    pthread_once(&prepared, prepare);
    kos_status_t status;
    do {
        pthread_mutex_lock(&leader);
        status = wait_for_message(deadline);
        pthread_mutex_unlock(&leader);
    } while (status == STATUS_OK && !accept_token());
    if (status == STATUS_OK) {
        trace_current(KOS_TRACE_KIND_RECEIVE, &current.msg);
    }
    *msg = status == STATUS_OK ? current.msg : kos_msg_new_status(status);
    *badge = (kos_word_t)current.badge;
    *caller_id = (kos_word_t)current.caller_id;
    return status;
}

kos_status_t kos_msg_reply_receive(kos_msg_t *msg, kos_word_t *badge, kos_word_t *caller_id)
{
    return reply_receive(msg, badge, caller_id, NO_DEADLINE);
}

kos_status_t kos_msg_reply_receive_for(kos_msg_t *msg, kos_word_t *badge, kos_word_t *caller_id,
                                       uint64_t microseconds)
{
    uint64_t now = wait_clock_microseconds();
    return reply_receive(msg, badge, caller_id, microseconds > NO_DEADLINE - now ? NO_DEADLINE : now + microseconds);
}
