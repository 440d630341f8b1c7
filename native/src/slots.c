/* The records of the token slots, see slots.h. */
#include "slots.h"

#include <sys/mman.h>
#include <unistd.h>

static struct slot slots[KOS_MSG_TOKENS_PER_APP];
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    for (unsigned i = 0; i < KOS_MSG_TOKENS_PER_APP; i++) {
        pthread_mutex_init(&slots[i].use, NULL);
        pthread_mutex_init(&slots[i].lock, NULL);
        pthread_mutex_init(&slots[i].tokens, NULL);
        slots[i].fd = -1;
    }
}

struct slot *slot_at(kos_token_t token)
{
    pthread_once(&prepared, prepare);
    return token == KOS_ABI_NULL_SLOT || token >= KOS_MSG_TOKENS_PER_APP ? NULL : &slots[token];
}

kos_token_t slot_number(const struct slot *slot)
{
    return (kos_token_t)(slot - slots);
}

void slot_hold(struct slot *slot)
{
    pthread_mutex_lock(&slot->use);
    pthread_mutex_lock(&slot->lock);
}

void slot_release(struct slot *slot)
{
    pthread_mutex_unlock(&slot->lock);
    pthread_mutex_unlock(&slot->use);
}

kos_status_t slot_mailbox_state(const struct slot *slot)
{
    switch (read_word(&slot->mailbox->state)) {
    case KOS_ABI_STATE_OPEN:
        return STATUS_OK;
    case KOS_ABI_STATE_REVOKED:
        return STATUS_INVALID_TOKEN;
    default:
        return STATUS_UNAVAILABLE;
    }
}

kos_status_t slot_state(const struct slot *slot)
{
    switch (slot->kind) {
    case KOS_TOKEN_KIND_OWN:
    case KOS_TOKEN_KIND_BUFFER:
        return STATUS_OK;
    case KOS_TOKEN_KIND_MAILBOX:
        return slot->used || slot->ended ? STATUS_INVALID_TOKEN : slot_mailbox_state(slot);
    default:
        return STATUS_INVALID_TOKEN;
    }
}

void slot_forget(struct slot *slot)
{
    if (slot->mailbox != NULL) {
        munmap(slot->mailbox, sizeof *slot->mailbox);
    }
    if (slot->fd >= 0) {
        close(slot->fd);
    }
    slot->kind = KOS_TOKEN_KIND_NONE;
    slot->flags = 0;
    slot->used = false;
    slot->ended = false;
    slot->complained = false;
    slot->badge = 0;
    slot->connection = NULL;
    slot->mailbox_id = 0;
    slot->mailbox = NULL;
    slot->fd = -1;
    slot->size = 0;
    slot->request_seq = 0;
    slot->queue_head = 0;
}

kos_status_t slot_make_empty(struct slot *slot, kos_token_t token)
{
    if (slot->kind == KOS_TOKEN_KIND_NONE) {
        return STATUS_OK;
    }
    if (slot_state(slot) == STATUS_OK) {
        return STATUS_CONFLICT;
    }
    control_words(slot->connection, KOS_OP_TOKEN_DELETE, token, 0, 0);
    slot_forget(slot);
    return STATUS_OK;
}

static bool fill_mailbox(struct slot *slot, struct answer *answer)
{
    if (answer->fds[0] < 0 || answer->fds[1] < 0) {
        return false;
    }
    void *memory = mmap(NULL, KOS_ABI_MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, answer->fds[0], 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    /* SAFETY: MAILBOX_SIZE bytes made and sealed against resizing by our message server; struct mailbox is as large. */
    struct mailbox *mailbox = memory;
    if (read_word(&mailbox->magic) != KOS_ABI_MAILBOX_MAGIC ||
        read_word(&mailbox->version) != KOS_ABI_LAYOUT_VERSION) {
        munmap(memory, KOS_ABI_MAILBOX_SIZE);
        return false;
    }
    slot->mailbox = mailbox;
    slot->fd = answer->fds[1];
    answer->fds[1] = -1;
    return true;
}

kos_status_t slot_fill(struct slot *slot, struct connection *connection, const struct arrival *arrival,
                       struct answer *answer)
{
    bool filled = arrival->kind == KOS_TOKEN_KIND_OWN;
    if (arrival->kind == KOS_TOKEN_KIND_MAILBOX) {
        filled = fill_mailbox(slot, answer);
    } else if (arrival->kind == KOS_TOKEN_KIND_BUFFER && answer->fds[0] >= 0) {
        slot->fd = answer->fds[0];
        answer->fds[0] = -1;
        filled = true;
    }
    control_close_fds(answer);
    if (!filled) {
        /* No memory, no descriptor left, or the other end sealed it: then the message server forgets it too. */
        control_words(connection, KOS_OP_TOKEN_DELETE, slot_number(slot), 0, 0);
        return STATUS_NOT_ENOUGH_MEMORY;
    }
    slot->kind = arrival->kind;
    slot->flags = arrival->flags;
    slot->mailbox_id = arrival->mailbox_id;
    slot->size = arrival->size;
    slot->connection = connection;
    return STATUS_OK;
}

/* A token of our own becomes known to a message server at the latest possible time: it can live on only one. */
static kos_status_t publish_held(struct slot *slot, kos_token_t token, struct connection *connection)
{
    if (slot->kind == KOS_TOKEN_KIND_OWN && slot->connection == NULL) {
        kos_status_t status =
            control_words(connection, KOS_OP_TOKEN_CREATE, slot->badge, slot->flags, token);
        if (status != STATUS_CREATED) {
            return status;
        }
        slot->connection = connection;
    }
    kos_status_t status = slot_state(slot);
    if (status == STATUS_OK && slot->connection != connection) {
        return STATUS_BAD_REQUEST; /* tokens stay on the message server they came from */
    }
    return status;
}

kos_status_t token_offer(kos_token_t token, struct connection *connection, uint64_t mailbox_id, uint32_t *ticket)
{
    struct slot *slot = slot_at(token);
    slot_hold(slot);
    kos_status_t status = publish_held(slot, token, connection);
    if (status == STATUS_OK) {
        struct question question = {.op = KOS_OP_TRANSFER, .a = {token, mailbox_id}};
        struct answer answer = {0};
        status = control_ask(connection, &question, &answer);
        control_close_fds(&answer);
        if (status == STATUS_OK) {
            *ticket = (uint32_t)answer.r[0];
            slot_forget(slot);
        }
    }
    slot_release(slot);
    return status;
}

kos_status_t token_accept(kos_token_t token, struct connection *connection, uint64_t mailbox_id, uint32_t ticket)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL) {
        return STATUS_UNAUTHORIZED;
    }
    slot_hold(slot);
    kos_status_t status = slot_make_empty(slot, token);
    if (status == STATUS_OK) {
        struct question question = {.op = KOS_OP_ACCEPT, .a = {mailbox_id, ticket, token}};
        struct answer answer = {0};
        status = control_ask(connection, &question, &answer);
        if (status == STATUS_OK) {
            struct arrival arrival = {.kind = (uint32_t)answer.r[0],
                                      .flags = (uint32_t)answer.r[1],
                                      .mailbox_id = answer.r[2],
                                      .size = answer.r[3]};
            status = slot_fill(slot, connection, &arrival, &answer);
        }
        control_close_fds(&answer);
    }
    slot_release(slot);
    return status;
}

kos_status_t token_publish(kos_token_t token, struct connection *connection)
{
    struct slot *slot = slot_at(token);
    slot_hold(slot);
    kos_status_t status = publish_held(slot, token, connection);
    slot_release(slot);
    return status;
}

void token_gone(kos_token_t token)
{
    struct slot *slot = slot_at(token);
    slot_hold(slot);
    slot_forget(slot);
    slot_release(slot);
}
