/* The floor of the kernel path: reads the files that statspout reads, the same way, and does nothing with the numbers.
 *
 *     kernel_files INTERVAL_SECONDS < PATHS
 *
 * A line of PATHS is one container: its files, separated by spaces. They are opened once and read by pread; /proc/stat
 * is read once a sweep. A line with the number of containers is written after each sweep.
 */
#include "floor.h"

#include <fcntl.h>
#include <sys/resource.h>

enum { FILES = 8, SIZE = 16384 };

struct numbers { uint64_t cpu, usage, inactive, cache, anonymous, moved[2], pids, network[8]; };

struct file { int descriptor; void (*parse)(const char *text, struct numbers *into); };

struct container { int count; struct file files[FILES]; struct numbers now; };

static void parse_cpu(const char *text, struct numbers *n) { n->cpu = strtoull(text, NULL, 10); }

static void parse_cpu_v2(const char *text, struct numbers *n) { n->cpu = behind(text, "usage_usec ") * 1000; }

static void parse_usage(const char *text, struct numbers *n) { n->usage = strtoull(text, NULL, 10); }

static void parse_pids(const char *text, struct numbers *n) { n->pids = strtoull(text, NULL, 10); }

static void parse_memory(const char *text, struct numbers *n) {
    n->inactive = behind(text, "\ntotal_inactive_file ");
    n->cache = behind(text, "\ntotal_cache ");
    n->anonymous = behind(text, "\ntotal_rss ");
}

static void parse_memory_v2(const char *text, struct numbers *n) {
    n->inactive = behind(text, "\ninactive_file ");
    n->cache = behind(text, "\nfile ");
    n->anonymous = behind(text, "anon ");
}

static void sum_io(const char *text, struct numbers *n, const char *read, const char *write) {
    n->moved[0] = n->moved[1] = 0;
    for (const char *at = text; (at = strstr(at, read)); at += strlen(read)) n->moved[0] += strtoull(at + strlen(read), NULL, 10);
    for (const char *at = text; (at = strstr(at, write)); at += strlen(write)) n->moved[1] += strtoull(at + strlen(write), NULL, 10);
}

static void parse_blkio(const char *text, struct numbers *n) { sum_io(text, n, " Read ", " Write "); }

static void parse_io(const char *text, struct numbers *n) { sum_io(text, n, " rbytes=", " wbytes="); }

static void parse_network(const char *text, struct numbers *n) {
    memset(n->network, 0, sizeof n->network);
    for (const char *at = text; (at = strstr(at, "eth"));) {
        if (!(at = strchr(at, ':'))) return;
        char *end = (char *)at + 1;
        for (int i = 0; i < 12; i++) {
            uint64_t value = strtoull(end, &end, 10);
            if (i < 4) n->network[i] += value;
            if (i >= 8) n->network[i - 4] += value;
        }
        at = end;
    }
}

static const struct { const char *name; void (*parse)(const char *, struct numbers *); } PARSERS[] = {
    {"/cpuacct.usage", parse_cpu}, {"/cpu.stat", parse_cpu_v2},
    {"/memory.usage_in_bytes", parse_usage}, {"/memory.current", parse_usage},
    {"/memory.stat", NULL},
    {"/blkio.throttle.io_service_bytes", parse_blkio}, {"/io.stat", parse_io},
    {"/pids.current", parse_pids}, {"/net/dev", parse_network},
};

static void add(struct container *c, const char *path, int version) {
    struct file *file = &c->files[c->count];
    if (c->count == FILES) errx(1, "more than %d files of one container", FILES);
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (file->descriptor < 0) err(1, "%s", path);
    for (size_t i = 0; i < sizeof PARSERS / sizeof *PARSERS; i++)
        if (strstr(path, PARSERS[i].name)) {
            file->parse = PARSERS[i].parse ? PARSERS[i].parse : version == 1 ? parse_memory : parse_memory_v2;
            c->count++;
            return;
        }
    errx(1, "%s: nothing here reads such a file", path);
}

static void sweep(struct container *all, size_t count, int host) {
    static char text[SIZE + 1];
    if (pread(host, text, SIZE, 0) < 0) err(1, "/proc/stat");
    for (struct container *c = all; c < all + count; c++)
        for (struct file *f = c->files; f < c->files + c->count; f++) {
            ssize_t got = pread(f->descriptor, text, SIZE, 0);
            if (got < 0) err(1, "a container is gone");
            text[got] = 0;
            f->parse(text, &c->now);
        }
}

int main(int argc, char **argv) {
    double interval = argc > 1 ? atof(argv[1]) : 1.0;
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);

    struct container *all = NULL;
    size_t count = 0, size = 0;
    char *line = NULL;
    while (getline(&line, &size, stdin) > 0) {
        all = realloc(all, (count + 1) * sizeof *all);
        memset(&all[count], 0, sizeof *all);
        int version = strstr(line, "cpuacct.usage") ? 1 : 2;
        for (char *path = strtok(line, " \n"); path; path = strtok(NULL, " \n")) add(&all[count], path, version);
        count++;
    }
    int host = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (;;) {
        sweep(all, count, host);
        round_done(count, &due, interval);
    }
}
