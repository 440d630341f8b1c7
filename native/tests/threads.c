/*
 * Threads of one client: `threads THREADS CALLS shared|own`. Each checks every answer; with `shared` all use one token.
 */
#include <pthread.h>

#include <kos.h>

#define THREADS_MAX 16
#define FIRST_SLOT 20

static unsigned calls;
static bool shared;

static void *run(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    kos_token_t token = FIRST_SLOT + (shared ? 0 : number);
    kos_msg_client_t client = {0};
    kos_assert_created(kos_msg_client_create(0, 0, &client), NULL);
    for (unsigned i = 0; i < calls; i++) {
        unsigned size = 1 + (i * 37 + number) % KOS_MSG_PAYLOAD_MAX_SIZE;
        memset(kos_msg_client_payload(), (int)(number + i), size);
        kos_msg_t msg = kos_msg_new(number, i, (uint16_t)size, 0, 0);
        kos_assert_ok(kos_msg_call(token, KOS_MSG_FLAG_SEND_PAYLOAD, &msg), NULL);
        kos_assert_eq(msg.param, (kos_word_t)i + 1, "thread %u", number);
        kos_assert_eq(kos_msg_payload_size(msg.metadata), size, "thread %u", number);
        const uint8_t *back = kos_msg_client_payload();
        kos_assert(back[0] == (uint8_t)(number + i) && back[size - 1] == back[0], "thread %u got another's", number);
    }
    return NULL;
}

int main(int argc, char *argv[])
{
    pthread_t threads[THREADS_MAX];
    kos_assert_eq(argc, 4, "threads THREADS CALLS shared|own");
    unsigned count = (unsigned)atoi(argv[1]);
    calls = (unsigned)atoi(argv[2]);
    shared = strcmp(argv[3], "shared") == 0;
    kos_assert(count <= THREADS_MAX, NULL);
    for (unsigned i = 0; i < (shared ? 1 : count); i++) {
        kos_assert_ok(kos_dir_request("echo", FIRST_SLOT + i, KOS_MSG_FLAG_SEND_TOKEN, NULL), NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        kos_assert_eq(pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i), 0, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    kos_printf("ok\n");
    return 0;
}
