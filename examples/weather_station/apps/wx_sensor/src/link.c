/* See link.h. */
#include "link.h"

#define RETRY_MICROSECONDS 50000u

void link_init(link_t *link, const char *port)
{
    link->port = port;
    link->open = false;
    kos_assert_ok(kos_msg_token_slot_pool_alloc(&link->slot), "no free token slot for %s", port);
}

void link_open(link_t *link)
{
    while (!link->open) {
        kos_status_t status =
            kos_dir_request(link->port, link->slot, KOS_MSG_FLAG_SEND_PAYLOAD | KOS_MSG_FLAG_SEND_TOKEN, NULL);
        kos_assert(status == STATUS_OK || status == STATUS_UNAVAILABLE, "%s: %s", link->port,
                   kos_status_name(status));
        link->open = status == STATUS_OK;
        if (!link->open) {
            kos_delay(RETRY_MICROSECONDS);
        }
    }
}

void link_broken(link_t *link)
{
    kos_msg_token_delete(link->slot); /* it may be gone already */
    link->open = false;
}
