/* What a request's body can ask a function to do, beside answering. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The compiler cannot see that it is 0, so it cannot make another crash of it. */
static int *volatile nowhere;
static volatile int yes = 1;

static int asked(const char *what, const void *body, size_t size) { return size == strlen(what) && !memcmp(body, what, size); }

/* Comes back if the body asked for nothing. */
static void misbehave(const void *body, size_t size) {
    if (asked("spin", body, size)) {
        while (yes) {}
    } else if (asked("sleep", body, size)) {
        while (yes) sleep(1000);
    } else if (asked("allocate", body, size)) {
        /* Reserves memory, which costs nothing, and then touches all of it. */
        size_t room = (size_t)1 << 40;
        volatile char *reserved =
            mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (size_t i = 0; reserved != MAP_FAILED && i < room; i += 4096) reserved[i] = 1;
    } else if (asked("hoard", body, size)) {
        for (void *volatile piece; (piece = malloc(1 << 20)) != NULL;) memset(piece, 1, 1 << 20);
        abort();
    } else if (asked("crash", body, size)) {
        *nowhere = 1;
    } else if (asked("exit", body, size)) {
        fputs("first line\n\033[31mno luck\n", stderr);
        exit(3);
    }
}
