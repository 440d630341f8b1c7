/* Ports: bind, query, request; and the calls that concern the message server itself. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <kos/app.h>
#include <kos/dir.h>

#include "slots.h"
#include "trace.h"
#include "wait.h"

kos_status_t kos_msg_setup(void)
{
    return connections_open() > 0 && connection_first() != NULL ? STATUS_CREATED : STATUS_UNAVAILABLE;
}

kos_status_t kos_app_ready(void)
{
    struct connection *connection = connection_first();
    TRACE(.kind = KOS_TRACE_KIND_READY);
    return connection == NULL ? STATUS_UNAVAILABLE : control_words(connection, KOS_OP_READY, 0, 0, 0);
}

kos_status_t kos_msg_ping(void)
{
    kos_status_t status = connections_open() > 0 ? STATUS_PONG : STATUS_UNAVAILABLE;
    for (unsigned i = 0; i < connections_open() && status == STATUS_PONG; i++) {
        status = control_words(connection_at(i), KOS_OP_PING, 0, 0, 0);
    }
    return status;
}

kos_status_t kos_msg_app_name(kos_word_t caller_id, char *name, size_t size)
{
    if (name == NULL || size == 0) {
        return STATUS_BAD_REQUEST;
    }
    char text[KOS_ABI_APP_NAME_MAX + 1] = {0};
    kos_status_t status = STATUS_UNAVAILABLE;
    for (unsigned i = 0; i < connections_open() && status != STATUS_OK; i++) {
        struct question question = {.op = KOS_OP_APP_NAME, .a = {caller_id}};
        struct answer answer = {.data = text, .data_room = KOS_ABI_APP_NAME_MAX};
        status = control_ask(connection_at(i), &question, &answer);
        control_close_fds(&answer);
    }
    if (status == STATUS_OK) {
        size_t length = strlen(text);
        if (length >= size) {
            return STATUS_FULL;
        }
        memcpy(name, text, length + 1);
    }
    return status;
}

static kos_status_t port_operation(uint32_t op, const char *port, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct connection *connection = NULL;
    kos_status_t status = connection_for_port(port, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    struct question question = {.op = op, .a = {a0, a1, a2}, .head = port, .head_size = strlen(port)};
    return control_ask(connection, &question, NULL);
}

kos_status_t kos_dir_bind(const char *port, kos_word_t request_label, kos_word_t request_badge,
                          kos_word_t request_flags)
{
    kos_status_t status = port_operation(KOS_OP_BIND, port, request_label, request_badge, request_flags);
    TRACE(.kind = KOS_TRACE_KIND_BIND, .label = port != NULL ? trace_hash(port, strlen(port)) : 0,
          .badge = request_badge, .status = status);
    return status;
}

kos_status_t kos_dir_unbind(const char *port)
{
    return port_operation(KOS_OP_UNBIND, port, 0, 0, 0);
}

kos_status_t kos_dir_query(const char *port)
{
    return port_operation(KOS_OP_QUERY, port, 0, 0, 0);
}

/* Wait until the answer to our connection request is there. → OK, UNAVAILABLE when the message server is gone. */
static kos_status_t await_completion(struct connection *connection)
{
    struct epoll_event event;
    while (epoll_wait(connection->completion_epoll, &event, 1, -1) < 0) {
        if (errno != EINTR) {
            return STATUS_INTERNAL_ERROR;
        }
        if (wait_interrupted()) {
            return STATUS_NO_REPLY;
        }
    }
    return control_alive(connection) ? STATUS_OK : STATUS_UNAVAILABLE;
}

/* Fetch the answer, waiting as long as there is none. */
static kos_status_t fetch_result(struct connection *connection, uint64_t request_id, struct answer *answer)
{
    const struct question question = {.op = KOS_OP_REQUEST_RESULT, .a = {request_id}};
    for (;;) {
        kos_status_t status = await_completion(connection);
        if (status == STATUS_OK) {
            status = control_ask(connection, &question, answer);
        } else {
            return status;
        }
        if (status != STATUS_NO_REPLY) {
            return status;
        }
    }
}

/* A refusal by the server app: no token, and a label that is a failure. */
static kos_status_t outcome(uint64_t label, uint32_t kind)
{
    bool failure = label > STATUS_PONG && label <= STATUS_UNAVAILABLE;
    return kind == KOS_TOKEN_KIND_NONE && failure ? (kos_status_t)label : STATUS_OK;
}

static kos_status_t request_into(struct connection *connection, struct slot *slot, const struct question *question,
                                 kos_msg_t *msg)
{
    struct answer begun = {0};
    kos_status_t status = control_ask(connection, question, &begun);
    control_close_fds(&begun);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t spare[KOS_MSG_PAYLOAD_MAX_SIZE];
    struct answer answer = {.data = msg != NULL ? kos_msg_client_payload() : spare,
                            .data_room = KOS_MSG_PAYLOAD_MAX_SIZE};
    /* The server app may take its time: only who uses this slot waits for it. */
    slot->awaited = true;
    pthread_mutex_unlock(&slot->lock);
    status = fetch_result(connection, begun.r[0], &answer);
    pthread_mutex_lock(&slot->lock);
    slot->awaited = false;
    if (status != STATUS_OK) {
        control_close_fds(&answer);
        if (status == STATUS_NO_REPLY) { /* interrupted: without this, it would be in the way of the next one */
            control_words(connection, KOS_OP_REQUEST_CANCEL, begun.r[0], 0, 0);
        }
        return status;
    }
    struct arrival arrival = {.kind = (uint32_t)answer.r[2],
                              .flags = (uint32_t)answer.r[3],
                              .mailbox_id = answer.r[4],
                              .size = answer.r[5]};
    if (arrival.kind != KOS_TOKEN_KIND_NONE) {
        status = slot_fill(slot, connection, &arrival, &answer);
    }
    control_close_fds(&answer);
    if (msg != NULL) {
        *msg = kos_msg_new((kos_word_t)answer.r[0], (kos_word_t)answer.r[1], (uint16_t)answer.data_size,
                           arrival.kind != KOS_TOKEN_KIND_NONE ? (kos_token_t)question->a[0] : 0, 0);
    }
    return status == STATUS_OK ? outcome(answer.r[0], arrival.kind) : status;
}

kos_status_t kos_dir_request(const char *port, kos_token_t empty_slot, kos_word_t reply_flags, kos_msg_t *msg)
{
    struct connection *connection = NULL;
    struct slot *slot = slot_at(empty_slot);
    uint32_t size = msg != NULL ? kos_msg_payload_size(msg->metadata) : 0;
    if (slot == NULL || size > KOS_MSG_PAYLOAD_MAX_SIZE) {
        return STATUS_BAD_REQUEST;
    }
    kos_status_t status = connection_for_port(port, &connection);
    if (status != STATUS_OK) {
        return status;
    }
    struct question question = {.op = KOS_OP_REQUEST,
                                .a = {empty_slot, reply_flags, msg != NULL ? msg->param : 0},
                                .head = port,
                                .head_size = strlen(port) + (size > 0 ? 1 : 0),
                                .tail = kos_msg_client_payload(),
                                .tail_size = size};
    pthread_mutex_lock(&connection->request_lock);
    slot_hold(slot);
    TRACE(.kind = KOS_TRACE_KIND_REQUEST, .label = trace_hash(port, strlen(port)), .param = question.a[2],
          .size = size, .slot = empty_slot, .connection = connection, .payload = question.tail);
    status = slot_make_empty(slot, empty_slot);
    if (status == STATUS_OK) {
        status = request_into(connection, slot, &question, msg);
    }
    TRACE(.kind = KOS_TRACE_KIND_REQUEST_END, .label = trace_hash(port, strlen(port)),
          .mailbox = slot->mailbox_id, .slot = empty_slot, .status = status, .connection = connection);
    slot_release(slot);
    pthread_mutex_unlock(&connection->request_lock);
    return status;
}

kos_status_t kos_dir_publish_str(const char *port, kos_word_t request_label, kos_word_t request_badge,
                                 kos_word_t request_flags)
{
    return kos_dir_bind(port, request_label, request_badge, request_flags);
}

kos_status_t kos_dir_unpublish_str(const char *port)
{
    return kos_dir_unbind(port);
}

kos_status_t kos_dir_query_str(const char *port)
{
    return kos_dir_query(port);
}

kos_status_t kos_dir_request_str(const char *port, kos_token_t empty_slot, kos_word_t reply_flags, kos_msg_t *msg)
{
    return kos_dir_request(port, empty_slot, reply_flags, msg);
}
