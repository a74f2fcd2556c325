/* Clients that come, ask once and go, as fast as threads can: for what wrk does not do, CONNECT.
 *
 * visits PORT TARGET SIZE SECONDS THREADS [ORIGIN]: each visit is a new connection to
 * 127.0.0.1:PORT, a CONNECT to 127.0.0.1:ORIGIN if that is given, a GET of TARGET, and its answer
 * read to the end. An answer that is no 200, or whose body is not SIZE bytes, ends it with status 1.
 * Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18 };

struct crowd {
    pthread_t thread;
    double *times;
    size_t count, room;
};

static struct sockaddr_in door;
static char opening[256], request[512];
static long size;
static double begun, end;

static void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    _exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void say(int fd, const char *text)
{
    size_t length = strlen(text);
    if (send(fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("a request could not be sent");
}

/* A head of status 200; what follows it in the buffer, and how many bytes that is. */
static char *head(int fd, char *buffer, long *rest)
{
    long got = 0;
    for (;;) {
        ssize_t part = recv(fd, buffer + got, BUFFER - 1 - got, 0);
        if (part <= 0)
            fail("no head: %.*s", (int)got, buffer);
        got += part;
        buffer[got] = 0;
        char *end_of_head = strstr(buffer, "\r\n\r\n");
        if (!end_of_head)
            continue;
        if (strncmp(buffer, "HTTP/1.", 7) || strncmp(buffer + 8, " 200", 4))
            fail("not a 200: %.*s", 200, buffer);
        *rest = got - (end_of_head + 4 - buffer);
        return end_of_head + 4;
    }
}

static void visit(char *buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 30};
    long body, part;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd < 0 || connect(fd, (struct sockaddr *)&door, sizeof door) < 0)
        fail("no connection");
    if (*opening) {
        say(fd, opening);
        head(fd, buffer, &body);
        /* The server in the tunnel says nothing before it is asked. */
        if (body)
            fail("%ld bytes after the answer to CONNECT", body);
    }
    say(fd, request);
    head(fd, buffer, &body);
    while ((part = recv(fd, buffer, BUFFER, 0)) > 0)
        body += part;
    if (part < 0 || body != size)
        fail("a body of %ld bytes, not %ld", body, size);
    close(fd);
}

static void *come_and_go(void *argument)
{
    struct crowd *one = argument;
    char *buffer = malloc(BUFFER);
    double start;
    while ((start = now()) < end) {
        visit(buffer);
        if (one->count == one->room)
            one->times = realloc(one->times, (one->room = one->room * 2 + 1024) * sizeof(double));
        one->times[one->count++] = now() - start;
    }
    free(buffer);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        fail("usage: visits PORT TARGET SIZE SECONDS THREADS [ORIGIN]");
    int threads = atoi(argv[5]);
    struct crowd *crowd = calloc(threads, sizeof *crowd);
    double *times = NULL, elapsed;
    size_t count = 0;

    door = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    door.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = atol(argv[3]);
    if (argc > 6)
        snprintf(opening, sizeof opening,
                 "CONNECT 127.0.0.1:%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[6], argv[6]);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", argv[2]);
    begun = now();
    end = begun + atof(argv[4]);
    for (int i = 0; i < threads; i++)
        pthread_create(&crowd[i].thread, NULL, come_and_go, &crowd[i]);
    for (int i = 0; i < threads; i++) {
        pthread_join(crowd[i].thread, NULL);
        times = realloc(times, (count + crowd[i].count) * sizeof(double));
        memcpy(times + count, crowd[i].times, crowd[i].count * sizeof(double));
        count += crowd[i].count;
    }
    elapsed = now() - begun;
    qsort(times, count, sizeof(double), by_size);
    printf("{\"answers\": %zu, \"seconds\": %f, \"bytes\": %f, \"p50\": %f, \"p99\": %f, "
           "\"worst\": %f}\n", count, elapsed, (double)count * size, times[count / 2],
           times[count * 99 / 100], times[count - 1]);
    return 0;
}
