/* The client side of an I2C bus, see i2c_client.h. */
#include <string.h>

#include <i2c_client.h>
#include <kos/msg.h>

kos_status_t kos_i2c_get_features(kos_token_t token, uint32_t *features)
{
    kos_msg_t msg = kos_msg_new(KOS_I2C_GET_FEATURES, 0, 0, 0, 0);
    kos_status_t status = features == NULL ? STATUS_BAD_REQUEST : kos_msg_call(token, 0, &msg);
    if (status == STATUS_OK && msg.label != STATUS_OK) {
        status = (kos_status_t)msg.label;
    }
    if (status == STATUS_OK) {
        *features = (uint32_t)msg.param;
    }
    return status;
}

/* How many bytes the server says that it did, never more than were asked for. */
static uint16_t done(kos_status_t status, const kos_msg_t *msg, size_t size)
{
    if (status != STATUS_OK || msg->label != STATUS_OK) {
        return 0;
    }
    return (uint16_t)(msg->param < size ? msg->param : size);
}

uint16_t kos_i2c_write_synchronous(kos_token_t token, uint16_t address, const void *buffer, size_t size)
{
    if (buffer == NULL || size == 0 || size > KOS_MSG_PAYLOAD_MAX_SIZE) {
        return 0;
    }
    memcpy(kos_msg_client_payload(), buffer, size);
    kos_msg_t msg = kos_msg_new(KOS_I2C_WRITE, address, (uint16_t)size, 0, 0);
    kos_status_t status = kos_msg_call(token, 0, &msg);
    return done(status, &msg, size);
}

uint16_t kos_i2c_read_synchronous(kos_token_t token, uint16_t address, void *buffer, size_t size)
{
    if (buffer == NULL || size == 0 || size > KOS_MSG_PAYLOAD_MAX_SIZE) {
        return 0;
    }
    kos_msg_t msg = kos_msg_new(KOS_I2C_READ, address | (kos_word_t)size << 16, 0, 0, 0);
    kos_status_t status = kos_msg_call(token, KOS_MSG_FLAG_SEND_PAYLOAD, &msg);
    uint16_t count = done(status, &msg, size);
    if (count > kos_msg_payload_size(msg.metadata)) {
        count = kos_msg_payload_size(msg.metadata);
    }
    memcpy(buffer, kos_msg_client_payload(), count);
    return count;
}
