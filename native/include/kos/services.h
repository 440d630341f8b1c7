/* The client side of core services: log and random numbers. I2C is a library of its own, <i2c_client.h>. */
#ifndef KOS_SERVICES_H
#define KOS_SERVICES_H

#include <kos/types.h>

KOS_BEGIN_DECLS

/* One record with a token for kos_log_protocol. `size` 0 means up to the terminating NUL; long text is cut. */
kos_status_t kos_log_debug(IN kos_token_t token, IN const char *text, IN size_t size);
kos_status_t kos_log_info(IN kos_token_t token, IN const char *text, IN size_t size);
kos_status_t kos_log_warn(IN kos_token_t token, IN const char *text, IN size_t size);
kos_status_t kos_log_error(IN kos_token_t token, IN const char *text, IN size_t size);

/* `size` random bytes with a token for kos_rng_protocol. On failure the buffer is zeroed. */
kos_status_t kos_request_rng_stream(IN kos_token_t token, OUT void *buffer, IN size_t size);

KOS_END_DECLS

#endif /* KOS_SERVICES_H */
