/* The message's metadata: what kos_msg_new packs is what the readers unpack, for every size and slot. */
#include <kos.h>

#include "mailbox.h"

int main(void)
{
    for (unsigned size = 0; size <= KOS_MSG_PAYLOAD_MAX_SIZE; size++) {
        kos_token_t slot = size % KOS_MSG_TOKENS_PER_APP;
        kos_msg_t msg = kos_msg_new((kos_word_t)-1, (kos_word_t)-2, (uint16_t)size, slot, (kos_word_t)-1);
        kos_assert_eq(kos_msg_payload_size(msg.metadata), size, NULL);
        kos_assert_eq(kos_msg_transfer_token(msg.metadata), slot, NULL);
        kos_assert_eq(msg.label, (kos_word_t)-1, NULL);
        kos_assert_eq(msg.param, (kos_word_t)-2, NULL);
        msg.metadata |= KOS_ABI_METADATA_QUEUED | KOS_ABI_METADATA_ONE_WAY;
        kos_assert_eq(kos_msg_payload_size(msg.metadata), size, "marks are beside the size");
        kos_assert_eq(kos_msg_transfer_token(msg.metadata), slot, "marks are beside the slot");
    }
    /* One over the limit stays over it, so that the call refuses it and does not send something else. */
    kos_msg_t over = kos_msg_new(0, 0, KOS_MSG_PAYLOAD_MAX_SIZE + 1, 0, 0);
    kos_assert(kos_msg_payload_size(over.metadata) > KOS_MSG_PAYLOAD_MAX_SIZE, NULL);
    over = kos_msg_new(0, 0, UINT16_MAX, 0, 0);
    kos_assert(kos_msg_payload_size(over.metadata) > KOS_MSG_PAYLOAD_MAX_SIZE, NULL);
    kos_msg_t status = kos_msg_new_status(STATUS_FULL);
    kos_assert_eq(status.label, STATUS_FULL, NULL);
    kos_assert_eq(status.metadata, 0, NULL);
    for (kos_status_t code = STATUS_OK; code <= STATUS_UNAVAILABLE; code++) {
        kos_assert(strncmp(kos_status_name(code), "STATUS_", 7) == 0, "code %u has a name", code);
    }
    kos_assert(strcmp(kos_status_name(0), "no status code") == 0, NULL);
    kos_assert(strcmp(kos_status_name(STATUS_UNAVAILABLE + 1), "no status code") == 0, NULL);
    kos_printf("ok\n");
    return 0;
}
