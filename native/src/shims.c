/* What existing apps call in their set-up and has no meaning here, see kos/caps.h. */
#include <stdatomic.h>
#include <unistd.h>

#include <kos/caps.h>

kos_cap_t kos_cap_reserve(void)
{
    static atomic_ulong last;
    return atomic_fetch_add(&last, 1) + 1;
}

kos_status_t kos_cap_alloc_reply(kos_cap_t cap)
{
    (void)cap;
    return STATUS_CREATED;
}

kos_cap_t kos_cnode_cap(kos_cnode_t cnode, kos_word_t slot)
{
    (void)cnode;
    return slot;
}

kos_cnode_t kos_app_cnode(void)
{
    return 0;
}

kos_status_t kos_cap_set_receive(kos_cap_t cap)
{
    (void)cap;
    return STATUS_OK;
}

kos_status_t kos_cap_clear_receive(void)
{
    return STATUS_OK;
}

kos_status_t kos_pthread_get_kos_env(kos_thread_environment_t **environment)
{
    static _Thread_local kos_thread_environment_t own;
    if (environment == NULL) {
        return STATUS_BAD_REQUEST;
    }
    *environment = &own;
    return STATUS_OK;
}

void kos_tcb_suspend(kos_cap_t tcb)
{
    (void)tcb;
    for (;;) {
        pause();
    }
}
