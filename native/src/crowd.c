/* Turns among callers that share processors, see crowd.h. */
#include "crowd.h"

#include <stddef.h>

#include <kos/abi.h>

#include "wait.h"

/*
 * An answer to a caller on our processor counts for as many answers to come. One such caller in 128 keeps the others from
 * spinning; one that calls now and then costs its neighbours no more than these.
 */
#define ANSWERS_CROWDED 128
#define ANSWERS_CROWDED_MAX 4096
/* A caller sleeps once in so many calls: for one that is alone in truth, 5 µs in 50. */
#define CALLS_IN_A_ROW 256
/* For how many answers another caller is remembered. */
#define ANSWERS_REMEMBERED 65536

static unsigned crowded;
static unsigned shared;
static unsigned in_a_row;
static const void *last;

uint32_t crowd_place(void)
{
    return crowded > 0 ? KOS_ABI_CPU_DO_NOT_SPIN : wait_cpu();
}

void crowd_left(const void *mailbox)
{
    if (mailbox == last) {
        last = NULL;
    }
}

uint32_t crowd_answered(const void *mailbox, bool here)
{
    crowded -= crowded > 0;
    shared -= shared > 0;
    in_a_row++;
    if (mailbox != last) {
        shared = last == NULL ? 0 : ANSWERS_REMEMBERED;
        in_a_row = 0;
        last = mailbox;
    }
    if (shared == 0) {
        return wait_cpu();
    }
    if (here) {
        crowded = crowded + ANSWERS_CROWDED > ANSWERS_CROWDED_MAX ? ANSWERS_CROWDED_MAX : crowded + ANSWERS_CROWDED;
    }
    return in_a_row % CALLS_IN_A_ROW == CALLS_IN_A_ROW - 1 ? KOS_ABI_CPU_DO_NOT_SPIN : crowd_place();
}
