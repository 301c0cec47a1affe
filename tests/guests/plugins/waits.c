/* Waits in every way that there is, and says how long that was by its own clock. It calls nothing of the host's. */
#include "../../../sdk/c/ampoule.c"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

/* A word, and a number in decimal. */
static void asked(const void *input, size_t size, char word[32], int64_t *number) {
    char text[64] = "";
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    word[0] = 0;
    *number = 0;
    sscanf(text, "%31s %lld", word, (long long *)number);
}

static uint64_t now(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return (uint64_t)at.tv_sec * SECOND + (uint64_t)at.tv_nsec;
}

static struct timespec timespec(uint64_t nanos) {
    return (struct timespec){(time_t)(nanos / SECOND), (long)(nanos % SECOND)};
}

/* Waits so many nanoseconds for nothing. False if the call failed in a way that it should not. */
static int wait_for_nothing(const char *way, uint64_t nanos) {
    struct timespec time = timespec(nanos);
    struct timeval coarse = {time.tv_sec, time.tv_nsec / 1000};
    int milliseconds = (int)(nanos / 1000000);
    if (strcmp(way, "nanosleep") == 0) return syscall(SYS_nanosleep, &time, NULL) == 0;
    if (strcmp(way, "ages") == 0) {
        time = (struct timespec){INT64_MAX, 999999999};
        return syscall(SYS_nanosleep, &time, NULL) == 0;
    }
    if (strcmp(way, "clock") == 0) return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL) == 0;
    if (strcmp(way, "absolute") == 0) {
        time = timespec(now(CLOCK_MONOTONIC) + nanos);
        return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == 0;
    }
    if (strcmp(way, "poll") == 0) return syscall(SYS_poll, NULL, 0, milliseconds) == 0;
    if (strcmp(way, "ppoll") == 0) return syscall(SYS_ppoll, NULL, 0, &time, NULL, 8) == 0;
    if (strcmp(way, "select") == 0)
        return syscall(SYS_select, 0, NULL, NULL, NULL, &coarse) == 0 && coarse.tv_sec == 0 && coarse.tv_usec == 0;
    if (strcmp(way, "pselect") == 0)
        return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL) == 0 && time.tv_sec == 0 && time.tv_nsec == 0;
    if (strcmp(way, "epoll") == 0) {
        struct epoll_event event;
        int set = epoll_create1(0), got = epoll_wait(set, &event, 1, milliseconds);
        close(set);
        return got == 0;
    }
    if (strcmp(way, "futex") == 0) {
        static int word;
        return syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &time, NULL, 0) == -1 && errno == ETIMEDOUT;
    }
    return 0;
}

/* In this way, so many nanoseconds. The reply is how many they were. */
static int waits(const void *input, size_t size, struct ampoule_reply *to) {
    char way[32];
    int64_t nanos;
    asked(input, size, way, &nanos);
    uint64_t before = now(CLOCK_MONOTONIC);
    if (!wait_for_nothing(way, (uint64_t)nanos)) return ampoule_fail(to, way);
    uint64_t waited = now(CLOCK_MONOTONIC) - before;
    return ampoule_reply_set(to, &waited, sizeof waited);
}
AMPOULE_EXPORT(waits);

/* Sleeps for a nanosecond, again and again, for so many nanoseconds; how often. */
static int naps(const void *input, size_t size, struct ampoule_reply *to) {
    char way[32];
    int64_t nanos;
    uint64_t times = 0;
    asked(input, size, way, &nanos);
    uint64_t end = now(CLOCK_MONOTONIC) + (uint64_t)nanos;
    struct timespec nap = {0, 1};
    for (; now(CLOCK_MONOTONIC) < end; times++)
        if (nanosleep(&nap, NULL) != 0) return ampoule_fail(to, "no nap");
    return ampoule_reply_set(to, &times, sizeof times);
}
AMPOULE_EXPORT(naps);

/* Waits on stdin in this way, for at most so many milliseconds, then reads. The reply is what was read; "nothing" if the time was over. */
static int listens(const void *input, size_t size, struct ampoule_reply *to) {
    char way[32], line[256];
    int64_t milliseconds;
    int ready = 1;
    asked(input, size, way, &milliseconds);
    if (strcmp(way, "poll") == 0) {
        struct pollfd entry = {0, POLLIN, 0};
        ready = poll(&entry, 1, (int)milliseconds);
    } else if (strcmp(way, "select") == 0) {
        fd_set set;
        struct timeval time = {milliseconds / 1000, milliseconds % 1000 * 1000};
        FD_ZERO(&set);
        FD_SET(0, &set);
        ready = select(1, &set, NULL, NULL, &time);
    } else if (strcmp(way, "epoll") == 0) {
        struct epoll_event event = {.events = EPOLLIN};
        int set = epoll_create1(0);
        epoll_ctl(set, EPOLL_CTL_ADD, 0, &event);
        ready = epoll_wait(set, &event, 1, (int)milliseconds);
        close(set);
    }
    if (ready < 0) return ampoule_fail(to, way);
    if (ready == 0) return ampoule_reply_set(to, "nothing", 7);
    ssize_t got = read(0, line, sizeof line);
    return got < 0 ? ampoule_fail(to, "not read") : ampoule_reply_set(to, line, (size_t)got);
}
AMPOULE_EXPORT(listens);

/* Writes so many bytes to stdout, all in one call. */
static int prints(const void *input, size_t size, struct ampoule_reply *to) {
    char way[32];
    int64_t bytes;
    asked(input, size, way, &bytes);
    char *text = malloc((size_t)bytes);
    if (text == NULL) return ampoule_fail(to, "no memory");
    for (int64_t i = 0; i < bytes; i++) text[i] = (char)('a' + i % 26);
    ssize_t written = write(1, text, (size_t)bytes);
    free(text);
    return ampoule_reply_set(to, &written, sizeof written);
}
AMPOULE_EXPORT(prints);

/* Takes a lock on a file, waiting for it, and gives it back. */
static int locks(const void *input, size_t size, struct ampoule_reply *to) {
    char path[32];
    int64_t ignored;
    asked(input, size, path, &ignored);
    int file = open(path, O_RDWR);
    if (file < 0 || flock(file, LOCK_EX) != 0 || flock(file, LOCK_UN) != 0) return ampoule_fail(to, "no lock");
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_SETLKW, &whole) != 0) return ampoule_fail(to, "no lock of a range");
    close(file);
    return ampoule_reply_set(to, "locked", 6);
}
AMPOULE_EXPORT(locks);

/* Reads its CPU clock until it has used so many nanoseconds: it never goes back. */
static int works(const void *input, size_t size, struct ampoule_reply *to) {
    char way[32];
    int64_t nanos;
    asked(input, size, way, &nanos);
    uint64_t first = now(CLOCK_PROCESS_CPUTIME_ID), last = first;
    while (last - first < (uint64_t)nanos) {
        uint64_t next = now(CLOCK_PROCESS_CPUTIME_ID);
        if (next < last) return ampoule_fail(to, "the clock went back");
        last = next;
    }
    return ampoule_reply_set(to, &last, sizeof last);
}
AMPOULE_EXPORT(works);

int main(void) {
    ampoule_serve();
    return 2;
}
