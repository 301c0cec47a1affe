/* Time: it never goes back, sleeping takes at least as long as asked, and the forms agree. */
#include "../check.h"
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t clock) {
    struct timespec at;
    if (clock_gettime(clock, &at) || at.tv_nsec < 0 || at.tv_nsec >= 1000000000) exit(1);
    return at.tv_sec * 1000000000ll + at.tv_nsec;
}

int main(void) {
    clockid_t forward[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID,
                           CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 6; i++) {
        int64_t last = now(forward[i]);
        int never_back = 1;
        for (int round = 0; round < 2000; round++) {
            int64_t next = now(forward[i]);
            never_back &= next >= last, last = next;
        }
        CHECK(never_back);
    }
    int64_t coarse = now(CLOCK_MONOTONIC_COARSE), fine = now(CLOCK_MONOTONIC);
    CHECK(coarse <= fine);
    struct timeval day;
    struct timespec resolution;
    int64_t before = now(CLOCK_REALTIME) / 1000000000;
    time_t plain = time(NULL);
    CHECK(gettimeofday(&day, NULL) == 0 && day.tv_usec >= 0 && day.tv_usec < 1000000);
    CHECK(before > 1577836800 && plain + 1 >= before && day.tv_sec >= before); /* after 2020 */
    CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_sec == 0 && resolution.tv_nsec > 0);
    FAILS(clock_gettime(9999, &resolution), EINVAL);

    int64_t start = now(CLOCK_MONOTONIC);
    struct timespec nap = {0, 3000000}, until;
    CHECK(nanosleep(&nap, NULL) == 0);
    CHECK(now(CLOCK_MONOTONIC) - start >= 3000000);
    CHECK(usleep(1000) == 0);
    clock_gettime(CLOCK_MONOTONIC, &until), until.tv_nsec += 2000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
    CHECK(now(CLOCK_MONOTONIC) >= until.tv_sec * 1000000000ll + until.tv_nsec);
    until.tv_sec = 0;
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
    nap.tv_nsec = 1000000000;
    FAILS(nanosleep(&nap, NULL), EINVAL);
    nap.tv_nsec = -1;
    FAILS(nanosleep(&nap, NULL), EINVAL);

    /* Working uses CPU time; the clock says so. */
    int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    volatile uint32_t state = 1;
    while (now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 2000000)
        for (int i = 0; i < 10000; i++) state = state * 5 + 1;
    puts("2 ms of work");
    CHECK(clock() != (clock_t)-1);
    time_t moment = 1000000000;
    char text[64];
    CHECK(strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime(&moment)) == 19 && !strcmp(text, "2001-09-09 01:46:40"));
    return 0;
}
