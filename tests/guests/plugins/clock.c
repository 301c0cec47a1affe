/* Watches the clock: it never goes back, not from one call to the next either, whatever it is read by and wherever the guest goes on. */
#include "../../../sdk/c/ampoule.c"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The latest reading of all calls. */
static int64_t latest;

/* So many readings, given in decimal; every 512th and the first by a system call. Returns the latest. */
static int watches(const void *input, size_t size, struct ampoule_reply *to) {
    char text[24] = "";
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    uint64_t count = strtoull(text, NULL, 10);
    for (uint64_t i = 0; i < count; i++) {
        struct timespec at;
        if (i % 512 == 0 ? syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &at) : clock_gettime(CLOCK_MONOTONIC, &at))
            return ampoule_fail(to, "no clock");
        int64_t now = at.tv_sec * 1000000000ll + at.tv_nsec;
        if (now < latest) return ampoule_fail(to, "the clock went back");
        latest = now;
    }
    return ampoule_reply_set(to, &latest, sizeof latest);
}
AMPOULE_EXPORT(watches);

int main(void) {
    ampoule_serve();
    return 2;
}
