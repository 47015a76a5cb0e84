/* What both floors share. */
#define _GNU_SOURCE
#include <err.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The number behind a name in a text; 0 where there is none. */
static inline uint64_t behind(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Say that a round over so many containers is done, and wait until the next is due. */
static inline void round_done(size_t count, struct timespec *due, double interval) {
    printf("%zu\n", count);
    fflush(stdout);
    double next = due->tv_nsec / 1e9 + interval, whole;
    due->tv_nsec = (long)(modf(next, &whole) * 1e9);
    due->tv_sec += (time_t)whole;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}
