/* The life of an app: ready, console, assertions, stopping. */
#ifndef KOS_APP_H
#define KOS_APP_H

#include <kos/types.h>

KOS_BEGIN_DECLS

/* Initialisation is done: the supervisor may start what depends on this app. */
kos_status_t kos_app_ready(void);

/*
 * To the structured console. A line is written when its new-line arrives, whole, by one write; a line longer
 * than KOS_PRINTF_LINE_MAX bytes is written in pieces.
 */
#define KOS_PRINTF_LINE_MAX 4096u
void kos_printf(IN const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sleep for that many microseconds. */
void kos_delay(IN uint64_t microseconds);

/* Fail the app with a reason (it may be NULL): the supervisor acts by the app's restart policy. */
__attribute__((noreturn)) void kos_stop(IN OPTIONAL const char *reason);

/* Behind the macros below: print the place, what was found and the message (it may be NULL), and fail the app. */
__attribute__((noreturn)) void kos_assert_failed(const char *file, int line, const char *what, const char *format,
                                                 ...);
__attribute__((noreturn)) void kos_assert_eq_failed(const char *file, int line, const char *left, long long found,
                                                    const char *right, long long expected, const char *format, ...);
__attribute__((noreturn)) void kos_assert_status_failed(const char *file, int line, const char *expression,
                                                        kos_status_t found, kos_status_t expected,
                                                        const char *format, ...);

/* The name of a status code, as in the source: "STATUS_OK". */
const char *kos_status_name(IN kos_status_t status);

#define kos_assert(condition, ...)                                             \
    do {                                                                       \
        if (!(condition)) {                                                    \
            kos_assert_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);    \
        }                                                                      \
    } while (0)

/* The comparison is C's own `==`, whatever the signs of the two sides. */
#define kos_assert_eq(a, b, ...)                                                                              \
    do {                                                                                                      \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wsign-compare\"")                   \
        _Pragma("GCC diagnostic ignored \"-Wpointer-to-int-cast\"")                                           \
        __typeof__((a)) kos_found_ = (a);                                                                     \
        __typeof__((b)) kos_expected_ = (b);                                                                  \
        if (!(kos_found_ == kos_expected_)) {                                                                 \
            kos_assert_eq_failed(__FILE__, __LINE__, #a, (long long)kos_found_, #b, (long long)kos_expected_, \
                                 __VA_ARGS__);                                                                \
        }                                                                                                     \
        _Pragma("GCC diagnostic pop")                                                                         \
    } while (0)

#define KOS_ASSERT_STATUS_(status, text, expected, ...)                                              \
    do {                                                                                             \
        kos_status_t kos_found_ = (kos_status_t)(status);                                            \
        if (kos_found_ != (expected)) {                                                              \
            kos_assert_status_failed(__FILE__, __LINE__, text, kos_found_, (expected), __VA_ARGS__); \
        }                                                                                            \
    } while (0)

#define kos_assert_ok(status, ...) KOS_ASSERT_STATUS_(status, #status, STATUS_OK, __VA_ARGS__)
#define kos_assert_created(status, ...) KOS_ASSERT_STATUS_(status, #status, STATUS_CREATED, __VA_ARGS__)

KOS_END_DECLS

#endif /* KOS_APP_H */
