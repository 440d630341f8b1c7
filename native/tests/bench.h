/* What the benchmark programs share: the clock, and one line of results in nanoseconds. */
#ifndef KOS_TESTS_BENCH_H
#define KOS_TESTS_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static inline int compare_times(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* p50, p99 and mean of `count` round trips that took `all` together. */
static inline void print_times(uint64_t *times, size_t count, uint64_t all)
{
    qsort(times, count, sizeof *times, compare_times);
    printf("%llu %llu %llu\n", (unsigned long long)times[count / 2], (unsigned long long)times[count * 99 / 100],
           (unsigned long long)(all / count));
    fflush(stdout);
}

/* Call for so many seconds; print how many calls that were and how long the longest took, in nanoseconds. */
static inline void print_crowd(uint64_t seconds, void (*call)(void))
{
    uint64_t longest = 0;
    unsigned long long count = 0;
    uint64_t before = now();
    for (const uint64_t end = before + seconds * 1000000000; before < end; count++) {
        call();
        uint64_t after = now();
        longest = after - before > longest ? after - before : longest;
        before = after;
    }
    printf("%llu %llu\n", count, (unsigned long long)longest);
    fflush(stdout);
}

#endif /* KOS_TESTS_BENCH_H */
