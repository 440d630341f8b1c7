/*
 * Waiting and waking: when to spin, when to sleep. Nothing here knows what a message is.
 *
 * A waiter spins briefly only while its peer last ran on another processor: spinning on a shared processor keeps
 * the peer from running. The peers publish where they run in the mailbox; 0 means "never ran", and an owner may say
 * CPU_DO_NOT_SPIN instead (crowd.h).
 */
#ifndef KOS_SRC_WAIT_H
#define KOS_SRC_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "mailbox.h"

#define SPIN_MICROSECONDS 50

/* The processor of this thread, plus 1: what goes into holder_cpu and owner_cpu. */
uint32_t wait_cpu(void);

uint64_t wait_clock_microseconds(void);

static inline void wait_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* One spinning wait: start it zeroed, ask before each look. False once the time is used up. */
struct spin {
    bool over;
    uint32_t rounds;
    uint64_t deadline;
};
bool wait_spin(struct spin *spin);

/* Sleep while *word holds `expected`, at most `milliseconds`. → false when the time ran out. */
bool wait_futex(const shared_word *word, uint32_t expected, unsigned milliseconds);
void wake_futex(shared_word *word);

/*
 * Wake who waits for edges of an eventfd that counts at least 1, as the message server makes them. It adds nothing to
 * the count: the flags of the descriptor are shared with a peer, who could make any other write wait for ever.
 */
void wake_event(int fd);

/* Whether a signal interrupted a wait and the binding wants the thread back (kos/hooks.h). */
bool wait_interrupted(void);

#endif /* KOS_SRC_WAIT_H */
