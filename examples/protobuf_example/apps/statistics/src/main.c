/* statistics: serves statistics_protocol. Decodes Samples, answers with an encoded Summary. */
#include <string.h>

#include <kos.h>
#include <pb_decode.h>
#include <pb_encode.h>

#include "statistics.pb.h"

#define PORT "statistics_protocol"
#define REQUEST_BADGE 1u
#define CLIENT_BADGE 2u /* one badge for every client: they are all alike here */
#define LABEL_CONNECT 1u
#define LABEL_SUMMARISE 1u

static kos_token_t new_token;

/* A client asks for a connection: the answer carries a fresh token of ours. */
static kos_msg_t connect(void)
{
    kos_status_t status = kos_msg_token_create(CLIENT_BADGE, KOS_MSG_FLAG_SEND_PAYLOAD, new_token);
    return status == STATUS_CREATED ? kos_msg_new(STATUS_OK, 0, 0, new_token, 0) : kos_msg_new_status(status);
}

static void count(const statistics_Samples *samples, statistics_Summary *summary)
{
    int64_t sum = 0;
    memcpy(summary->unit, samples->unit, sizeof(summary->unit));
    for (pb_size_t i = 0; i < samples->values_count; i++) {
        int32_t value = samples->values[i];
        summary->minimum = i == 0 || value < summary->minimum ? value : summary->minimum;
        summary->maximum = i == 0 || value > summary->maximum ? value : summary->maximum;
        sum += value;
    }
    summary->count = samples->values_count;
    summary->mean = summary->count ? (double)sum / summary->count : 0;
}

static kos_msg_t summarise(const kos_msg_t *msg)
{
    static statistics_Samples samples; /* too large for a stack that may be small */
    statistics_Summary summary = statistics_Summary_init_zero;
    samples = (statistics_Samples)statistics_Samples_init_zero;
    pb_istream_t in = pb_istream_from_buffer(kos_msg_server_payload(), kos_msg_payload_size(msg->metadata));
    if (!pb_decode(&in, statistics_Samples_fields, &samples)) {
        kos_printf("refused a message: %s\n", PB_GET_ERROR(&in));
        return kos_msg_new_status(STATUS_BAD_REQUEST);
    }
    count(&samples, &summary);
    pb_ostream_t out = pb_ostream_from_buffer(kos_msg_server_payload(), KOS_MSG_PAYLOAD_MAX_SIZE);
    kos_assert(pb_encode(&out, statistics_Summary_fields, &summary), "a summary always fits a message");
    return kos_msg_new(STATUS_OK, 0, (uint16_t)out.bytes_written, 0, 0);
}

int main(void)
{
    kos_msg_server_t server = {0};
    kos_msg_t msg = kos_msg_new_status(STATUS_OK);
    kos_word_t badge, caller;

    kos_assert_created(kos_msg_setup(), NULL);
    kos_assert_ok(kos_msg_token_slot_pool_alloc(&new_token), NULL);
    kos_assert_created(kos_msg_server_create(0, 0, 0, &server), NULL);
    kos_assert_ok(kos_dir_bind(PORT, LABEL_CONNECT, REQUEST_BADGE, KOS_MSG_FLAG_SEND_PAYLOAD), NULL);
    kos_app_ready();

    for (;;) {
        kos_assert_ok(kos_msg_reply_receive(&msg, &badge, &caller), "the message server is gone");
        if (badge == REQUEST_BADGE) {
            msg = connect();
        } else if (msg.label == LABEL_SUMMARISE) {
            msg = summarise(&msg);
        } else {
            msg = kos_msg_new_status(STATUS_NOT_IMPLEMENTED);
        }
    }
}
