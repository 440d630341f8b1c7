/*
 * Whether callers share processors, and then, that none of them keeps one while others wait. Knows nothing of messages.
 *
 * A caller that spins gets answer after answer in 0.2 µs, one that must be woken in several µs: with more callers than
 * processors a turn of the scheduler spent in one way is worth many spent in the other, and shares are a matter of luck.
 * So a caller is told, in the word that says where the owner runs, not to spin but to sleep for its next answer: always
 * while callers run on the owner's own processor, where each can only run once the owner has nothing to do; and now and
 * then when it calls on and on though others called too. One caller alone is never told so.
 */
#ifndef KOS_SRC_CROWD_H
#define KOS_SRC_CROWD_H

#include <stdbool.h>
#include <stdint.h>

/* All with the table of mailboxes held. */

/* A call through a mailbox is answered. → what goes into its owner_cpu. `here`: its holder runs on our processor. */
uint32_t crowd_answered(const void *mailbox, bool here);
/* A mailbox ended: its holder is no other caller any more. */
void crowd_left(const void *mailbox);
/* What goes into the owner_cpu of all mailboxes when the owner falls asleep or wakes. */
uint32_t crowd_place(void);

#endif /* KOS_SRC_CROWD_H */
