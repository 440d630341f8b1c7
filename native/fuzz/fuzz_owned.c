/*
 * A hostile holder: the input is a program of writes into its mailbox, between which the owner receives and replies.
 * Whatever it writes, a message that reaches the app keeps the token's limits.
 */
#include "double.h"

static const uint32_t words[] = {
    KOS_MAILBOX_STATE,        KOS_MAILBOX_HOLDER_EVENT, KOS_MAILBOX_REQUEST_SEQ,   KOS_MAILBOX_HOLDER_SLEEPING,
    KOS_MAILBOX_HOLDER_CPU,   KOS_MAILBOX_REQUEST_KIND, KOS_MAILBOX_REQUEST_LABEL, KOS_MAILBOX_REQUEST_PARAM,
    KOS_MAILBOX_REQUEST_SIZE, KOS_MAILBOX_REPLY_FLAGS,  KOS_MAILBOX_REPLY_SEQ,     KOS_MAILBOX_OWNER_SLEEPING,
    KOS_MAILBOX_OWNER_CPU,    KOS_MAILBOX_REPLY_SIZE,   KOS_MAILBOX_TAKEN_SEQ,     KOS_MAILBOX_QUEUE_HEAD,
    KOS_MAILBOX_QUEUE_TAIL,   KOS_MAILBOX_MAGIC,        KOS_MAILBOX_QUEUE_DROPPED, KOS_MAILBOX_REQUEST_TICKET,
};

static void check(const struct received *received, uint32_t flags, unsigned *messages)
{
    uint32_t size = kos_msg_payload_size(received->msg.metadata);
    bool queued = (received->msg.metadata & KOS_ABI_METADATA_QUEUED) != 0;
    kos_assert(received->badge == 42 && received->caller_id == 0x10000, "who speaks is known from our table");
    kos_assert(size <= KOS_MSG_PAYLOAD_MAX_SIZE, "size %u", size);
    kos_assert(queued || size == 0 || (flags & KOS_MSG_FLAG_SEND_PAYLOAD) != 0, "payload that is not allowed");
    kos_assert(received->ticket == 0 || (flags & KOS_MSG_FLAG_SEND_TOKEN) != 0, "a token that is not allowed");
    (*messages)++;
    kos_assert((flags & KOS_MSG_TOKEN_FLAG_SINGLE_USE) == 0 || *messages == 1, "a second use");
}

/* Receive what is there, boundedly, and answer. */
static void receive(uint32_t flags, unsigned *messages)
{
    struct received received = {0};
    for (unsigned i = 0; i < 2 * KOS_ABI_QUEUE_LENGTH && owned_take(&received); i++) {
        check(&received, flags, messages);
        if (received.owned != NULL) {
            const kos_msg_t reply = kos_msg_new(STATUS_OK, 0, 64, 0, 0);
            owned_reply(&received, &reply, 0);
        }
        memset(&received, 0, sizeof received);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint32_t flags = data[0] & KOS_ABI_TOKEN_FLAGS_MASK;
    unsigned messages = 0;
    struct mailbox *mailbox = attach_mailbox(1, 42, flags);
    for (size_t i = 1; i + 6 <= size; i += 6) {
        uint32_t value;
        memcpy(&value, data + i + 1, sizeof value);
        /* SAFETY: every offset of the table lies inside the header. */
        shared_word *word = (shared_word *)((char *)mailbox + words[data[i] % (sizeof words / sizeof *words)]);
        write_word(word, value);
        if (data[i + 5] % 2 == 0) {
            receive(flags, &messages);
        }
        if (data[i + 5] == 0xff) {
            owned_close(&lost_connection, 1, false, false);
        }
    }
    receive(flags, &messages);
    owned_drop_badge(42);
    munmap(mailbox, sizeof *mailbox);
    return 0;
}
