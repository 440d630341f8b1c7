/* The owner's side against a holder that breaks each rule of a mailbox in turn. */
#include "double.h"

static struct received received;

static bool take(void)
{
    memset(&received, 0, sizeof received);
    return owned_take(&received);
}

/* A request that breaks a rule is answered by libkos itself; the app never sees it. */
static void expect_refusal(struct mailbox *mailbox, kos_status_t status)
{
    kos_assert(!take(), "the app must not see it");
    kos_assert_eq(read_word(&mailbox->reply_seq), read_word(&mailbox->request_seq), "answered");
    kos_assert_eq(mailbox->reply_label, status, "refused as %s", kos_status_name((kos_status_t)mailbox->reply_label));
}

static void answer(kos_status_t status)
{
    const kos_msg_t msg = kos_msg_new_status(status);
    owned_reply(&received, &msg, 0);
}

static void refuses_what_the_token_does_not_allow(void)
{
    struct mailbox *plain = attach_mailbox(1, 11, 0);
    post(plain, KOS_ABI_REQUEST_CALL, 1, 0);
    expect_refusal(plain, STATUS_UNAUTHORIZED);
    post(plain, KOS_ABI_REQUEST_CALL, 0, 99);
    expect_refusal(plain, STATUS_UNAUTHORIZED);
    post(plain, 3, 0, 0);
    expect_refusal(plain, STATUS_BAD_REQUEST);
    post(plain, KOS_ABI_REQUEST_CALL, KOS_MSG_PAYLOAD_MAX_SIZE + 1, 0);
    expect_refusal(plain, STATUS_BAD_REQUEST);
    post(plain, KOS_ABI_REQUEST_CALL, UINT32_MAX, 0);
    expect_refusal(plain, STATUS_BAD_REQUEST);
    post(plain, KOS_ABI_REQUEST_CALL, 0, 0);
    kos_assert(take(), "and an honest one still arrives");
    kos_assert_eq(received.badge, 11, NULL);
    kos_assert_eq(received.caller_id, 0x10000, NULL);
    answer(STATUS_OK);
    owned_drop_badge(11);
    kos_assert(!take(), NULL);
}

static void takes_one_request_at_a_time(void)
{
    struct mailbox *mailbox = attach_mailbox(2, 22, KOS_MSG_FLAG_SEND_PAYLOAD);
    post(mailbox, KOS_ABI_REQUEST_CALL, 4096, 0);
    kos_assert(take(), NULL);
    kos_assert_eq(kos_msg_payload_size(received.msg.metadata), 4096, NULL);
    struct received first = received;
    post(mailbox, KOS_ABI_REQUEST_CALL, 0, 0);
    kos_assert(!take(), "the holder has not had its answer");
    received = first;
    answer(STATUS_OK);
    kos_assert_eq(read_word(&mailbox->reply_seq), 1, NULL);
    kos_assert(take(), "now the second one");
    answer(STATUS_OK);
    owned_drop_badge(22);
}

static void a_single_use_token_carries_one_message(void)
{
    struct mailbox *mailbox = attach_mailbox(3, 33, KOS_MSG_TOKEN_FLAG_SINGLE_USE);
    post(mailbox, KOS_ABI_REQUEST_CALL, 0, 0);
    kos_assert(take(), NULL);
    answer(STATUS_OK);
    post(mailbox, KOS_ABI_REQUEST_CALL, 0, 0);
    kos_assert(!take(), "used up");
    write_word(&mailbox->queue_head, 1);
    kos_assert(!take(), "used up for the queue, too");
    owned_drop_badge(33);
}

/* Its holder offers the next token once this one was taken: so it is not, before it was accepted. */
static void a_one_way_message_is_taken_with_its_token(void)
{
    struct mailbox *mailbox = attach_mailbox(8, 88, KOS_MSG_FLAG_SEND_TOKEN);
    post(mailbox, KOS_ABI_REQUEST_SEND, 0, 99);
    kos_assert(take(), NULL);
    struct received first = received;
    kos_assert_eq(first.ticket, 99, NULL);
    kos_assert_eq(read_word(&mailbox->taken_seq), 0, "not before its token");
    post(mailbox, KOS_ABI_REQUEST_SEND, 0, 0); /* a holder that does not wait */
    kos_assert(!take(), NULL);
    owned_accepted(&first);
    kos_assert_eq(read_word(&mailbox->taken_seq), 1, NULL);
    kos_assert(take(), "now the second one");
    kos_assert_eq(read_word(&mailbox->taken_seq), 2, "at once: it has no token");
    post(mailbox, KOS_ABI_REQUEST_SEND, 0, 100);
    kos_assert(take(), NULL);
    first = received;
    owned_drop_badge(88); /* revoked before its token was accepted */
    owned_accepted(&first);
    kos_assert(!take(), NULL);
}

static void a_queue_head_out_of_range_is_cut(void)
{
    static const uint32_t heads[] = {KOS_ABI_QUEUE_LENGTH + 1, UINT32_MAX, 1u << 31, 0x12345678};
    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct mailbox *mailbox = attach_mailbox(4, 44, 0);
        publish_word(&mailbox->queue_head, heads[i]);
        unsigned count = 0;
        while (take()) {
            kos_assert((received.msg.metadata & KOS_ABI_METADATA_QUEUED) != 0, NULL);
            count++;
        }
        kos_assert_eq(count, KOS_ABI_QUEUE_LENGTH, "head %u", heads[i]);
        kos_assert_eq(read_word(&mailbox->queue_tail), heads[i], "and it goes on from there");
        owned_drop_badge(44);
    }
}

static void what_was_sent_before_the_end_arrives(void)
{
    struct mailbox *mailbox = attach_mailbox(5, 55, 0);
    mailbox->queue[0].label = 1;
    publish_word(&mailbox->queue_head, 1);
    post(mailbox, KOS_ABI_REQUEST_SEND, 0, 0);
    owned_close(&lost_connection, 5, false, false);
    post(mailbox, KOS_ABI_REQUEST_SEND, 0, 0); /* after the end: a holder that does not stop */
    publish_word(&mailbox->queue_head, 60);
    kos_assert(take() && received.msg.label == 1, "the queued one");
    kos_assert(take() && received.msg.label == 7, "the sent one");
    kos_assert((received.msg.metadata & KOS_ABI_METADATA_ONE_WAY) != 0, NULL);
    kos_assert(!take(), "nothing after the end");
}

static void every_mailbox_gets_its_turn(void)
{
    struct mailbox *mailboxes[16];
    unsigned served[16] = {0};
    for (unsigned i = 0; i < 16; i++) {
        mailboxes[i] = attach_mailbox(100 + i, i, 0);
        post(mailboxes[i], KOS_ABI_REQUEST_CALL, 0, 0);
    }
    for (unsigned round = 0; round < 1600; round++) {
        kos_assert(take(), NULL);
        served[received.badge]++;
        struct mailbox *holder = mailboxes[received.badge];
        answer(STATUS_OK);
        post(holder, KOS_ABI_REQUEST_CALL, 0, 0); /* every client asks again at once */
    }
    for (unsigned i = 0; i < 16; i++) {
        kos_assert_eq(served[i], 100, "client %u", i);
        owned_drop_badge(i);
    }
}

static void a_closed_mailbox_wakes_nobody(void)
{
    struct epoll_event event;
    attach_mailbox(7, 71, 0);
    kos_assert(eventfd_write(holder_event, 1) == 0, NULL);
    kos_assert_eq(epoll_wait(test_epoll, &event, 1, 0), 1, "an open one does");
    owned_drop_badge(71);
    kos_assert(eventfd_write(holder_event, 1) == 0, "the holder still has it");
    kos_assert_eq(epoll_wait(test_epoll, &event, 1, 0), 0, NULL);
}

static void drops_are_counted_by_badge(void)
{
    kos_word_t dropped;
    struct mailbox *mailbox = attach_mailbox(6, 66, 0);
    write_word(&mailbox->queue_dropped, 5);
    kos_assert_ok(kos_msg_queue_dropped(66, &dropped), NULL);
    kos_assert_eq(dropped, 5, NULL);
    kos_assert_eq(kos_msg_queue_dropped(67, &dropped), STATUS_NOT_FOUND, NULL);
    owned_drop_badge(66);
}

int main(void)
{
    refuses_what_the_token_does_not_allow();
    takes_one_request_at_a_time();
    a_single_use_token_carries_one_message();
    a_one_way_message_is_taken_with_its_token();
    a_queue_head_out_of_range_is_cut();
    what_was_sent_before_the_end_arrives();
    every_mailbox_gets_its_turn();
    drops_are_counted_by_badge();
    a_closed_mailbox_wakes_nobody();
    kos_printf("ok\n");
    return 0;
}
