/*
 * A mailbox whose holder is the test itself: it can write any word at any time. The control connection behind it is
 * lost, so that nothing is asked of a message server.
 */
#ifndef KOS_TESTS_DOUBLE_H
#define KOS_TESTS_DOUBLE_H

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kos.h>

#include "server.h"

static struct connection lost_connection = {.fd = -1, .lost = true, .lock = PTHREAD_MUTEX_INITIALIZER};

static int test_epoll = -1;
static int holder_event = -1; /* the holder's descriptor of the newest mailbox's event */

/* Attach a new mailbox to the owner's table; → the holder's view of it. */
static inline struct mailbox *attach_mailbox(uint64_t id, uint64_t badge, uint32_t flags)
{
    if (test_epoll < 0) {
        test_epoll = epoll_create1(EPOLL_CLOEXEC);
    }
    struct answer answer = {.r = {KOS_EVENT_ATTACH, id, badge, flags, 0x10000}, .fds = {-1, -1, -1}};
    answer.fds[0] = memfd_create("mailbox", MFD_CLOEXEC);
    kos_assert(ftruncate(answer.fds[0], KOS_ABI_MAILBOX_SIZE) == 0, NULL);
    void *memory = mmap(NULL, KOS_ABI_MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, answer.fds[0], 0);
    kos_assert(memory != MAP_FAILED, NULL);
    /* SAFETY: MAILBOX_SIZE bytes, just made. */
    struct mailbox *mailbox = memory;
    write_word(&mailbox->magic, KOS_ABI_MAILBOX_MAGIC);
    write_word(&mailbox->version, KOS_ABI_LAYOUT_VERSION);
    write_word(&mailbox->state, KOS_ABI_STATE_OPEN);
    answer.fds[1] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    close(holder_event);
    holder_event = dup(answer.fds[1]);
    owned_attach(&lost_connection, &answer, test_epoll);
    return mailbox;
}

static inline void post(struct mailbox *mailbox, uint32_t kind, uint32_t size, uint32_t ticket)
{
    write_word(&mailbox->request_kind, kind);
    write_word(&mailbox->request_size, size);
    write_word(&mailbox->request_ticket, ticket);
    mailbox->request_label = 7;
    mailbox->request_param = 8;
    publish_word(&mailbox->request_seq, read_word(&mailbox->request_seq) + 1);
}

#endif /* KOS_TESTS_DOUBLE_H */
