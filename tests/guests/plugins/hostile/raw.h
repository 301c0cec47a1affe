/* What the hostile plugins share: Ampoule's calls as they are, without sdk/c, and a table of misbehaviours.
 *
 * The exported function is `misbehave(bytes) -> bytes`; its argument is the name of a misbehaviour. `PROGRAM list` prints the names, each with
 * the ending that it deserves:
 *
 *     answered    the reply is "ok", and the guest can be called again; any other reply says what was granted, or answered wrongly
 *     went on     as answered, but the reply is whatever it is
 *     guest       the call fails as the guest's failure, and the guest can be called again
 *     arguments   the call fails with bad arguments, and the guest can be called again
 *     too long    the call fails because of the reply's length, and the guest can be called again
 *     next call   the reply is "ok", and the next call with an argument ends as a broken protocol
 *     protocol    the guest broke the protocol: its end
 *     trap        a trap: its end
 *     limit       it does not come back: the caller's limits end the run
 *     exited      its end, with exit code 3
 *     signaled    its end, by a signal of its own
 * Where more than one is named, the host may choose. Outside Ampoule the programs exit with 2. */
#ifndef RAW_H
#define RAW_H
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../../sdk/c/ampoule_abi.h"
#include <stdint.h>

struct answer {
    int64_t rax;
    uint64_t rdi;
    uint64_t rsi;
};

static struct answer raw(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    struct answer answer = {(int64_t)number, a, b};
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r9 __asm__("r9") = e;
    __asm__ volatile("syscall"
                     : "+a"(answer.rax), "+D"(answer.rdi), "+S"(answer.rsi), "+d"(c), "+r"(r10), "+r"(r9)
                     :
                     : "rcx", "r8", "r11", "cc", "memory");
    return answer;
}

#define AT(pointer) ((uint64_t)(uintptr_t)(pointer))

static unsigned char buffer[1 << 16];
/* Where the next call's arguments go. */
static uint64_t room = 0, room_size = 0;
/* The call that is being served. */
static struct answer now;
/* What went wrong; "ok" if nothing did. */
static char report[512];

/* Answers the call that is being served, and waits for the next. */
static void reply(uint64_t outcome, uint64_t bytes, uint64_t size) {
    now = raw(AMPOULE_CALL_NEXT, outcome, bytes, size, room, room_size);
}

/* The call must be answered like this. */
#define EXPECT(expected, ...) expect(__LINE__, (expected), raw(__VA_ARGS__))
static inline void expect(int line, int64_t expected, struct answer answer) {
    if (answer.rax != expected && report[0] == 0)
        snprintf(report, sizeof report, "line %d: answered %ld instead of %ld", line, (long)answer.rax, (long)expected);
}

/* The condition must hold. */
#define REQUIRE(condition)                                                                                              \
    do {                                                                                                                \
        if (!(condition) && report[0] == 0) snprintf(report, sizeof report, "line %d: not %s", __LINE__, #condition);   \
    } while (0)

static inline unsigned char *pages(size_t size, int protection) {
    return mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* An address with nothing behind it. */
static inline uint64_t nowhere(void) {
    unsigned char *at = pages(4096, PROT_READ);
    munmap(at, 4096);
    return AT(at);
}

/* 16 bytes, of which the last 8 are missing. */
static inline uint64_t edge(void) {
    unsigned char *at = pages(8192, PROT_READ | PROT_WRITE);
    munmap(at + 4096, 4096);
    return AT(at + 4096 - 8);
}

/* A misbehaviour. It says whether it has answered the call itself. */
struct misbehaviour {
    const char *name;
    const char *ending;
    int (*run)(void);
};

static int list(const struct misbehaviour *all) {
    for (; all->name != NULL; all++) printf("%s\t%s\n", all->name, all->ending);
    return 0;
}

static const struct misbehaviour *find(const struct misbehaviour *all, const void *name, size_t size) {
    for (; all->name != NULL; all++)
        if (strlen(all->name) == size && memcmp(all->name, name, size) == 0) return all;
    return NULL;
}

static void attach(const char *table, uint64_t features) {
    int64_t result = raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(table), strlen(table), features, 0).rax;
    if (result == 0) return;
    fprintf(stderr, "This program is a hostile plugin for the tests of Ampoule, and does nothing by itself (%ld).\n", (long)result);
    exit(result == -AMPOULE_ENOSYS ? 2 : 1);
}

/* The bytes of the call that has come: fetched if they did not fit. */
static size_t arguments(void) {
    if (now.rax == -AMPOULE_EMSGSIZE) {
        now.rax = raw(AMPOULE_CALL_FETCH, AT(buffer), sizeof buffer, 0, 0, 0).rax;
        room = AT(buffer), room_size = sizeof buffer;
    }
    if (now.rax < 0) {
        fprintf(stderr, "NEXT was answered with %ld\n", (long)now.rax);
        exit(1);
    }
    return (size_t)now.rax;
}

static void answer_with_report(void) {
    if (report[0] == 0) strcpy(report, "ok");
    reply(AMPOULE_OUTCOME_RETURNED, AT(report), strlen(report));
}

/* Serves calls of misbehaviours for good; `second` is the function of ordinal 1, which answers by itself. */
static inline __attribute__((noreturn)) void serve(const struct misbehaviour *all, void (*second)(void)) {
    room = AT(buffer), room_size = sizeof buffer;
    reply(AMPOULE_OUTCOME_NONE, 0, 0);
    for (;;) {
        size_t size = arguments();
        const struct misbehaviour *one = find(all, buffer, size);
        report[0] = 0;
        if (now.rdi == 1) {
            second();
        } else if (one == NULL) {
            snprintf(report, sizeof report, "no such misbehaviour: %.*s", (int)size, (const char *)buffer);
            answer_with_report();
        } else if (!one->run()) {
            answer_with_report();
        }
    }
}
#endif
