/* The table of mailboxes that this app owns, see server.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"
#include "server.h"
#include "wait.h"

static struct owned *table[KOS_ABI_MAILBOXES_PER_OWNER];
static unsigned table_size;
static unsigned last_served;
static _Atomic uint32_t last_holder_cpu;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

static void detach(const struct owned *owned)
{
    control_words(owned->connection, KOS_OP_DETACH, owned->id, 0, 0);
}

static void release(struct owned *owned)
{
    munmap(owned->mailbox, sizeof *owned->mailbox);
    close(owned->event_fd);
    free(owned);
}

/* Remove what has nothing more to give and is not being served. The lock is held. */
static void reap(unsigned index)
{
    struct owned *owned = table[index];
    if (owned->serving) {
        return;
    }
    table[index] = table[--table_size];
    crowd_left(owned);
    if (owned->offered) {
        detach(owned);
    }
    /* Closing our descriptor would not do: the holder has one of the same eventfd and could go on waking us. */
    epoll_ctl(owned->epoll_fd, EPOLL_CTL_DEL, owned->event_fd, NULL);
    release(owned);
}

static unsigned index_of(const struct owned *owned)
{
    unsigned index = 0;
    while (table[index] != owned) {
        index++;
    }
    return index;
}

static struct owned *map_owned(struct answer *answer)
{
    if (answer->fds[0] < 0 || answer->fds[1] < 0) {
        return NULL;
    }
    struct owned *owned = calloc(1, sizeof *owned);
    if (owned == NULL) {
        return NULL;
    }
    void *memory = mmap(NULL, KOS_ABI_MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, answer->fds[0], 0);
    if (memory == MAP_FAILED) {
        free(owned);
        return NULL;
    }
    /* SAFETY: MAILBOX_SIZE bytes made and sealed against resizing by our message server; struct mailbox is as large. */
    owned->mailbox = memory;
    owned->event_fd = answer->fds[1];
    answer->fds[1] = -1;
    return owned;
}

void owned_attach(struct connection *connection, struct answer *answer, int epoll_fd)
{
    struct owned *owned = map_owned(answer);
    control_close_fds(answer);
    if (owned == NULL) {
        /* Without memory for it the holder must not wait for ever. */
        control_words(connection, KOS_OP_DETACH, answer->r[1], 0, 0);
        return;
    }
    owned->id = answer->r[1];
    owned->badge = answer->r[2];
    owned->flags = (uint32_t)answer->r[3];
    owned->caller_id = answer->r[4];
    owned->connection = connection;
    owned->epoll_fd = epoll_fd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    pthread_mutex_lock(&table_lock);
    if (table_size < KOS_ABI_MAILBOXES_PER_OWNER &&
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, owned->event_fd, &event) == 0) {
        table[table_size++] = owned;
        owned = NULL;
    }
    pthread_mutex_unlock(&table_lock);
    if (owned != NULL) {
        detach(owned);
        release(owned);
    }
}

/* How many messages the queue really can hold between our tail and the holder's word for its head. */
static uint32_t queued(const struct owned *owned, uint32_t head)
{
    uint32_t count = head - owned->queue_tail;
    return count > KOS_ABI_QUEUE_LENGTH ? KOS_ABI_QUEUE_LENGTH : count;
}

void owned_close(struct connection *connection, uint64_t id, bool offered, bool dropped)
{
    pthread_mutex_lock(&table_lock);
    for (unsigned i = 0; i < table_size; i++) {
        struct owned *owned = table[i];
        if (owned->connection == connection && owned->id == id && !owned->closed) {
            owned->closed = true;
            owned->offered = offered;
            owned->dropped |= dropped;
            owned->final_seq = read_word(&owned->mailbox->request_seq);
            owned->final_head = owned->queue_tail + queued(owned, read_word(&owned->mailbox->queue_head));
        }
    }
    pthread_mutex_unlock(&table_lock);
}

void owned_drop_badge(uint64_t badge)
{
    pthread_mutex_lock(&table_lock);
    for (unsigned i = table_size; i-- > 0;) {
        if (table[i]->badge == badge) {
            table[i]->closed = true;
            table[i]->dropped = true;
            reap(i);
        }
    }
    pthread_mutex_unlock(&table_lock);
}

static void wake_holder(struct mailbox *mailbox)
{
    atomic_fetch_add_explicit(&mailbox->holder_event, 1, memory_order_release);
    full_barrier();
    if (read_word(&mailbox->holder_sleeping) != 0) {
        wake_futex(&mailbox->holder_event);
    }
}

static void write_reply(struct owned *owned, uint32_t seq, const kos_msg_t *msg, uint32_t size, uint32_t ticket)
{
    struct mailbox *mailbox = owned->mailbox;
    mailbox->reply_label = msg->label;
    mailbox->reply_param = msg->param;
    write_word(&mailbox->reply_size, size);
    write_word(&mailbox->reply_ticket, ticket);
    if (size > 0) {
        memcpy(mailbox->reply_payload, server_payload(), size);
    }
    publish_word(&mailbox->reply_seq, seq);
    wake_holder(mailbox);
}

/* Once for each mailbox: a holder that goes on does not get more of our time than its answers take. */
static void complain(struct owned *owned, uint32_t what)
{
    if (!owned->complained) {
        owned->complained = true;
        control_words(owned->connection, KOS_OP_COMPLAIN, owned->id, what, 0);
    }
}

/* One message used up a single-use token: no second one is taken. */
static void use_up(struct owned *owned)
{
    if ((owned->flags & KOS_MSG_TOKEN_FLAG_SINGLE_USE) != 0) {
        owned->used = true;
    }
}

/* ... and the message server ends it, once that message was answered. */
static void end_single_use(struct owned *owned)
{
    if (read_word(&owned->mailbox->request_seq) != owned->request_seq) {
        complain(owned, KOS_COMPLAINT_USED);
    }
    detach(owned);
    owned->dropped = true;
}

static bool take_queued(struct owned *owned, struct received *received)
{
    uint32_t head = owned->closed ? owned->final_head : read_word(&owned->mailbox->queue_head);
    uint32_t count = queued(owned, head);
    if (count == 0 || owned->used) {
        return false;
    }
    /* A head that is impossibly far ahead: the holder wrote over its own messages; take what is there. */
    if (head - owned->queue_tail != count) {
        owned->queue_tail = head - count;
        complain(owned, KOS_COMPLAINT_QUEUE);
    }
    const struct queue_entry *entry = &owned->mailbox->queue[owned->queue_tail % KOS_ABI_QUEUE_LENGTH];
    received->msg = kos_msg_new((kos_word_t)entry->label, 0, KOS_ABI_QUEUE_BYTES, 0, 0);
    received->msg.metadata |= KOS_ABI_METADATA_QUEUED;
    memcpy(server_payload(), entry->bytes, KOS_ABI_QUEUE_BYTES);
    publish_word(&owned->mailbox->queue_tail, ++owned->queue_tail);
    received->seq = owned->queue_tail;
    use_up(owned);
    return true;
}

/* The request's words, each read once. */
struct request {
    uint32_t seq, kind, size, ticket, reply_flags;
    uint64_t label, param;
};

static kos_status_t check(struct owned *owned, const struct request *request)
{
    if (owned->used) {
        return STATUS_INVALID_TOKEN;
    }
    if ((request->kind != KOS_ABI_REQUEST_CALL && request->kind != KOS_ABI_REQUEST_SEND) ||
        request->size > KOS_MSG_PAYLOAD_MAX_SIZE) {
        complain(owned, KOS_COMPLAINT_HEADER);
        return STATUS_BAD_REQUEST;
    }
    if ((request->size > 0 && (owned->flags & KOS_MSG_FLAG_SEND_PAYLOAD) == 0) ||
        (request->ticket != 0 && (owned->flags & KOS_MSG_FLAG_SEND_TOKEN) == 0)) {
        complain(owned, KOS_COMPLAINT_FLAGS);
        return STATUS_UNAUTHORIZED;
    }
    return STATUS_OK;
}

static bool take_request(struct owned *owned, struct received *received)
{
    struct mailbox *mailbox = owned->mailbox;
    struct request request = {.seq = owned->closed ? owned->final_seq : read_word(&mailbox->request_seq)};
    if (request.seq == owned->request_seq || owned->serving) {
        return false;
    }
    owned->request_seq = request.seq;
    request.kind = peek_word(&mailbox->request_kind);
    request.label = mailbox->request_label;
    request.param = mailbox->request_param;
    request.size = peek_word(&mailbox->request_size);
    request.ticket = peek_word(&mailbox->request_ticket);
    request.reply_flags = peek_word(&mailbox->reply_flags);
    last_holder_cpu = peek_word(&mailbox->holder_cpu);
    kos_status_t status = check(owned, &request);
    if (status == STATUS_OK && request.size > 0) {
        memcpy(server_payload(), mailbox->request_payload, request.size);
    }
    bool call = request.kind != KOS_ABI_REQUEST_SEND;
    bool with_token = status == STATUS_OK && !call && request.ticket != 0;
    if (!with_token) {
        publish_word(&mailbox->taken_seq, request.seq);
    }
    if (!call && !with_token) {
        wake_holder(mailbox);
    }
    if (status != STATUS_OK || (call && owned->closed)) {
        if (call) {
            const kos_msg_t refusal = kos_msg_new_status(status);
            write_reply(owned, request.seq, &refusal, 0, 0);
        }
        return false;
    }
    received->msg =
        kos_msg_new((kos_word_t)request.label, (kos_word_t)request.param, (uint16_t)request.size, 0, 0);
    received->ticket = request.ticket;
    received->seq = request.seq;
    received->reply_flags = request.reply_flags;
    received->owned = call ? owned : NULL;
    received->with_token = with_token ? owned : NULL;
    received->msg.metadata |= call ? 0 : KOS_ABI_METADATA_ONE_WAY;
    owned->serving = call || with_token;
    use_up(owned);
    return true;
}

static bool take_one(struct owned *owned, struct received *received)
{
    if (owned->dropped || !(take_queued(owned, received) || take_request(owned, received))) {
        return false;
    }
    received->badge = owned->badge;
    received->caller_id = owned->caller_id;
    received->connection = owned->connection;
    received->mailbox_id = owned->id;
    return true;
}

bool owned_take(struct received *received)
{
    bool taken = false;
    pthread_mutex_lock(&table_lock);
    for (unsigned left = table_size; left > 0 && table_size > 0 && !taken; left--) {
        last_served = last_served + 1 < table_size ? last_served + 1 : 0;
        struct owned *owned = table[last_served];
        taken = take_one(owned, received);
        if (taken && owned->used && !owned->serving) {
            end_single_use(owned);
        }
        if (owned->closed && !taken) {
            /* Another mailbox moves into this place: look at it too, or it waits for someone else's wake-up. */
            reap(last_served);
            last_served = last_served > 0 ? last_served - 1 : table_size;
        }
    }
    pthread_mutex_unlock(&table_lock);
    return taken;
}

void owned_sleep(bool sleeping)
{
    pthread_mutex_lock(&table_lock);
    uint32_t cpu = crowd_place();
    for (unsigned i = 0; i < table_size; i++) {
        write_word(&table[i]->mailbox->owner_sleeping, sleeping);
        write_word(&table[i]->mailbox->owner_cpu, cpu);
    }
    pthread_mutex_unlock(&table_lock);
    full_barrier();
}

bool owned_peer_is_here(void)
{
    return last_holder_cpu == wait_cpu();
}

/* What is to be done once a message was dealt with. The lock is held. */
static void served(struct owned *owned)
{
    owned->serving = false;
    if (owned->closed) {
        reap(index_of(owned));
    } else if (owned->used) {
        end_single_use(owned);
    } else if (read_word(&owned->mailbox->request_seq) != owned->request_seq) {
        /* Came while we served the one before: the leader passed over it and may sleep. */
        wake_event(owned->event_fd);
    }
}

void owned_accepted(struct received *received)
{
    struct owned *owned = received->with_token;
    pthread_mutex_lock(&table_lock);
    publish_word(&owned->mailbox->taken_seq, received->seq);
    wake_holder(owned->mailbox);
    served(owned);
    pthread_mutex_unlock(&table_lock);
    received->with_token = NULL;
}

void owned_reply(struct received *received, const kos_msg_t *msg, uint32_t ticket)
{
    struct owned *owned = received->owned;
    uint32_t size = kos_msg_payload_size(msg->metadata);
    if (size > KOS_MSG_PAYLOAD_MAX_SIZE || (received->reply_flags & KOS_MSG_FLAG_SEND_PAYLOAD) == 0) {
        size = 0;
    }
    pthread_mutex_lock(&table_lock);
    if (!owned->dropped) { /* who was revoked meanwhile learns that, and always only that */
        bool here = peek_word(&owned->mailbox->holder_cpu) == wait_cpu();
        write_word(&owned->mailbox->owner_cpu, crowd_answered(owned, here));
        write_reply(owned, received->seq, msg, size, ticket);
    }
    served(owned);
    pthread_mutex_unlock(&table_lock);
    received->owned = NULL;
}

kos_status_t kos_msg_queue_dropped(kos_word_t badge, kos_word_t *dropped)
{
    if (dropped == NULL) {
        return STATUS_BAD_REQUEST;
    }
    kos_status_t status = STATUS_NOT_FOUND;
    *dropped = 0;
    pthread_mutex_lock(&table_lock);
    for (unsigned i = 0; i < table_size; i++) {
        if (table[i]->badge == badge) {
            *dropped += peek_word(&table[i]->mailbox->queue_dropped);
            status = STATUS_OK;
        }
    }
    pthread_mutex_unlock(&table_lock);
    return status;
}
