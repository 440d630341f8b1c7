/*
 * The holder's side of a mailbox: calls, sends and the queue.
 *
 * Order in memory: words and payload first, then request_seq (release), then a full barrier, then "does the owner
 * sleep?". The reply is read only after reply_seq said that it is there.
 */
#include <string.h>

#include <kos/msg.h>

#include "slots.h"
#include "trace.h"
#include "wait.h"

/* How long a caller sleeps before it asks whether the message server, which tells of deaths, still lives. */
#define LIVENESS_MILLISECONDS 100
/* After how many of these it asks what became of the token: its owner can write a mailbox's end back to "open". */
#define SLEEPS_BEFORE_ASKING 10

static _Thread_local uint8_t client_payload[KOS_MSG_PAYLOAD_MAX_SIZE] __attribute__((aligned(16)));
static _Thread_local kos_token_t client_receive_slot;

void *kos_msg_client_payload(void)
{
    return client_payload;
}

kos_status_t kos_msg_client_create(kos_cap_t cap, kos_token_t token_slot, kos_msg_client_t *client)
{
    if (client == NULL || token_slot >= KOS_MSG_TOKENS_PER_APP) {
        return STATUS_BAD_REQUEST;
    }
    if (connection_first() == NULL) {
        return STATUS_UNAVAILABLE;
    }
    client->cap = cap;
    client->receive_slot = token_slot;
    client_receive_slot = token_slot;
    slot_reserve(token_slot);
    return STATUS_CREATED;
}

/* What the message server says of the token. `use` is held. */
static kos_status_t ask_state(struct slot *slot)
{
    kos_status_t status = control_words(slot->connection, KOS_OP_TOKEN_INFO, slot_number(slot), 0, 0);
    slot->ended = status != STATUS_OK && status != STATUS_UNAVAILABLE;
    return status;
}

/* Wait until *word holds `wanted`, or the mailbox closes, or the message server is gone. */
static kos_status_t wait_for(struct slot *slot, const shared_word *word, uint32_t wanted)
{
    struct mailbox *mailbox = slot->mailbox;
    struct spin spin = {0};
    const uint32_t cpu = wait_cpu();
    unsigned slept = 0;
    for (;;) {
        if (read_word(word) == wanted) {
            return STATUS_OK;
        }
        if (read_word(&mailbox->state) != KOS_ABI_STATE_OPEN) {
            /* The answer may have come just before the end. */
            return read_word(word) == wanted ? STATUS_OK : slot_mailbox_state(slot);
        }
        uint32_t owner_cpu = peek_word(&mailbox->owner_cpu);
        if (owner_cpu != cpu && owner_cpu != KOS_ABI_CPU_DO_NOT_SPIN && wait_spin(&spin)) {
            continue;
        }
        uint32_t event = read_word(&mailbox->holder_event);
        write_word(&mailbox->holder_sleeping, 1);
        full_barrier();
        bool in_time = true;
        if (read_word(word) != wanted && read_word(&mailbox->state) == KOS_ABI_STATE_OPEN) {
            TRACE(.kind = KOS_TRACE_KIND_SLEEP, .mailbox = slot->mailbox_id, .connection = slot->connection);
            in_time = wait_futex(&mailbox->holder_event, event, LIVENESS_MILLISECONDS);
            TRACE(.kind = KOS_TRACE_KIND_WAKE, .mailbox = slot->mailbox_id, .connection = slot->connection);
        }
        write_word(&mailbox->holder_sleeping, 0);
        if (read_word(word) == wanted) {
            return STATUS_OK;
        }
        if (!in_time && !control_alive(slot->connection)) {
            return STATUS_UNAVAILABLE;
        }
        if (!in_time && ++slept % SLEEPS_BEFORE_ASKING == 0) {
            kos_status_t status = ask_state(slot);
            if (status != STATUS_OK) {
                return read_word(word) == wanted ? STATUS_OK : status;
            }
        }
        if (in_time && wait_interrupted()) {
            return STATUS_NO_REPLY;
        }
    }
}

static kos_status_t check_request(const struct slot *slot, const kos_msg_t *msg)
{
    if (slot->kind != KOS_TOKEN_KIND_MAILBOX) {
        return slot->kind == KOS_TOKEN_KIND_NONE ? STATUS_INVALID_TOKEN : STATUS_BAD_REQUEST;
    }
    kos_status_t status = slot_state(slot);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t size = kos_msg_payload_size(msg->metadata);
    if (size > KOS_MSG_PAYLOAD_MAX_SIZE) {
        return STATUS_BAD_REQUEST;
    }
    if ((size > 0 && (slot->flags & KOS_MSG_FLAG_SEND_PAYLOAD) == 0) ||
        (kos_msg_transfer_token(msg->metadata) != 0 && (slot->flags & KOS_MSG_FLAG_SEND_TOKEN) == 0)) {
        return STATUS_UNAUTHORIZED;
    }
    return STATUS_OK;
}

/* Write a request and wake the owner. `use` is held; the request before it was taken. */
static uint32_t publish(struct slot *slot, uint32_t kind, kos_word_t reply_flags, const kos_msg_t *msg,
                        uint32_t ticket)
{
    struct mailbox *mailbox = slot->mailbox;
    uint32_t size = kos_msg_payload_size(msg->metadata);
    TRACE(TRACE_MESSAGE(msg), .kind = kind == KOS_ABI_REQUEST_CALL ? KOS_TRACE_KIND_CALL : KOS_TRACE_KIND_SEND,
          .flags = kind == KOS_ABI_REQUEST_CALL ? 0 : KOS_TRACE_FLAG_ONE_WAY, .mailbox = slot->mailbox_id,
          .sequence = slot->request_seq + 1, .slot = slot_number(slot), .status = STATUS_OK,
          .connection = slot->connection, .payload = client_payload);
    write_word(&mailbox->request_kind, kind);
    mailbox->request_label = msg->label;
    mailbox->request_param = msg->param;
    write_word(&mailbox->request_size, size);
    write_word(&mailbox->request_ticket, ticket);
    write_word(&mailbox->reply_flags, (uint32_t)reply_flags);
    write_word(&mailbox->holder_cpu, wait_cpu());
    if (size > 0) {
        memcpy(mailbox->request_payload, client_payload, size);
    }
    publish_word(&mailbox->request_seq, ++slot->request_seq);
    if ((slot->flags & KOS_MSG_TOKEN_FLAG_SINGLE_USE) != 0) {
        slot->used = true;
    }
    full_barrier();
    if (read_word(&mailbox->owner_sleeping) != 0) {
        wake_event(slot->fd);
    }
    return slot->request_seq;
}

/* Check, and wait for the request before this one to be taken. `use` is held. */
static kos_status_t prepare(struct slot *slot, const kos_msg_t *msg)
{
    kos_status_t status = check_request(slot, msg);
    if (status == STATUS_OK && read_word(&slot->mailbox->taken_seq) != slot->request_seq) {
        status = wait_for(slot, &slot->mailbox->taken_seq, slot->request_seq);
    }
    return status;
}

/*
 * Turn the message's token into a ticket for the owner. A mailbox carries one offer: the message before this one
 * was taken, and `tokens` is held. `use` is not: no one holds two slots.
 */
static kos_status_t offer_token(kos_token_t token, struct slot *slot, const kos_msg_t *msg, uint32_t *ticket)
{
    kos_token_t moved = kos_msg_transfer_token(msg->metadata);
    *ticket = 0;
    if (moved == 0) {
        return STATUS_OK;
    }
    if (moved == token) {
        return STATUS_BAD_REQUEST;
    }
    pthread_mutex_lock(&slot->use);
    kos_status_t status = prepare(slot, msg);
    struct connection *connection = slot->connection;
    uint64_t mailbox_id = slot->mailbox_id;
    pthread_mutex_unlock(&slot->use);
    return status == STATUS_OK ? token_offer(moved, connection, mailbox_id, ticket) : status;
}

struct reply {
    uint32_t ticket;
    struct connection *connection;
    uint64_t mailbox_id;
};

/* Copy the reply out; what it carries beyond the agreement is dropped. `use` is held. */
static void read_reply(struct slot *slot, kos_word_t reply_flags, kos_msg_t *msg, struct reply *reply)
{
    struct mailbox *mailbox = slot->mailbox;
    uint32_t size = peek_word(&mailbox->reply_size);
    if (size > KOS_MSG_PAYLOAD_MAX_SIZE && !slot->complained) {
        slot->complained = true;
        control_words(slot->connection, KOS_OP_COMPLAIN, slot->mailbox_id, KOS_COMPLAINT_HEADER, 0);
    }
    if (size > KOS_MSG_PAYLOAD_MAX_SIZE || (reply_flags & KOS_MSG_FLAG_SEND_PAYLOAD) == 0) {
        size = 0;
    }
    *msg = kos_msg_new((kos_word_t)mailbox->reply_label, (kos_word_t)mailbox->reply_param, (uint16_t)size, 0, 0);
    if (size > 0) {
        memcpy(client_payload, mailbox->reply_payload, size);
    }
    reply->ticket = (reply_flags & KOS_MSG_FLAG_SEND_TOKEN) != 0 ? peek_word(&mailbox->reply_ticket) : 0;
    reply->connection = slot->connection;
    reply->mailbox_id = slot->mailbox_id;
}

static kos_status_t call(struct slot *slot, kos_word_t reply_flags, kos_msg_t *msg, uint32_t ticket,
                         struct reply *reply)
{
    pthread_mutex_lock(&slot->use);
    kos_status_t status = prepare(slot, msg);
    if (status == STATUS_OK) {
        publish(slot, KOS_ABI_REQUEST_CALL, reply_flags, msg, ticket);
        status = wait_for(slot, &slot->mailbox->reply_seq, slot->request_seq);
    }
    if (status == STATUS_OK) {
        read_reply(slot, reply_flags, msg, reply);
    }
    TRACE(TRACE_MESSAGE(msg), .kind = KOS_TRACE_KIND_CALL_END, .mailbox = slot->mailbox_id,
          .sequence = slot->request_seq, .slot = slot_number(slot), .status = status, .connection = slot->connection,
          .payload = client_payload);
    pthread_mutex_unlock(&slot->use);
    return status;
}

/* A call that a token goes or comes with: the next such one begins when that token has arrived. */
static kos_status_t call_with_tokens(kos_token_t token, struct slot *slot, kos_word_t reply_flags, kos_msg_t *msg)
{
    uint32_t ticket;
    struct reply reply = {0};
    pthread_mutex_lock(&slot->tokens);
    kos_status_t status = offer_token(token, slot, msg, &ticket);
    if (status == STATUS_OK) {
        status = call(slot, reply_flags, msg, ticket, &reply);
    }
    if (reply.ticket != 0 &&
        token_accept(client_receive_slot, reply.connection, reply.mailbox_id, reply.ticket) == STATUS_OK) {
        msg->metadata |= (kos_word_t)client_receive_slot << KOS_ABI_METADATA_TOKEN_SHIFT;
    }
    pthread_mutex_unlock(&slot->tokens);
    return status;
}

kos_status_t kos_msg_call(kos_token_t token, kos_word_t reply_flags, kos_msg_t *msg)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL || msg == NULL) {
        return STATUS_BAD_REQUEST;
    }
    if (kos_msg_transfer_token(msg->metadata) != 0 || (reply_flags & KOS_MSG_FLAG_SEND_TOKEN) != 0) {
        return call_with_tokens(token, slot, reply_flags, msg);
    }
    struct reply reply = {0};
    return call(slot, reply_flags, msg, 0, &reply);
}

static kos_status_t send_one_way(struct slot *slot, const kos_msg_t *msg, uint32_t ticket)
{
    pthread_mutex_lock(&slot->use);
    kos_status_t status = prepare(slot, msg);
    if (status == STATUS_OK) {
        publish(slot, KOS_ABI_REQUEST_SEND, 0, msg, ticket);
    }
    pthread_mutex_unlock(&slot->use);
    return status;
}

kos_status_t kos_msg_send(kos_token_t token, kos_msg_t msg)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL) {
        return STATUS_BAD_REQUEST;
    }
    if (kos_msg_transfer_token(msg.metadata) == 0) {
        return send_one_way(slot, &msg, 0);
    }
    uint32_t ticket;
    pthread_mutex_lock(&slot->tokens);
    kos_status_t status = offer_token(token, slot, &msg, &ticket);
    if (status == STATUS_OK) {
        status = send_one_way(slot, &msg, ticket);
    }
    pthread_mutex_unlock(&slot->tokens);
    return status;
}

static bool queue_is_full(const struct slot *slot)
{
    return slot->queue_head - read_word(&slot->mailbox->queue_tail) >= KOS_ABI_QUEUE_LENGTH;
}

/* Only `lock`, never `use`: a call under way on the same token does not hold up the queue. */
kos_status_t kos_msg_queue_send(kos_token_t token, const kos_queue_msg_t *msg)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL || msg == NULL) {
        return STATUS_BAD_REQUEST;
    }
    const kos_msg_t bare = {0};
    pthread_mutex_lock(&slot->lock);
    kos_status_t status = check_request(slot, &bare);
    if (status == STATUS_OK) {
        struct mailbox *mailbox = slot->mailbox;
        TRACE(.kind = KOS_TRACE_KIND_QUEUE, .flags = KOS_TRACE_FLAG_QUEUED | KOS_TRACE_FLAG_ONE_WAY,
              .label = msg->label, .mailbox = slot->mailbox_id, .sequence = slot->queue_head + 1, .slot = token,
              .status = queue_is_full(slot) ? STATUS_FULL : STATUS_OK, .size = sizeof msg->bytes,
              .connection = slot->connection, .payload = msg->bytes);
        if (queue_is_full(slot)) {
            write_word(&mailbox->queue_dropped, peek_word(&mailbox->queue_dropped) + 1);
            status = STATUS_FULL;
        } else {
            struct queue_entry *entry = &mailbox->queue[slot->queue_head % KOS_ABI_QUEUE_LENGTH];
            entry->label = msg->label;
            memcpy(entry->bytes, msg->bytes, sizeof entry->bytes);
            publish_word(&mailbox->queue_head, ++slot->queue_head);
            if ((slot->flags & KOS_MSG_TOKEN_FLAG_SINGLE_USE) != 0) {
                slot->used = true;
            }
            full_barrier();
            if (read_word(&mailbox->owner_sleeping) != 0) {
                wake_event(slot->fd);
            }
        }
    }
    pthread_mutex_unlock(&slot->lock);
    return status;
}
