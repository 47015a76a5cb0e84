/* The floor of the engine path: asks for the statistics of every container at once, one connection each, one-shot,
 * waits for all answers, and looks for three numbers in each.
 *
 *     one_shot SOCKET INTERVAL_SECONDS < IDS
 *
 * A line with the number of answers is written after each round.
 */
#include "floor.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SIZE = 32768, MOST = 64 };

struct container { int connection; size_t length, got; char request[256], answer[SIZE + 1]; uint64_t cpu, usage, received; };

static int connected(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) err(1, "%s", path);
    return connection;
}

static int complete(const struct container *c) {
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    const char *length = strcasestr(c->answer, "\r\nContent-Length: ");
    if (length && length < end) return c->got >= (size_t)(end + 4 - c->answer) + strtoull(length + 18, NULL, 10);
    return c->got > 5 && !memcmp(c->answer + c->got - 5, "0\r\n\r\n", 5);
}

static int answered(struct container *c) {
    ssize_t got = read(c->connection, c->answer + c->got, SIZE - c->got);
    if (got <= 0) err(1, "the engine closed the connection");
    c->got += (size_t)got;
    c->answer[c->got] = 0;
    if (!complete(c)) return 0;
    c->cpu = behind(c->answer, "\"total_usage\":");
    c->usage = behind(c->answer, "\"memory_stats\":{\"usage\":");
    c->received = behind(c->answer, "\"rx_bytes\":");
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 3) errx(2, "one_shot SOCKET INTERVAL < IDS");
    double interval = atof(argv[2]);
    struct container *all = NULL;
    size_t count = 0, size = 0;
    char *line = NULL;
    while (getline(&line, &size, stdin) > 0) {
        all = realloc(all, (count + 1) * sizeof *all);
        struct container *c = &all[count++];
        line[strcspn(line, "\n")] = 0;
        c->connection = connected(argv[1]);
        c->length = (size_t)snprintf(c->request, sizeof c->request,
            "GET /v1.41/containers/%s/stats?stream=false&one-shot=true HTTP/1.1\r\nHost: docker\r\n\r\n", line);
    }
    int watcher = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        if (epoll_ctl(watcher, EPOLL_CTL_ADD, all[i].connection, &event)) err(1, "epoll");
    }
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (;;) {
        for (size_t i = 0; i < count; i++) {
            all[i].got = 0;
            if (write(all[i].connection, all[i].request, all[i].length) < 0) err(1, "asking");
        }
        for (size_t open = count; open;) {
            struct epoll_event ready[MOST];
            int n = epoll_wait(watcher, ready, MOST, -1);
            for (int i = 0; i < n; i++) open -= (size_t)answered(&all[ready[i].data.u64]);
        }
        round_done(count, &due, interval);
    }
}
