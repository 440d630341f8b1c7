/*
 * Names of the microkernel that existing apps call in their set-up. Here there is nothing to reserve: each only
 * succeeds. New apps need none of them.
 */
#ifndef KOS_CAPS_H
#define KOS_CAPS_H

#include <kos/types.h>

KOS_BEGIN_DECLS

typedef kos_word_t kos_cnode_t;

typedef struct kos_thread_environment {
    kos_cnode_t p_cnode; /* only ever handed to kos_cnode_cap */
} kos_thread_environment_t;

#define KOS_ROOT_RECEIVE 1u
#define KOS_ROOT_SLOT_TCB 2u
#define KOS_THREAD_SLOT_RECEIVE 3u
#define KOS_THREAD_SLOT_REPLY 4u

/* A configuration name is "set" when it is defined as 1: the kernel under libkos has no such options. */
#define CONFIG_KERNEL_MCS 0
#define config_set(name) (name)

kos_cap_t kos_cap_reserve(void);
kos_status_t kos_cap_alloc_reply(IN kos_cap_t cap);
kos_cap_t kos_cnode_cap(IN kos_cnode_t cnode, IN kos_word_t slot);
kos_cnode_t kos_app_cnode(void);
kos_status_t kos_cap_set_receive(IN kos_cap_t cap);
kos_status_t kos_cap_clear_receive(void);
kos_status_t kos_pthread_get_kos_env(OUT kos_thread_environment_t **environment);

/* Park this thread for ever, without using the processor. The app stays alive. */
void kos_tcb_suspend(IN kos_cap_t tcb);

KOS_END_DECLS

#endif /* KOS_CAPS_H */
