/* The directory: which port is served, by whom, and how to get a token for it. */
#ifndef KOS_DIR_H
#define KOS_DIR_H

#include <kos/msg.h>
#include <kos/types.h>

KOS_BEGIN_DECLS

/* Serve a port: a request for a connection arrives with that label and badge. */
kos_status_t kos_dir_bind(IN const char *port, IN kos_word_t request_label, IN kos_word_t request_badge,
                          IN kos_word_t request_flags);
kos_status_t kos_dir_unbind(IN const char *port);

/* → STATUS_OK when the port is served now, STATUS_UNAVAILABLE when not, STATUS_NOT_FOUND when not granted. */
kos_status_t kos_dir_query(IN const char *port);

/*
 * Ask the port's server app for a token into an empty slot. With `msg`, its param and payload go along and the
 * answer comes back in it. → STATUS_OK; when the server app refused (no token and a failure as the label), that.
 */
kos_status_t kos_dir_request(IN const char *port, IN kos_token_t empty_slot, IN kos_word_t reply_flags,
                             IN_OUT OPTIONAL kos_msg_t *msg);

/* The older names. */
kos_status_t kos_dir_publish_str(IN const char *port, IN kos_word_t request_label, IN kos_word_t request_badge,
                                 IN kos_word_t request_flags);
kos_status_t kos_dir_unpublish_str(IN const char *port);
kos_status_t kos_dir_query_str(IN const char *port);
kos_status_t kos_dir_request_str(IN const char *port, IN kos_token_t empty_slot, IN kos_word_t reply_flags,
                                 IN_OUT OPTIONAL kos_msg_t *msg);

KOS_END_DECLS

#endif /* KOS_DIR_H */
