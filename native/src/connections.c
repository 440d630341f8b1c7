/* Which message servers this app has, and which of them grants a port. See control.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "control.h"
#include "crash.h"
#include "trace.h"

#define ROUTES_MAX 32

static struct connection connections[CONNECTIONS_MAX];
static unsigned connection_count;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static struct {
    char port[KOS_ABI_PORT_NAME_MAX + 1];
    struct connection *connection;
} routes[ROUTES_MAX];
static unsigned route_count;
static pthread_mutex_t route_lock = PTHREAD_MUTEX_INITIALIZER;

static bool watch_completions(struct connection *connection)
{
    struct epoll_event completion = {.events = EPOLLIN | EPOLLET};
    struct epoll_event hangup = {.events = EPOLLRDHUP};
    connection->completion_epoll = epoll_create1(EPOLL_CLOEXEC);
    return connection->completion_epoll >= 0 &&
           epoll_ctl(connection->completion_epoll, EPOLL_CTL_ADD, connection->completion_fd, &completion) == 0 &&
           epoll_ctl(connection->completion_epoll, EPOLL_CTL_ADD, connection->fd, &hangup) == 0;
}

static bool greet(struct connection *connection)
{
    struct question question = {.op = KOS_OP_HELLO, .a = {KOS_CONTROL_ABI_VERSION}};
    struct answer answer = {0};
    if (control_ask(connection, &question, &answer) != STATUS_CREATED || answer.fds[2] < 0) {
        control_close_fds(&answer);
        return false;
    }
    void *page = mmap(NULL, KOS_ABI_APP_PAGE_SIZE, PROT_READ, MAP_SHARED, answer.fds[0], 0);
    if (page == MAP_FAILED) {
        control_close_fds(&answer);
        return false;
    }
    /* SAFETY: the page is APP_PAGE_SIZE bytes, made by our message server; the struct is smaller and only read. */
    connection->page = page;
    connection->caller_id = answer.r[0];
    uint64_t record_size = answer.r[1];
    connection->event_fd = answer.fds[1];
    connection->completion_fd = answer.fds[2];
    answer.fds[1] = -1;
    answer.fds[2] = -1;
    control_close_fds(&answer);
    if (read_word(&connection->page->magic) != KOS_ABI_APP_PAGE_MAGIC ||
        read_word(&connection->page->version) != KOS_ABI_LAYOUT_VERSION || !watch_completions(connection)) {
        return false;
    }
    if (record_size != 0) {
        trace_open(connection, record_size);
    }
    return true;
}

static void open_one(int fd, uint32_t name_hash)
{
    struct connection *connection = &connections[connection_count];
    connection->fd = fd;
    connection->name_hash = name_hash;
    connection->event_fd = -1;
    connection->completion_fd = -1;
    connection->completion_epoll = -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    pthread_mutex_init(&connection->lock, NULL);
    pthread_mutex_init(&connection->request_lock, NULL);
    if (!greet(connection)) {
        atomic_store(&connection->lost, true);
    }
    connection_count++;
}

/* KOS_MSG_SERVERS is `msg0:3,msg1:4`. It comes from the supervisor; what does not parse is left out. */
static void open_all(void)
{
    const char *text = getenv("KOS_MSG_SERVERS");
    while (text != NULL && *text != '\0' && connection_count < CONNECTIONS_MAX) {
        const char *colon = strchr(text, ':');
        if (colon == NULL) {
            return;
        }
        char *end;
        long fd = strtol(colon + 1, &end, 10);
        if (end != colon + 1 && fd >= 0 && (*end == ',' || *end == '\0')) {
            open_one((int)fd, trace_hash(text, (size_t)(colon - text)));
        }
        text = *end == ',' ? end + 1 : NULL;
    }
}

unsigned connections_open(void)
{
    pthread_once(&opened, open_all);
    return connection_count;
}

struct connection *connection_at(unsigned index)
{
    return &connections[index];
}

struct connection *connection_first(void)
{
    unsigned count = connections_open();
    for (unsigned i = 0; i < count; i++) {
        if (!atomic_load(&connections[i].lost)) {
            return &connections[i];
        }
    }
    return NULL;
}

static struct connection *known_route(const char *port)
{
    struct connection *found = NULL;
    pthread_mutex_lock(&route_lock);
    for (unsigned i = 0; i < route_count && found == NULL; i++) {
        if (strcmp(routes[i].port, port) == 0) {
            found = routes[i].connection;
        }
    }
    pthread_mutex_unlock(&route_lock);
    return found;
}

static void remember_route(const char *port, struct connection *connection)
{
    pthread_mutex_lock(&route_lock);
    if (route_count < ROUTES_MAX) {
        strcpy(routes[route_count].port, port);
        routes[route_count].connection = connection;
        route_count++;
    }
    pthread_mutex_unlock(&route_lock);
}

kos_status_t connection_for_port(const char *port, struct connection **connection)
{
    if (port == NULL || *port == '\0' || strlen(port) > KOS_ABI_PORT_NAME_MAX) {
        return STATUS_BAD_REQUEST;
    }
    unsigned count = connections_open();
    if (count == 1) {
        *connection = &connections[0];
        return STATUS_OK;
    }
    *connection = known_route(port);
    if (*connection != NULL) {
        return STATUS_OK;
    }
    struct question question = {.op = KOS_OP_ROUTE, .head = port, .head_size = strlen(port)};
    kos_status_t status = count == 0 ? STATUS_UNAVAILABLE : STATUS_NOT_FOUND;
    for (unsigned i = 0; i < count; i++) {
        kos_status_t here = control_ask(&connections[i], &question, NULL);
        if (here == STATUS_OK) {
            *connection = &connections[i];
            remember_route(port, *connection);
            return STATUS_OK;
        }
        if (here == STATUS_UNAVAILABLE) {
            status = here;
        }
    }
    return status;
}

/* In every program that speaks with a message server, from its first moment on. */
__attribute__((constructor)) static void report_crashes(void)
{
    crash_reports_install();
}
