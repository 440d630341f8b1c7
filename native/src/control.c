/* One question, one answer, see control.h. */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
    uint32_t word;
    uint32_t size;
    uint64_t words[6];
};
_Static_assert(sizeof(struct header) == KOS_CONTROL_HEADER_SIZE, "the control header has the ABI's size");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packets and mailboxes are little-endian");

union descriptors {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * CONTROL_DESCRIPTORS_MAX)];
};

static bool send_question(struct connection *connection, const struct question *question)
{
    struct header header = {.word = question->op, .size = (uint32_t)(question->head_size + question->tail_size)};
    memcpy(header.words, question->a, sizeof header.words);
    struct iovec parts[3] = {
        {&header, sizeof header},
        {(void *)question->head, question->head_size},
        {(void *)question->tail, question->tail_size},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    ssize_t sent;
    do {
        sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

static void take_descriptors(struct msghdr *message, struct answer *answer)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
            memcpy(answer->fds, CMSG_DATA(part), part->cmsg_len - CMSG_LEN(0));
        }
    }
}

static bool read_answer(struct connection *connection, struct answer *answer, kos_status_t *status)
{
    struct header header;
    union descriptors descriptors;
    struct iovec parts[2] = {{&header, sizeof header}, {answer->data, answer->data_room}};
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = answer->data_room > 0 ? 2 : 1,
                             .msg_control = &descriptors,
                             .msg_controllen = sizeof descriptors};
    ssize_t got;
    do {
        got = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return false;
    }
    take_descriptors(&message, answer);
    if ((size_t)got < sizeof header) {
        control_close_fds(answer);
        return false;
    }
    memcpy(answer->r, header.words, sizeof answer->r);
    answer->data_size = (size_t)got - sizeof header;
    *status = header.word;
    return true;
}

kos_status_t control_ask(struct connection *connection, const struct question *question, struct answer *answer)
{
    struct answer ignored = {0};
    bool keep = answer != NULL;
    if (!keep) {
        answer = &ignored;
    }
    answer->data_size = 0;
    for (unsigned i = 0; i < CONTROL_DESCRIPTORS_MAX; i++) {
        answer->fds[i] = -1;
    }
    kos_status_t status = STATUS_UNAVAILABLE;
    pthread_mutex_lock(&connection->lock);
    if (!atomic_load(&connection->lost)) {
        if (!send_question(connection, question) || !read_answer(connection, answer, &status)) {
            atomic_store(&connection->lost, true);
            status = STATUS_UNAVAILABLE;
        }
    }
    pthread_mutex_unlock(&connection->lock);
    if (!keep) {
        control_close_fds(answer);
    }
    return status;
}

kos_status_t control_words(struct connection *connection, uint32_t op, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct question question = {.op = op, .a = {a0, a1, a2}};
    return control_ask(connection, &question, NULL);
}

bool control_alive(struct connection *connection)
{
    if (atomic_load(&connection->lost)) {
        return false;
    }
    struct pollfd poll_fd = {.fd = connection->fd, .events = POLLRDHUP};
    if (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0) {
        atomic_store(&connection->lost, true);
        return false;
    }
    return true;
}

void control_close_fds(struct answer *answer)
{
    for (unsigned i = 0; i < CONTROL_DESCRIPTORS_MAX; i++) {
        if (answer->fds[i] >= 0) {
            close(answer->fds[i]);
            answer->fds[i] = -1;
        }
    }
}
