/* Sleeps for so many milliseconds, and looks at its own clock: `sleeps COUNT`. Or uses so much CPU time, whose clock never goes back:
 * `sleeps works COUNT`. */
#include "../check.h"
#include <time.h>

static int64_t now(clockid_t clock) {
    struct timespec at;
    if (clock_gettime(clock, &at) != 0) exit(2);
    return at.tv_sec * 1000000000ll + at.tv_nsec;
}

static void sleep_for(int64_t milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    int64_t before = now(CLOCK_MONOTONIC);
    CHECK(nanosleep(&time, NULL) == 0);
    CHECK(now(CLOCK_MONOTONIC) - before >= milliseconds * 1000000);
    puts("slept");
}

static void work_for(int64_t milliseconds) {
    int64_t first = now(CLOCK_PROCESS_CPUTIME_ID), last = first;
    while (last - first < milliseconds * 1000000) {
        int64_t next = now(CLOCK_PROCESS_CPUTIME_ID);
        if (next < last) exit(1);
        last = next;
    }
    puts("worked");
}

int main(int argc, char **argv) {
    if (argc > 2) work_for(atoll(argv[2]));
    else sleep_for(argc > 1 ? atoll(argv[1]) : 0);
    return 0;
}
