/* The client side of the log and random number services, see kos/services.h. */
#include <string.h>

#include <kos/msg.h>
#include <kos/services.h>

/* One way: a log line must not cost a round trip, and it outlives the app that wrote it. */
static kos_status_t log_write(kos_token_t token, kos_word_t level, const char *text, size_t size)
{
    if (text == NULL) {
        return STATUS_BAD_REQUEST;
    }
    if (size == 0) {
        size = strlen(text);
    }
    if (size > KOS_MSG_PAYLOAD_MAX_SIZE) {
        size = KOS_MSG_PAYLOAD_MAX_SIZE;
    }
    memcpy(kos_msg_client_payload(), text, size);
    return kos_msg_send(token, kos_msg_new(KOS_LOG_WRITE, level, (uint16_t)size, 0, 0));
}

kos_status_t kos_log_debug(kos_token_t token, const char *text, size_t size)
{
    return log_write(token, KOS_LOG_LEVEL_DEBUG, text, size);
}

kos_status_t kos_log_info(kos_token_t token, const char *text, size_t size)
{
    return log_write(token, KOS_LOG_LEVEL_INFO, text, size);
}

kos_status_t kos_log_warn(kos_token_t token, const char *text, size_t size)
{
    return log_write(token, KOS_LOG_LEVEL_WARN, text, size);
}

kos_status_t kos_log_error(kos_token_t token, const char *text, size_t size)
{
    return log_write(token, KOS_LOG_LEVEL_ERROR, text, size);
}

kos_status_t kos_request_rng_stream(kos_token_t token, void *buffer, size_t size)
{
    uint8_t *out = buffer;
    size_t done = 0;
    kos_status_t status = size > 0 && buffer == NULL ? STATUS_BAD_REQUEST : STATUS_OK;
    while (status == STATUS_OK && done < size) {
        size_t part = size - done < KOS_MSG_PAYLOAD_MAX_SIZE ? size - done : KOS_MSG_PAYLOAD_MAX_SIZE;
        kos_msg_t msg = kos_msg_new(KOS_RNG_READ, part, 0, 0, 0);
        status = kos_msg_call(token, KOS_MSG_FLAG_SEND_PAYLOAD, &msg);
        if (status == STATUS_OK && msg.label != STATUS_OK) {
            status = (kos_status_t)msg.label;
        } else if (status == STATUS_OK && kos_msg_payload_size(msg.metadata) != part) {
            status = STATUS_INTERNAL_ERROR;
        } else if (status == STATUS_OK) {
            memcpy(out + done, kos_msg_client_payload(), part);
            done += part;
        }
    }
    if (status != STATUS_OK && buffer != NULL) {
        memset(buffer, 0, size);
    }
    return status;
}
