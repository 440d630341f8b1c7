/* The token calls of the API: slots as the app manages them. */
#include <string.h>
#include <sys/mman.h>

#include <kos/msg.h>

#include "server.h"
#include "slots.h"
#include "trace.h"

static bool reserved[KOS_MSG_TOKENS_PER_APP];
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;

void slot_reserve(kos_token_t token)
{
    if (token < KOS_MSG_TOKENS_PER_APP) {
        pthread_mutex_lock(&pool_lock);
        reserved[token] = true;
        pthread_mutex_unlock(&pool_lock);
    }
}

kos_status_t kos_msg_token_slot_pool_alloc(kos_token_t *out)
{
    kos_status_t status = STATUS_AT_TOKEN_LIMIT;
    pthread_mutex_lock(&pool_lock);
    /* From the top: apps that number their slots by hand begin at 1. */
    for (kos_token_t token = KOS_MSG_TOKENS_PER_APP - 1; token > 0 && status != STATUS_OK; token--) {
        struct slot *slot = slot_at(token);
        pthread_mutex_lock(&slot->lock);
        bool empty = slot->kind == KOS_TOKEN_KIND_NONE && !slot->awaited;
        pthread_mutex_unlock(&slot->lock);
        if (empty && !reserved[token]) {
            reserved[token] = true;
            *out = token;
            status = STATUS_OK;
        }
    }
    pthread_mutex_unlock(&pool_lock);
    return status;
}

kos_status_t kos_msg_token_slot_pool_free(kos_token_t token)
{
    if (slot_at(token) == NULL) {
        return STATUS_BAD_REQUEST;
    }
    kos_msg_token_delete(token);
    pthread_mutex_lock(&pool_lock);
    reserved[token] = false;
    pthread_mutex_unlock(&pool_lock);
    return STATUS_OK;
}

kos_status_t kos_msg_token_create(kos_word_t badge, kos_word_t flags, kos_token_t token)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL || (flags & ~(kos_word_t)KOS_ABI_TOKEN_FLAGS_MASK) != 0) {
        return STATUS_BAD_REQUEST;
    }
    struct connection *only = connections_open() == 1 ? connection_at(0) : NULL;
    if (connection_first() == NULL) {
        return STATUS_UNAVAILABLE;
    }
    slot_hold(slot);
    kos_status_t status = slot_make_empty(slot, token);
    if (status == STATUS_OK) {
        status = only == NULL ? STATUS_CREATED
                              : control_words(only, KOS_OP_TOKEN_CREATE, badge, flags, token);
    }
    if (status == STATUS_CREATED) {
        slot->kind = KOS_TOKEN_KIND_OWN;
        slot->flags = (uint32_t)flags;
        slot->badge = badge;
        slot->connection = only;
    }
    slot_release(slot);
    TRACE(.kind = KOS_TRACE_KIND_CREATE, .badge = badge, .slot = token, .status = status, .connection = only);
    return status;
}

/* Hold two different slots, always in the same order. */
static void hold_both(struct slot *one, struct slot *other)
{
    slot_hold(one < other ? one : other);
    slot_hold(one < other ? other : one);
}

kos_status_t kos_msg_token_move(kos_token_t destination, kos_token_t source)
{
    struct slot *to = slot_at(destination);
    struct slot *from = slot_at(source);
    if (to == NULL || from == NULL || to == from) {
        return STATUS_BAD_REQUEST;
    }
    hold_both(to, from);
    kos_status_t status = from->kind == KOS_TOKEN_KIND_NONE ? STATUS_INVALID_TOKEN : slot_make_empty(to, destination);
    if (status == STATUS_OK && from->connection != NULL) {
        status = control_words(from->connection, KOS_OP_TOKEN_MOVE, destination, source, 0);
    }
    if (status == STATUS_OK) {
        to->kind = from->kind;
        to->flags = from->flags;
        to->used = from->used;
        to->ended = from->ended;
        to->complained = from->complained;
        to->badge = from->badge;
        to->connection = from->connection;
        to->mailbox_id = from->mailbox_id;
        to->mailbox = from->mailbox;
        to->fd = from->fd;
        to->size = from->size;
        to->request_seq = from->request_seq;
        to->queue_head = from->queue_head;
        from->mailbox = NULL;
        from->fd = -1;
        slot_forget(from);
    }
    slot_release(from);
    slot_release(to);
    return status;
}

kos_status_t kos_msg_token_delete(kos_token_t token)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL) {
        return STATUS_BAD_REQUEST;
    }
    slot_hold(slot);
    TRACE(.kind = KOS_TRACE_KIND_DELETE, .mailbox = slot->mailbox_id, .badge = slot->badge, .slot = token,
          .status = STATUS_OK, .connection = slot->connection);
    kos_status_t status = STATUS_INVALID_TOKEN;
    if (slot->kind != KOS_TOKEN_KIND_NONE) {
        status = STATUS_OK;
        if (slot->connection != NULL) {
            status = control_words(slot->connection, KOS_OP_TOKEN_DELETE, token, 0, 0);
        }
        slot_forget(slot);
    }
    slot_release(slot);
    return status;
}

kos_status_t kos_msg_token_info(kos_token_t token, kos_word_t *flags)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL) {
        return STATUS_BAD_REQUEST;
    }
    pthread_mutex_lock(&slot->lock);
    kos_status_t status = slot_state(slot);
    if (status == STATUS_OK && slot->connection != NULL && !control_alive(slot->connection)) {
        status = STATUS_UNAVAILABLE;
    }
    if (status == STATUS_OK && flags != NULL) {
        *flags = slot->flags;
    }
    pthread_mutex_unlock(&slot->lock);
    return status;
}

static bool is_own(const struct slot *slot, kos_word_t badge)
{
    return slot->kind == KOS_TOKEN_KIND_OWN && slot->badge == badge;
}

/* Tokens with that badge that never left this app. */
static void forget_own(kos_word_t badge)
{
    for (kos_token_t token = 1; token < KOS_MSG_TOKENS_PER_APP; token++) {
        struct slot *slot = slot_at(token);
        /* Not `use` of every slot: another thread may have a call under way that nobody answers for long. */
        pthread_mutex_lock(&slot->lock);
        bool ours = is_own(slot, badge);
        pthread_mutex_unlock(&slot->lock);
        if (ours) {
            slot_hold(slot);
            if (is_own(slot, badge)) {
                slot_forget(slot);
            }
            slot_release(slot);
        }
    }
}

kos_status_t kos_msg_token_revoke(kos_word_t badge)
{
    kos_status_t status = STATUS_UNAVAILABLE;
    unsigned count = connections_open();
    for (unsigned i = 0; i < count; i++) {
        kos_status_t here = control_words(connection_at(i), KOS_OP_TOKEN_REVOKE, badge, 0, 0);
        status = here == STATUS_OK || status == STATUS_UNAVAILABLE ? here : status;
    }
    owned_drop_badge(badge);
    forget_own(badge);
    TRACE(.kind = KOS_TRACE_KIND_REVOKE, .badge = badge, .status = status);
    return status;
}

kos_status_t kos_msg_buffer_create(size_t size, kos_token_t token, void **memory)
{
    struct slot *slot = slot_at(token);
    struct connection *connection = connection_first();
    if (slot == NULL || memory == NULL || size == 0 || size > KOS_ABI_BUFFER_MAX_SIZE) {
        return STATUS_BAD_REQUEST;
    }
    if (connection == NULL) {
        return STATUS_UNAVAILABLE;
    }
    slot_hold(slot);
    kos_status_t status = slot_make_empty(slot, token);
    if (status == STATUS_OK) {
        struct question question = {.op = KOS_OP_BUFFER_CREATE, .a = {size, token}};
        struct answer answer = {0};
        status = control_ask(connection, &question, &answer);
        if (status == STATUS_CREATED) {
            void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, answer.fds[0], 0);
            struct arrival arrival = {.kind = KOS_TOKEN_KIND_BUFFER, .size = size};
            if (mapped == MAP_FAILED) {
                control_words(connection, KOS_OP_TOKEN_DELETE, token, 0, 0);
                status = STATUS_NOT_ENOUGH_MEMORY;
            } else if (slot_fill(slot, connection, &arrival, &answer) != STATUS_OK) {
                munmap(mapped, size);
                status = STATUS_NOT_ENOUGH_MEMORY;
            } else {
                *memory = mapped;
            }
        }
        control_close_fds(&answer);
    }
    slot_release(slot);
    return status;
}

kos_status_t kos_msg_buffer_map(kos_token_t token, const void **memory, size_t *size)
{
    struct slot *slot = slot_at(token);
    if (slot == NULL || memory == NULL || size == NULL) {
        return STATUS_BAD_REQUEST;
    }
    kos_status_t status = STATUS_INVALID_TOKEN;
    pthread_mutex_lock(&slot->lock);
    if (slot->kind == KOS_TOKEN_KIND_BUFFER) {
        void *mapped = mmap(NULL, slot->size, PROT_READ, MAP_SHARED, slot->fd, 0);
        status = mapped == MAP_FAILED ? STATUS_NOT_ENOUGH_MEMORY : STATUS_OK;
        if (status == STATUS_OK) {
            *memory = mapped;
            *size = slot->size;
        }
    }
    pthread_mutex_unlock(&slot->lock);
    return status;
}
