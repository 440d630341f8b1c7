/* Waiting and waking, see wait.h. */
#include "wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <kos/hooks.h>

static bool (*interrupted_hook)(void);

void kos_hook_interrupted(bool (*interrupted)(void))
{
    interrupted_hook = interrupted;
}

bool wait_interrupted(void)
{
    return interrupted_hook != NULL && interrupted_hook();
}

uint32_t wait_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (uint32_t)cpu + 1;
}

uint64_t wait_clock_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool wait_spin(struct spin *spin)
{
    if (spin->over) {
        return false;
    }
    wait_pause();
    /* The clock is read only now and then: a warm answer comes before the first reading. */
    if (++spin->rounds % 32 != 0) {
        return true;
    }
    uint64_t now = wait_clock_microseconds();
    if (spin->deadline == 0) {
        spin->deadline = now + SPIN_MICROSECONDS;
    }
    spin->over = now >= spin->deadline;
    return !spin->over;
}

bool wait_futex(const shared_word *word, uint32_t expected, unsigned milliseconds)
{
    /* The kernel reads the pair as longs of this architecture: SYS_futex takes the old layout on 32 bits. */
    struct {
        long seconds;
        long nanoseconds;
    } timeout = {(long)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
    long result = syscall(SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0);
    return !(result < 0 && errno == ETIMEDOUT);
}

void wake_futex(shared_word *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void wake_event(int fd)
{
    const uint64_t nothing = 0;
    ssize_t written;
    do {
        written = write(fd, &nothing, sizeof nothing);
    } while (written < 0 && errno == EINTR);
}
