/*
 * The client side of an I2C bus, with a token for its port (`kos_i2c2_protocol` and the like). Link -li2c_client.
 * The server refuses an address that the manifest did not grant to this app.
 */
#ifndef I2C_CLIENT_H
#define I2C_CLIENT_H

#include <kos/types.h>

KOS_BEGIN_DECLS

/* The bus's feature bits (KOS_I2C_FEATURE_…). */
kos_status_t kos_i2c_get_features(IN kos_token_t token, OUT uint32_t *features);

/* → how many bytes were done; 0 after a refusal or a bus error. At most KOS_MSG_PAYLOAD_MAX_SIZE at once. */
uint16_t kos_i2c_write_synchronous(IN kos_token_t token, IN uint16_t address, IN const void *buffer, IN size_t size);
uint16_t kos_i2c_read_synchronous(IN kos_token_t token, IN uint16_t address, OUT void *buffer, IN size_t size);

KOS_END_DECLS

#endif /* I2C_CLIENT_H */
