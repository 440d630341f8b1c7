/*
 * What a crashing program leaves on its standard error: registers, and where it was called from. The supervisor keeps
 * these lines in its post-mortem record; a developer's debugger makes names of the addresses.
 *
 * Runs in a program whose memory may be broken: it allocates nothing, takes no lock, and asks the kernel before it
 * reads what a frame pointer points to. An app that handles a signal itself is left alone.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "crash.h"

#define FRAMES_MAX 32      /* of a backtrace */
#define STACK_SIZE 16384   /* bytes of the handler's own stack, on which an overflowed stack is reported too */
#define PREFIX "kos: crash: "

extern const char __ehdr_start[] __attribute__((weak, visibility("hidden")));

static char handler_stack[STACK_SIZE];
static const int watched[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
static const char *const watched_names[] = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP"};

/* A line in the making. */
struct line {
    char text[400];
    size_t size;
};

static void add_text(struct line *line, const char *text)
{
    size_t size = strlen(text);
    if (line->size + size < sizeof line->text) {
        memcpy(line->text + line->size, text, size);
        line->size += size;
    }
}

static void add_hex(struct line *line, const char *name, uintptr_t value)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 + 2 * sizeof value + 1];
    char *at = text + sizeof text - 1;
    *at = 0;
    do {
        *--at = digits[value & 15];
        value >>= 4;
    } while (value != 0);
    *--at = 'x';
    *--at = '0';
    add_text(line, name);
    add_text(line, at);
}

static void put(struct line *line)
{
    add_text(line, "\n");
    ssize_t ignored = write(STDERR_FILENO, line->text, line->size);
    (void)ignored;
    line->size = 0;
}

/* Two words at an address that may not be mapped: the kernel copies them, or says no. */
static bool read_pair(int in, int out, uintptr_t address, uintptr_t pair[2])
{
    /* SAFETY: the address is only handed to the kernel, which checks it. */
    const void *place = (const void *)address;
    size_t size = 2 * sizeof pair[0];
    return address % sizeof pair[0] == 0 && write(out, place, size) == (ssize_t)size &&
           read(in, pair, size) == (ssize_t)size;
}

static void put_backtrace(uintptr_t frame)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return;
    }
    struct line line = {.size = 0};
    uintptr_t pair[2];
    add_text(&line, PREFIX "called from");
    for (unsigned n = 0; n < FRAMES_MAX && frame != 0 && read_pair(ends[0], ends[1], frame, pair); n++) {
        if (line.size > sizeof line.text - 32) {
            put(&line);
            add_text(&line, PREFIX "called from");
        }
        add_hex(&line, " ", pair[1]);
        if (pair[0] <= frame) { /* frames lie higher and higher, or the chain is broken */
            break;
        }
        frame = pair[0];
    }
    put(&line);
    close(ends[0]);
    close(ends[1]);
}

static void report(int number, const siginfo_t *info, const ucontext_t *context)
{
    struct line line = {.size = 0};
    const char *name = "signal";
    for (size_t n = 0; n < sizeof watched / sizeof watched[0]; n++) {
        name = watched[n] == number ? watched_names[n] : name;
    }
    add_text(&line, PREFIX);
    add_text(&line, name);
    if (number == SIGSEGV || number == SIGBUS) {
        add_hex(&line, " address=", (uintptr_t)info->si_addr);
    }
#if defined(__x86_64__)
    const greg_t *regs = context->uc_mcontext.gregs;
    uintptr_t pc = (uintptr_t)regs[REG_RIP], frame = (uintptr_t)regs[REG_RBP];
    static const struct {
        const char *name;
        int index;
    } names[] = {{" rsp=", REG_RSP}, {" rbp=", REG_RBP}, {" rax=", REG_RAX}, {" rbx=", REG_RBX}, {" rcx=", REG_RCX},
                 {" rdx=", REG_RDX}, {" rsi=", REG_RSI}, {" rdi=", REG_RDI}, {" r8=", REG_R8},   {" r9=", REG_R9}};
#elif defined(__aarch64__)
    const mcontext_t *regs = &context->uc_mcontext;
    uintptr_t pc = regs->pc, frame = regs->regs[29];
    static const struct {
        const char *name;
        int index;
    } names[] = {{" lr=", 30}, {" fp=", 29}, {" x0=", 0}, {" x1=", 1}, {" x2=", 2},
                 {" x3=", 3},  {" x4=", 4},  {" x5=", 5}, {" x8=", 8}, {" x19=", 19}};
#else
    const mcontext_t *regs = &context->uc_mcontext;
    uintptr_t pc = regs->arm_pc, frame = 0; /* 32-bit Arm keeps no chain of frames that could be followed */
#endif
    add_hex(&line, " pc=", pc);
    add_hex(&line, " program=", (uintptr_t)__ehdr_start);
    put(&line);
    add_text(&line, PREFIX "registers");
#if defined(__x86_64__)
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        add_hex(&line, names[n].name, (uintptr_t)regs[names[n].index]);
    }
#elif defined(__aarch64__)
    add_hex(&line, " sp=", regs->sp);
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        add_hex(&line, names[n].name, regs->regs[names[n].index]);
    }
#else
    add_hex(&line, " sp=", regs->arm_sp);
    add_hex(&line, " lr=", regs->arm_lr);
    add_hex(&line, " r0=", regs->arm_r0);
    add_hex(&line, " r1=", regs->arm_r1);
    add_hex(&line, " r2=", regs->arm_r2);
    add_hex(&line, " r3=", regs->arm_r3);
#endif
    put(&line);
    put_backtrace(frame);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    report(number, info, context);
    raise(number); /* SA_RESETHAND: when we return, it ends the program as if we had not been there */
}

void crash_reports_install(void)
{
    stack_t before;
    stack_t own = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    if (sigaltstack(NULL, &before) == 0 && (before.ss_flags & SS_DISABLE) != 0) {
        sigaltstack(&own, NULL);
    }
    for (size_t n = 0; n < sizeof watched / sizeof watched[0]; n++) {
        struct sigaction is;
        struct sigaction wanted = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};
        if (sigaction(watched[n], NULL, &is) == 0 && is.sa_handler == SIG_DFL) {
            sigaction(watched[n], &wanted, NULL);
        }
    }
}
