/* Types and markers that every other header uses. No function is declared here. */
#ifndef KOS_TYPES_H
#define KOS_TYPES_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kos/abi.h>

/* What a parameter is for, as the reference's prototypes and calls write it. */
#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef IN_OUT
#define IN_OUT
#endif
#ifndef OPTIONAL
#define OPTIONAL
#endif

/* Register-sized and unsigned: 64 bits on aarch64 and x86_64, 32 bits on aarch32. */
typedef unsigned long kos_word_t;
typedef uint32_t kos_status_t;
/* An index of the app's token table: 1 to KOS_MSG_TOKENS_PER_APP - 1. 0 holds nothing. */
typedef uint32_t kos_token_t;
typedef kos_word_t kos_cap_t;

_Static_assert(sizeof(kos_word_t) == sizeof(void *), "kos_word_t is register-sized");

#ifdef __cplusplus
#define KOS_BEGIN_DECLS extern "C" {
#define KOS_END_DECLS }
#else
#define KOS_BEGIN_DECLS
#define KOS_END_DECLS
#endif

#endif /* KOS_TYPES_H */
