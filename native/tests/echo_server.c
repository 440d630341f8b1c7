/* Serve the port `echo` as the reference's examples do: label and payload back, param plus one. */
#include <kos.h>

kos_msg_server_t server = {0};

#define REQUEST_LABEL 1
#define REQUEST_BADGE (~0)

enum slots { SLOT_RECEIVE = 3, SLOT_NEW };

int main(void)
{
    kos_assert_created(kos_msg_setup(), "kos_msg_setup");
    kos_assert_created(kos_msg_server_create(kos_cap_reserve(), kos_cap_reserve(), SLOT_RECEIVE, &server), NULL);
    kos_assert_ok(kos_dir_bind("echo", REQUEST_LABEL, REQUEST_BADGE, 0), "kos_dir_bind");
    kos_app_ready();

    kos_msg_t msg = kos_msg_new_status(STATUS_OK);
    while (true) {
        kos_word_t badge;
        kos_word_t caller_id;
        kos_assert_ok(kos_msg_reply_receive(&msg, &badge, &caller_id), "kos_msg_reply_receive");
        if (badge == (kos_word_t)REQUEST_BADGE) {
            kos_assert_created(kos_msg_token_create(caller_id, KOS_MSG_FLAG_SEND_PAYLOAD, SLOT_NEW), NULL);
            msg = kos_msg_new(STATUS_OK, 0, 0, SLOT_NEW, 0);
        } else {
            msg = kos_msg_new(STATUS_OK, msg.param + 1, kos_msg_payload_size(msg.metadata), 0, 0);
        }
    }
}
