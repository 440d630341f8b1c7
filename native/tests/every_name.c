/*
 * Every name that existing apps use, as they write it. It includes nothing but the documented headers. Without an
 * argument it only has to link; `every_name asserts WHICH` fails on purpose, for the tests of what is printed.
 */
#include <kos.h>
#include <kos_utils.h>
#include <i2c_client.h>

kos_msg_server_t server = {0};
kos_msg_client_t client = {0};

enum token_slot { TOKEN_CLIENT = 1, TOKEN_SERVICE, TOKEN_RECEIVE, TOKEN_NEW };

#define PROTOCOL_REQUEST_LABEL 1
#define PROTOCOL_REQUEST_BADGE (~0)

_Static_assert(STATUS_OK == 128, "the reference's value");
_Static_assert(KOS_MSG_TOKENS_PER_APP_BITS == 6 && KOS_MSG_TOKENS_PER_APP == 64, "the reference's limits");
_Static_assert(KOS_MSG_TOKEN_SLOT_MASK == 63 && KOS_MSG_PAYLOAD_MAX_SIZE == 4096, "the reference's limits");
_Static_assert(KOS_MSG_FLAG_SEND_PAYLOAD == 1 && KOS_MSG_FLAG_SEND_TOKEN == 2, "the reference's flags");
_Static_assert(KOS_MSG_TOKEN_FLAG_SINGLE_USE == 32, "the reference's flags");

const kos_status_t all[] = {
    STATUS_OK, STATUS_CREATED, STATUS_AT_TOKEN_LIMIT, STATUS_BAD_REQUEST, STATUS_CONFLICT, STATUS_FULL,
    STATUS_INTERNAL_ERROR, STATUS_INVALID_TOKEN, STATUS_NO_REPLY, STATUS_NOT_ENOUGH_MEMORY, STATUS_NOT_FOUND,
    STATUS_NOT_IMPLEMENTED, STATUS_PONG, STATUS_UNAUTHORIZED, STATUS_UNAVAILABLE, KOS_SYS_ERRNO_INVALID_ARGUMENT};

static void set_up(IN kos_thread_environment_t *environment)
{
    kos_cap_t receive_cap = kos_cnode_cap(kos_app_cnode(), KOS_ROOT_RECEIVE);
    kos_cap_set_receive(receive_cap);
    kos_assert_created(kos_msg_setup(), "failed to setup msg server connection");

    kos_cap_t client_cap = kos_cap_reserve();
    kos_status_t status = kos_msg_client_create(client_cap, TOKEN_CLIENT, OUT & client);
    kos_assert_created(status, "failed to create client %d", TOKEN_CLIENT);

    kos_cap_t reply_cap = kos_cap_reserve();
    if (config_set(CONFIG_KERNEL_MCS)) {
        kos_assert_created(kos_cap_alloc_reply(reply_cap), "kos_cap_alloc_reply");
    } else {
        reply_cap = kos_cnode_cap(environment->p_cnode, KOS_THREAD_SLOT_REPLY);
        kos_cap_set_receive(kos_cnode_cap(environment->p_cnode, KOS_THREAD_SLOT_RECEIVE));
    }
    kos_assert_created(kos_msg_server_create(kos_cap_reserve(), reply_cap, TOKEN_RECEIVE, &server), NULL);
    kos_cap_clear_receive();
}

static void serve(void)
{
    kos_assert_ok(kos_dir_bind("my_protocol", PROTOCOL_REQUEST_LABEL, PROTOCOL_REQUEST_BADGE, 0), NULL);
    kos_assert_ok(kos_dir_unbind("my_protocol"), NULL);
    kos_assert_ok(kos_dir_publish_str("my_protocol", PROTOCOL_REQUEST_LABEL, PROTOCOL_REQUEST_BADGE,
                                      KOS_MSG_FLAG_SEND_PAYLOAD),
                  "failed to publish");
    kos_msg_t msg = kos_msg_new_status(STATUS_OK);
    kos_word_t badge;
    kos_word_t caller_id;
    kos_assert_ok(kos_msg_reply_receive(IN_OUT & msg, OUT & badge, OUT & caller_id), "kos_msg_reply_receive");
    if (badge == (kos_word_t)PROTOCOL_REQUEST_BADGE) {
        kos_assert_created(kos_msg_token_create(caller_id, 0, TOKEN_NEW), "kos_msg_token_create");
        msg = kos_msg_new(STATUS_OK, 0, 0, TOKEN_NEW, 0);
    }
    memset(kos_msg_server_payload(), 0, kos_msg_payload_size(msg.metadata));
    kos_assert_ok(kos_dir_unpublish_str("my_protocol"), NULL);
}

static void call(const char *port)
{
    kos_msg_t msg = kos_msg_new(0, 0, 0, 0, 0);
    kos_word_t flags;
    kos_token_t slot;
    kos_queue_msg_t queue_msg = {.label = 1, .bytes = {1, 2, 3}};

    kos_assert_ok(kos_dir_query(port), NULL);
    kos_assert_ok(kos_dir_query_str(port), NULL);
    kos_assert_ok(kos_dir_request(port, TOKEN_SERVICE, KOS_MSG_FLAG_SEND_TOKEN, OPTIONAL NULL), NULL);
    kos_assert_ok(kos_dir_request_str(port, TOKEN_SERVICE, KOS_MSG_FLAG_SEND_TOKEN, &msg), NULL);
    memcpy(kos_msg_client_payload(), "hello", 5);
    msg = kos_msg_new(7, 8, 5, 0, 0);
    kos_assert_ok(kos_msg_call(TOKEN_SERVICE, KOS_MSG_FLAG_SEND_PAYLOAD, &msg), "Problem calling %s", port);
    kos_assert_eq(msg.label, STATUS_OK, "answered %lu", msg.label);
    kos_assert_eq(msg.param, 8, NULL);
    kos_assert_ok(kos_msg_send(TOKEN_SERVICE, msg), NULL);
    kos_assert_ok(kos_msg_queue_send(TOKEN_SERVICE, &queue_msg), NULL);
    kos_assert_eq(kos_msg_ping(), STATUS_PONG, NULL);
    kos_assert_ok(kos_msg_token_slot_pool_alloc(&slot), NULL);
    kos_assert_ok(kos_msg_token_move(slot, TOKEN_SERVICE), NULL);
    kos_assert_ok(kos_msg_token_info(slot, &flags), NULL);
    kos_assert_ok(kos_msg_token_delete(slot), NULL);
    kos_assert_ok(kos_msg_token_revoke(7), NULL);
    kos_printf("transfer token %u\n", kos_msg_transfer_token(msg.metadata));
}

static void services(void)
{
    uint32_t features;
    uint8_t bytes[16];
    uint8_t reg = 0xd0;

    kos_log_debug(TOKEN_SERVICE, "text", 4);
    kos_log_info(TOKEN_SERVICE, "Hello Log Server", 0);
    kos_log_warn(TOKEN_SERVICE, "text", 4);
    kos_log_error(TOKEN_SERVICE, "text", 4);
    kos_assert_ok(kos_request_rng_stream(TOKEN_SERVICE, bytes, sizeof bytes), NULL);
    kos_assert_ok(kos_i2c_get_features(TOKEN_SERVICE, &features), "Problem with I2C features.\n");
    if (kos_i2c_write_synchronous(TOKEN_SERVICE, 0x76, &reg, 1) < (uint16_t)1) {
        kos_stop("no device");
    }
    kos_assert(kos_i2c_read_synchronous(TOKEN_SERVICE, 0x76, bytes, 1) == 1, "read %d", 1);
}

static int fail_on_purpose(const char *which)
{
    kos_printf("a line in ");
    kos_printf("two parts, and ");
    if (strcmp(which, "assert") == 0) {
        kos_assert(1 + 1 == 3, "numbers are %s", "odd");
    } else if (strcmp(which, "assert_null") == 0) {
        kos_assert(false, NULL);
    } else if (strcmp(which, "assert_eq") == 0) {
        kos_assert_eq(sizeof all, 3, "a message");
    } else if (strcmp(which, "assert_eq_signs") == 0) {
        kos_assert_eq((kos_word_t)PROTOCOL_REQUEST_BADGE, PROTOCOL_REQUEST_BADGE, NULL);
    } else if (strcmp(which, "assert_ok") == 0) {
        kos_assert_ok(STATUS_NOT_FOUND, NULL);
    } else if (strcmp(which, "assert_created") == 0) {
        kos_assert_created(STATUS_OK, "made by %s", "nobody");
    } else if (strcmp(which, "stop") == 0) {
        kos_stop("a reason");
    }
    kos_printf("the end without a new-line");
    return 0;
}

int main(int argc, char *argv[])
{
    kos_thread_environment_t *environment;
    if (argc == 3 && strcmp(argv[1], "asserts") == 0) {
        return fail_on_purpose(argv[2]);
    }
    if (argc == 2) {
        kos_assert_eq(kos_pthread_get_kos_env(&environment), STATUS_OK, NULL);
        set_up(environment);
        kos_app_ready();
        serve();
        call(argv[1]);
        services();
        kos_delay(1);
        kos_tcb_suspend(KOS_ROOT_SLOT_TCB);
    }
    return 0;
}
