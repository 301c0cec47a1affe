/* What takes its time, and what ends: for limits, for going on after them, for streams. It calls nothing of the host's. */
#include "../../../sdk/c/ampoule.c"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Our own arguments. */
static char **given;

/* A number in decimal, as the functions below take it. */
static uint64_t number(const void *input, size_t size) {
    char text[24] = "";
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    return strtoull(text, NULL, 10);
}

static int says(struct ampoule_reply *to, const char *text) { return ampoule_reply_set(to, text, strlen(text)); }

/* So many rounds of integers, floats, memory and system calls; the result depends on every one. */
static int computes(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t rounds = number(input, size), state = 0x9e3779b97f4a7c15;
    double sum = 0.5;
    for (uint64_t i = 0; i < rounds; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        sum = sum * 0.75 + (double)(state >> 40);
        if (i % 4096 == 0) {
            volatile unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (page == MAP_FAILED) return ampoule_fail(to, "no memory");
            page[state % 4096] = (unsigned char)state;
            state += page[state % 4096];
            munmap((void *)page, 4096);
        }
    }
    struct {
        uint64_t state;
        double sum;
    } result = {state, sum};
    return ampoule_reply_set(to, &result, sizeof result);
}
AMPOULE_EXPORT(computes);

/* Sleeps so many milliseconds. */
static int sleeps(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t milliseconds = number(input, size);
    struct timespec time = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000 * 1000000)};
    return says(to, nanosleep(&time, NULL) == 0 ? "slept" : "interrupted");
}
AMPOULE_EXPORT(sleeps);

/* Waits until there is something on stdin. */
static int polls(const void *input, size_t size, struct ampoule_reply *to) {
    struct pollfd stdin_only = {0, POLLIN, 0};
    (void)input, (void)size;
    return says(to, poll(&stdin_only, 1, -1) == 1 && stdin_only.revents & POLLIN ? "ready" : "not ready");
}
AMPOULE_EXPORT(polls);

/* One read from stdin. */
static int reads(const void *input, size_t size, struct ampoule_reply *to) {
    char line[256];
    ssize_t got = read(0, line, sizeof line);
    (void)input, (void)size;
    return got < 0 ? ampoule_fail(to, "not read") : ampoule_reply_set(to, line, (size_t)got);
}
AMPOULE_EXPORT(reads);

/* Writes so many KiB to stdout, one after the other. */
static int writes(const void *input, size_t size, struct ampoule_reply *to) {
    char block[1024];
    memset(block, 'w', sizeof block);
    for (uint64_t left = number(input, size); left != 0; left--)
        if (write(1, block, sizeof block) != sizeof block) return ampoule_fail(to, "not written");
    return says(to, "written");
}
AMPOULE_EXPORT(writes);

/* Its own argument, a variable of its environment and a file of its host's: what it was made with. */
static int finds(const void *input, size_t size, struct ampoule_reply *to) {
    char text[256], content[64] = "";
    const char *variable = getenv("VARIABLE");
    int file = open("/etc/plugin", O_RDONLY);
    (void)input, (void)size;
    if (file >= 0) {
        if (read(file, content, sizeof content - 1) < 0) return ampoule_fail(to, "not read");
        close(file);
    }
    snprintf(text, sizeof text, "%s %s %s", given[1] != NULL ? given[1] : "-", variable != NULL ? variable : "-", content);
    return says(to, text);
}
AMPOULE_EXPORT(finds);

/* Appends to a file of its own, and says how long it is by now. */
static int keeps(const void *input, size_t size, struct ampoule_reply *to) {
    int file = open("/kept", O_WRONLY | O_CREAT | O_APPEND, 0600);
    uint64_t length;
    if (file < 0 || write(file, input, size) != (ssize_t)size) return ampoule_fail(to, "not kept");
    length = (uint64_t)lseek(file, 0, SEEK_END);
    close(file);
    return ampoule_reply_set(to, &length, sizeof length);
}
AMPOULE_EXPORT(keeps);

/* ---- ends -------------------------------------------------------------------------------------------------------- */

/* The compiler must not know. */
static volatile uintptr_t null = 0;

static __attribute__((noinline)) void stores_to_null(void) { *(volatile int *)null = 1; }

static int faults(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size;
    stores_to_null();
    return says(to, "no fault");
}
AMPOULE_EXPORT(faults);

static int complains(const void *input, size_t size, struct ampoule_reply *to) {
    fprintf(stderr, "before the failure: %.*s\n", (int)size, (const char *)input);
    return ampoule_fail(to, "it complained");
}
AMPOULE_EXPORT(complains);

static int aborts(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size, (void)to;
    abort();
}
AMPOULE_EXPORT(aborts);

/* Waits for what nobody can send. */
static int deadlocks(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size;
    poll(NULL, 0, -1);
    return says(to, "woken");
}
AMPOULE_EXPORT(deadlocks);

/* Touches what it had only reserved, until there is no page left. */
static int touches(const void *input, size_t size, struct ampoule_reply *to) {
    size_t most = (size_t)1 << 36;
    volatile char *reserved = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)input, (void)size;
    if (reserved == MAP_FAILED) return ampoule_fail(to, "not reserved");
    for (size_t at = 0; at < most; at += 4096) reserved[at] = 1;
    return says(to, "endless memory");
}
AMPOULE_EXPORT(touches);

int main(int argc, char **argv) {
    (void)argc;
    given = argv;
    if (argv[1] != NULL && strcmp(argv[1], "fault") == 0) stores_to_null();
    if (argv[1] != NULL && strcmp(argv[1], "exit") == 0) {
        fprintf(stderr, "nothing to serve\n");
        return 7;
    }
    if (argv[1] != NULL && strcmp(argv[1], "spin") == 0)
        for (volatile int i = 0;; i = i + 1) {}
    ampoule_serve();
    return 2;
}
