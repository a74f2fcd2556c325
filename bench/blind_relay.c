/* A relay that looks at nothing: what it costs to move the bytes at all, one epoll loop, one core.
 *
 * blind_relay PORT ORIGIN: each connection to 127.0.0.1:PORT gets one of its own to
 * 127.0.0.1:ORIGIN, and every byte goes to the other side as it comes. One read and one write for
 * each wake-up; what a full socket does not take waits in the buffer of its side, and the reading
 * of that side with it. When one side ends, both do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 1 << 16 };

struct side {
    int fd;
    struct side *other;
    struct side *next;  /* in the list of those to be freed after this round of events */
    size_t begin, end;  /* what was read here and the other side has not taken */
    char *held;
};

static int loop;
static struct side *gone;
static char buffer[BUFFER];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct side *side, int how)
{
    /* Read unless bytes from here are held; write while bytes for here are. */
    struct epoll_event event = {.data.ptr = side};
    event.events = (side->held ? 0 : EPOLLIN) | (side->other->held ? EPOLLOUT : 0);
    if (epoll_ctl(loop, how, side->fd, &event) < 0)
        fail("epoll_ctl");
}

static void drop(struct side *side)
{
    struct side *both[] = {side, side->other};
    for (int i = 0; i < 2; i++) {
        close(both[i]->fd);
        both[i]->fd = -1;
        both[i]->next = gone;
        gone = both[i];
    }
}

static void bury(void)
{
    while (gone) {
        struct side *next = gone->next;
        free(gone->held);
        free(gone);
        gone = next;
    }
}

/* Bytes read from `side` go to the other. */
static void forward(struct side *side)
{
    ssize_t got = read(side->fd, buffer, BUFFER), sent;
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(side);
        return;
    }
    sent = write(side->other->fd, buffer, got);
    if (sent < 0 && errno != EAGAIN) {
        drop(side);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent < got) {
        side->begin = 0;
        side->end = got - sent;
        side->held = malloc(side->end);
        if (!side->held)
            fail("malloc");
        memcpy(side->held, buffer + sent, side->end);
        watch(side, EPOLL_CTL_MOD);
        watch(side->other, EPOLL_CTL_MOD);
    }
}

/* What `from` holds goes to the other. */
static void flush(struct side *from)
{
    ssize_t sent = write(from->other->fd, from->held + from->begin, from->end - from->begin);
    if (sent < 0) {
        if (errno != EAGAIN)
            drop(from);
        return;
    }
    from->begin += sent;
    if (from->begin == from->end) {
        free(from->held);
        from->held = NULL;
        watch(from, EPOLL_CTL_MOD);
        watch(from->other, EPOLL_CTL_MOD);
    }
}

static struct sockaddr_in here(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void take(int listener, int origin)
{
    int one = 1, client = accept4(listener, NULL, NULL, SOCK_NONBLOCK), server;
    struct sockaddr_in address = here(origin);
    struct side *sides[2];

    if (client < 0)
        return;
    server = socket(AF_INET, SOCK_STREAM, 0);
    /* On loopback a blocking connect is done at once. */
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    for (int i = 0; i < 2; i++) {
        sides[i] = calloc(1, sizeof *sides[i]);
        if (!sides[i])
            fail("calloc");
        sides[i]->fd = i ? server : client;
        setsockopt(sides[i]->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (fcntl(server, F_SETFL, O_NONBLOCK) < 0)
        fail("fcntl");
    sides[0]->other = sides[1];
    sides[1]->other = sides[0];
    watch(sides[0], EPOLL_CTL_ADD);
    watch(sides[1], EPOLL_CTL_ADD);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.ptr = NULL};
    struct sockaddr_in address;
    int listener, one = 1;

    if (argc != 3) {
        fprintf(stderr, "usage: blind_relay PORT ORIGIN\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    address = here(atoi(argv[1]));
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    if (listen(listener, 4096) < 0)
        fail("listen");
    loop = epoll_create1(0);
    if (epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event) < 0)
        fail("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct side *side = events[i].data.ptr;
            if (!side) {
                take(listener, atoi(argv[2]));
                continue;
            }
            if (side->fd >= 0 && side->other->held && (events[i].events & EPOLLOUT))
                flush(side->other);
            if (side->fd >= 0 && !side->held &&
                (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                forward(side);
        }
        bury();
    }
}
