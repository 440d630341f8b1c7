/* Serve `echo` with several threads that share one set of mailboxes. Argument: how many. */
#include <pthread.h>

#include <kos.h>

#define REQUEST_BADGE (~0)
#define THREADS_MAX 8

static void *serve(void *argument)
{
    kos_token_t slot = (kos_token_t)(uintptr_t)argument;
    kos_msg_server_t server = {0};
    kos_msg_t msg = kos_msg_new_status(STATUS_OK);
    kos_assert_created(kos_msg_server_create(0, 0, 0, &server), NULL);
    while (true) {
        kos_word_t badge;
        kos_word_t caller_id;
        kos_assert_ok(kos_msg_reply_receive(&msg, &badge, &caller_id), NULL);
        if (badge == (kos_word_t)REQUEST_BADGE) {
            kos_assert_created(kos_msg_token_create(caller_id, KOS_MSG_FLAG_SEND_PAYLOAD, slot), NULL);
            msg = kos_msg_new(STATUS_OK, 0, 0, slot, 0);
        } else {
            msg = kos_msg_new(STATUS_OK, msg.param + 1, kos_msg_payload_size(msg.metadata), 0, 0);
        }
    }
    return NULL;
}

int main(int argc, char *argv[])
{
    pthread_t thread;
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    kos_assert_created(kos_msg_setup(), NULL);
    kos_assert_ok(kos_dir_bind("echo", 1, REQUEST_BADGE, 0), NULL);
    kos_app_ready();
    for (unsigned i = 1; i < count && i < THREADS_MAX; i++) {
        kos_assert_eq(pthread_create(&thread, NULL, serve, (void *)(uintptr_t)(10 + i)), 0, NULL);
    }
    serve((void *)(uintptr_t)10);
}
