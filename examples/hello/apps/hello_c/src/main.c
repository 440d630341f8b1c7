/* hello_c: greets the app that serves hello_protocol, prints the answer, and then rests. */
#include <string.h>

#include <kos.h>

#define PORT "hello_protocol"
#define LABEL_GREET 1u
#define RETRY_MICROSECONDS 20000u

/* A token for the port, as soon as its server is there. */
static kos_token_t connect(void)
{
    kos_token_t slot;
    kos_status_t status;
    kos_assert_ok(kos_msg_token_slot_pool_alloc(&slot), NULL);
    while ((status = kos_dir_request(PORT, slot, KOS_MSG_FLAG_SEND_PAYLOAD | KOS_MSG_FLAG_SEND_TOKEN, NULL)) ==
           STATUS_UNAVAILABLE) {
        kos_delay(RETRY_MICROSECONDS);
    }
    kos_assert_ok(status, "%s: %s", PORT, kos_status_name(status));
    return slot;
}

int main(int argc, char *argv[])
{
    const char *name = argc > 1 ? argv[1] : "nobody";
    size_t size = strlen(name);
    kos_msg_client_t client = {0};
    kos_token_t received;

    kos_assert(size <= KOS_MSG_PAYLOAD_MAX_SIZE, "a name of %zu bytes is too long", size);
    kos_assert_created(kos_msg_setup(), NULL);
    kos_assert_ok(kos_msg_token_slot_pool_alloc(&received), NULL);
    kos_assert_created(kos_msg_client_create(0, received, &client), NULL);
    kos_token_t server = connect();

    memcpy(kos_msg_client_payload(), name, size);
    kos_msg_t msg = kos_msg_new(LABEL_GREET, 0, (uint16_t)size, 0, 0);
    kos_assert_ok(kos_msg_call(server, KOS_MSG_FLAG_SEND_PAYLOAD, &msg), NULL);
    kos_assert_ok((kos_status_t)msg.label, "the greeting was refused");
    kos_printf("answer: %.*s\n", (int)kos_msg_payload_size(msg.metadata), (const char *)kos_msg_client_payload());

    kos_app_ready();
    kos_tcb_suspend(KOS_ROOT_SLOT_TCB);
    return 0;
}
