/*
 * A C app that does what each line of its standard input says and prints the result: the tests speak through it.
 *
 *   request PORT SLOT FLAGS     call SLOT FLAGS LABEL PARAM SIZE TOKEN      send SLOT LABEL PARAM SIZE TOKEN
 *   queue SLOT LABEL            create BADGE FLAGS SLOT                     move TO FROM
 *   delete SLOT                 info SLOT       revoke BADGE       alloc    free SLOT       ping     query PORT
 *   bind PORT                   unbind PORT     receive SLOT MICROSECONDS   reply LABEL PARAM SIZE TOKEN
 *   buffer SIZE SLOT BYTE       map SLOT        name CALLER        dropped BADGE
 *
 * Payloads are SIZE bytes counting up from 0; what comes in is printed as its size and the sum of its bytes.
 */
#include <kos.h>

static uint8_t *buffer_memory;

static unsigned long fill(uint8_t *bytes, unsigned long size)
{
    for (unsigned long i = 0; i < size && i < KOS_MSG_PAYLOAD_MAX_SIZE; i++) {
        bytes[i] = (uint8_t)i;
    }
    return size;
}

static void print_message(kos_status_t status, const kos_msg_t *msg, const uint8_t *payload)
{
    unsigned sum = 0;
    unsigned size = kos_msg_payload_size(msg->metadata);
    for (unsigned i = 0; i < size; i++) {
        sum += payload[i];
    }
    if (status != STATUS_OK) {
        kos_printf("%s\n", kos_status_name(status));
        return;
    }
    kos_printf("%s label=%lu param=%lu size=%u sum=%u token=%u\n", kos_status_name(status), msg->label, msg->param,
               size, sum, kos_msg_transfer_token(msg->metadata));
}

static void print(kos_status_t status)
{
    kos_printf("%s\n", kos_status_name(status));
}

static void receive(kos_token_t slot, kos_word_t microseconds)
{
    static kos_msg_server_t server;
    kos_msg_t msg = kos_msg_new_status(STATUS_OK);
    kos_word_t badge = 0;
    kos_word_t caller = 0;
    kos_msg_server_create(0, 0, slot, &server);
    kos_status_t status = kos_msg_reply_receive_for(&msg, &badge, &caller, microseconds);
    if (status == STATUS_OK) {
        kos_printf("badge=%lu caller=%lx queued=%d ", badge, caller, (msg.metadata & KOS_ABI_METADATA_QUEUED) != 0);
    }
    print_message(status, &msg, kos_msg_server_payload());
}

static void messages(const char *verb, const char *text, const kos_word_t *n)
{
    if (strcmp(verb, "request") == 0) {
        kos_msg_t msg = kos_msg_new(0, 0, 0, 0, 0);
        kos_status_t status = kos_dir_request(text, (kos_token_t)n[1], n[2], &msg);
        print_message(status, &msg, kos_msg_client_payload());
    } else if (strcmp(verb, "call") == 0) {
        kos_msg_t msg = kos_msg_new(n[2], n[3], (uint16_t)fill(kos_msg_client_payload(), n[4]), (kos_token_t)n[5], 0);
        kos_status_t status = kos_msg_call((kos_token_t)n[0], n[1], &msg);
        print_message(status, &msg, kos_msg_client_payload());
    } else if (strcmp(verb, "send") == 0) {
        uint16_t size = (uint16_t)fill(kos_msg_client_payload(), n[3]);
        print(kos_msg_send((kos_token_t)n[0], kos_msg_new(n[1], n[2], size, (kos_token_t)n[4], 0)));
    } else if (strcmp(verb, "queue") == 0) {
        kos_queue_msg_t msg = {.label = n[1]};
        print(kos_msg_queue_send((kos_token_t)n[0], &msg));
    } else if (strcmp(verb, "receive") == 0) {
        receive((kos_token_t)n[0], n[1]);
    } else if (strcmp(verb, "reply") == 0) {
        uint16_t size = (uint16_t)fill(kos_msg_server_payload(), n[2]);
        print(kos_msg_reply(kos_msg_new(n[0], n[1], size, (kos_token_t)n[3], 0)));
    } else {
        kos_stop("no such command");
    }
}

static void tokens(const char *verb, const char *text, const kos_word_t *n)
{
    kos_token_t slot = (kos_token_t)n[0];
    if (strcmp(verb, "create") == 0) {
        print(kos_msg_token_create(n[0], n[1], (kos_token_t)n[2]));
    } else if (strcmp(verb, "move") == 0) {
        print(kos_msg_token_move(slot, (kos_token_t)n[1]));
    } else if (strcmp(verb, "delete") == 0) {
        print(kos_msg_token_delete(slot));
    } else if (strcmp(verb, "revoke") == 0) {
        print(kos_msg_token_revoke(n[0]));
    } else if (strcmp(verb, "free") == 0) {
        print(kos_msg_token_slot_pool_free(slot));
    } else if (strcmp(verb, "alloc") == 0) {
        kos_status_t status = kos_msg_token_slot_pool_alloc(&slot);
        kos_printf("%s %u\n", kos_status_name(status), status == STATUS_OK ? slot : 0);
    } else if (strcmp(verb, "info") == 0) {
        kos_word_t flags = 0;
        kos_status_t status = kos_msg_token_info(slot, &flags);
        kos_printf("%s %lu\n", kos_status_name(status), flags);
    } else {
        messages(verb, text, n);
    }
}

static void others(const char *verb, const char *text, const kos_word_t *n)
{
    if (strcmp(verb, "ping") == 0) {
        print(kos_msg_ping());
    } else if (strcmp(verb, "query") == 0) {
        print(kos_dir_query(text));
    } else if (strcmp(verb, "bind") == 0) {
        print(kos_dir_bind(text, 1, (kos_word_t)~0, KOS_MSG_FLAG_SEND_PAYLOAD));
    } else if (strcmp(verb, "unbind") == 0) {
        print(kos_dir_unbind(text));
    } else if (strcmp(verb, "buffer") == 0) {
        void *memory = buffer_memory;
        kos_status_t status = kos_msg_buffer_create(n[0], (kos_token_t)n[1], &memory);
        buffer_memory = memory;
        if (status == STATUS_CREATED) {
            buffer_memory[n[0] - 1] = (uint8_t)n[2];
        }
        print(status);
    } else if (strcmp(verb, "map") == 0) {
        const void *memory;
        size_t size = 0;
        kos_status_t status = kos_msg_buffer_map((kos_token_t)n[0], &memory, &size);
        const uint8_t *bytes = memory;
        kos_printf("%s %zu %u\n", kos_status_name(status), size, status == STATUS_OK ? bytes[size - 1] : 0);
    } else if (strcmp(verb, "name") == 0) {
        char name[KOS_ABI_APP_NAME_MAX + 1] = "";
        kos_status_t status = kos_msg_app_name(n[0], name, sizeof name);
        kos_printf("%s %s\n", kos_status_name(status), name);
    } else if (strcmp(verb, "dropped") == 0) {
        kos_word_t dropped = 0;
        kos_status_t status = kos_msg_queue_dropped(n[0], &dropped);
        kos_printf("%s %lu\n", kos_status_name(status), dropped);
    } else {
        tokens(verb, text, n);
    }
}

int main(void)
{
    char line[512];
    kos_msg_client_t client = {0};
    kos_assert_created(kos_msg_setup(), NULL);
    kos_assert_created(kos_msg_client_create(0, 1, &client), NULL);
    kos_app_ready();
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *words[8] = {0};
        kos_word_t numbers[7] = {0};
        unsigned count = 0;
        for (char *word = strtok(line, " \n"); word != NULL && count < 8; word = strtok(NULL, " \n")) {
            words[count++] = word;
        }
        for (unsigned i = 1; i < count; i++) {
            numbers[i - 1] = strtoul(words[i], NULL, 0);
        }
        others(words[0] != NULL ? words[0] : "", words[1] != NULL ? words[1] : "", numbers);
    }
    return 0;
}
