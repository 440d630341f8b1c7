/* Console, assertions, delays. See kos/app.h. Nothing here talks to a message server. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <kos/app.h>

static char line[KOS_PRINTF_LINE_MAX];
static size_t line_size;
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;

static void write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written < 0 && errno != EINTR) {
            return; /* there is no console any more, and no one to tell */
        }
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
}

static void append(const char *bytes, size_t size)
{
    while (size > 0) {
        size_t room = sizeof line - line_size;
        const char *end = memchr(bytes, '\n', size < room ? size : room);
        size_t part = end != NULL ? (size_t)(end - bytes) + 1 : size < room ? size : room;
        memcpy(line + line_size, bytes, part);
        line_size += part;
        bytes += part;
        size -= part;
        if (end != NULL || line_size == sizeof line) {
            write_all(line, line_size);
            line_size = 0;
        }
    }
}

static void print(const char *format, va_list arguments)
{
    char small[512];
    char *text = small;
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(small, sizeof small, format, arguments);
    if (size >= (int)sizeof small) {
        text = malloc((size_t)size + 1);
        if (text == NULL) {
            text = small;
            size = sizeof small - 1;
        } else {
            vsnprintf(text, (size_t)size + 1, format, again);
        }
    }
    va_end(again);
    if (size > 0) {
        pthread_mutex_lock(&line_lock);
        append(text, (size_t)size);
        pthread_mutex_unlock(&line_lock);
    }
    if (text != small) {
        free(text);
    }
}

void kos_printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

/* At exit a line without its new-line is ended, so that the console does not glue the next app's to it. */
__attribute__((destructor)) static void flush_line(void)
{
    if (line_size > 0) {
        append("\n", 1);
    }
}

__attribute__((constructor)) static void set_up_stdout(void)
{
    /* Apps that use printf beside kos_printf keep their order, line by line. */
    setvbuf(stdout, NULL, _IOLBF, 0);
}

__attribute__((noreturn)) static void fail(void)
{
    fflush(stdout);
    flush_line();
    _exit(EXIT_FAILURE);
}

void kos_stop(const char *reason)
{
    kos_printf("stopped: %s\n", reason != NULL ? reason : "no reason given");
    fail();
}

void kos_delay(uint64_t microseconds)
{
    struct timespec left = {.tv_sec = (time_t)(microseconds / 1000000),
                            .tv_nsec = (long)(microseconds % 1000000) * 1000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

static void print_message(const char *format, va_list arguments)
{
    if (format != NULL) {
        kos_printf(": ");
        print(format, arguments);
    }
    kos_printf("\n");
}

void kos_assert_failed(const char *file, int line_number, const char *what, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    kos_printf("%s:%d: assertion failed: expected %s", file, line_number, what);
    print_message(format, arguments);
    va_end(arguments);
    fail();
}

void kos_assert_eq_failed(const char *file, int line_number, const char *left, long long found, const char *right,
                          long long expected, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    kos_printf("%s:%d: assertion failed: expected %s == %s, %lld, found %lld", file, line_number, left, right,
               expected, found);
    print_message(format, arguments);
    va_end(arguments);
    fail();
}

void kos_assert_status_failed(const char *file, int line_number, const char *expression, kos_status_t found,
                              kos_status_t expected, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    kos_printf("%s:%d: assertion failed: %s: expected %s, found %s (%u)", file, line_number, expression,
               kos_status_name(expected), kos_status_name(found), found);
    print_message(format, arguments);
    va_end(arguments);
    fail();
}

const char *kos_status_name(kos_status_t status)
{
    static const char *const names[] = {
        [STATUS_OK - STATUS_OK] = "STATUS_OK",
        [STATUS_CREATED - STATUS_OK] = "STATUS_CREATED",
        [STATUS_PONG - STATUS_OK] = "STATUS_PONG",
        [STATUS_AT_TOKEN_LIMIT - STATUS_OK] = "STATUS_AT_TOKEN_LIMIT",
        [STATUS_BAD_REQUEST - STATUS_OK] = "STATUS_BAD_REQUEST",
        [STATUS_CONFLICT - STATUS_OK] = "STATUS_CONFLICT",
        [STATUS_FULL - STATUS_OK] = "STATUS_FULL",
        [STATUS_INTERNAL_ERROR - STATUS_OK] = "STATUS_INTERNAL_ERROR",
        [STATUS_INVALID_TOKEN - STATUS_OK] = "STATUS_INVALID_TOKEN",
        [STATUS_NO_REPLY - STATUS_OK] = "STATUS_NO_REPLY",
        [STATUS_NOT_ENOUGH_MEMORY - STATUS_OK] = "STATUS_NOT_ENOUGH_MEMORY",
        [STATUS_NOT_FOUND - STATUS_OK] = "STATUS_NOT_FOUND",
        [STATUS_NOT_IMPLEMENTED - STATUS_OK] = "STATUS_NOT_IMPLEMENTED",
        [STATUS_UNAUTHORIZED - STATUS_OK] = "STATUS_UNAUTHORIZED",
        [STATUS_UNAVAILABLE - STATUS_OK] = "STATUS_UNAVAILABLE",
    };
    uint32_t index = status - STATUS_OK;
    return index < sizeof names / sizeof *names ? names[index] : "no status code";
}
