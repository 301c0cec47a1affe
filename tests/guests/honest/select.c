/* select and pselect over pipes: three sets, time that is told back, and numbers that are not open. */
#include "../check.h"
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

static fd_set in, out, other;

static void sets(int reader, int writer) {
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&other);
    FD_SET(reader, &in);
    FD_SET(writer, &out);
    FD_SET(reader, &other);
}

int main(void) {
    int ends[2];
    struct timeval none = {0, 0}, some = {0, 4000};
    struct timespec little = {0, 3000000};
    CHECK(pipe(ends) == 0);
    sets(ends[0], ends[1]);
    CHECK(select(5, &in, &out, &other, &none) == 1);
    CHECK(!FD_ISSET(ends[0], &in) && FD_ISSET(ends[1], &out) && !FD_ISSET(ends[0], &other));
    CHECK(write(ends[1], "x", 1) == 1);
    sets(ends[0], ends[1]);
    CHECK(select(5, &in, &out, &other, NULL) == 2 && FD_ISSET(ends[0], &in) && FD_ISSET(ends[1], &out));
    sets(ends[0], ends[1]);
    CHECK(select(4, &in, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &in));
    CHECK(select(3, &in, NULL, NULL, &none) == 0 && !FD_ISSET(ends[0], &in));
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
    sets(ends[0], ends[1]);
    CHECK(syscall(SYS_select, 5, &in, NULL, NULL, &some) == 0 && some.tv_sec == 0 && some.tv_usec == 0 && !FD_ISSET(ends[0], &in));
    sets(ends[0], ends[1]);
    CHECK(pselect(5, &in, NULL, NULL, &little, NULL) == 0 && little.tv_nsec == 3000000);
    some.tv_sec = 100;
    sets(ends[0], ends[1]);
    CHECK(syscall(SYS_select, 5, NULL, &out, NULL, &some) == 1 && some.tv_sec >= 99 && some.tv_sec < 101);
    CHECK(close(ends[1]) == 0);
    sets(ends[0], ends[0]);
    CHECK(select(5, &in, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &in));
    sets(ends[0], ends[1]);
    FAILS(select(5, &in, &out, NULL, &none), EBADF);
    FAILS(select(-1, NULL, NULL, NULL, &none), EINVAL);
    struct timeval bad = {-1, 0};
    FAILS(select(0, NULL, NULL, NULL, &bad), EINVAL);
    FAILS(select(5, (void *)8, NULL, NULL, &none), EFAULT);
    some.tv_sec = 0, some.tv_usec = 1000;
    CHECK(select(0, NULL, NULL, NULL, &some) == 0);
    return 0;
}
