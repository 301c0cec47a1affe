// guest: flags=-g,-fno-optimize-sibling-calls
// Crashes as its first argument says, three calls below main. Lines that a test looks for end in a mark.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile int zero;
static char *volatile nowhere;
static const char table[4096] = "read-only";
static void (*volatile no_function)(void);
// The compiler must not know that a call does not come back: it would end the caller there.
static void (*volatile give_up)(void) = abort;

NOINLINE static int overflow(int depth) {
    volatile char room[256];
    room[depth & 255] = 1;
    return overflow(depth + 1) + room[0]; // mark: overflow
}

NOINLINE static void break_it(const char *how) {
    if (!strcmp(how, "null")) {
        *(nowhere + 16) = 1; // mark: null
    } else if (!strcmp(how, "read-only")) {
        *(volatile char *)(size_t)&table[8] = 1; // mark: read-only
    } else if (!strcmp(how, "divide")) {
        zero = 1000 / zero; // mark: divide
    } else if (!strcmp(how, "call")) {
        no_function(); // mark: call
    } else if (!strcmp(how, "abort")) {
        give_up(); // mark: abort
    } else if (!strcmp(how, "raise")) {
        raise(SIGTERM); // mark: raise
    } else if (!strcmp(how, "copy")) {
        memcpy(nowhere + 8, table, zero + 4000); // mark: copy
    } else if (!strcmp(how, "guard")) {
        char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(pages + 4096, 4096, PROT_NONE);
        pages[4096 + 12] = 1; // mark: guard
    } else if (!strcmp(how, "trap")) {
        __builtin_trap(); // mark: trap
    } else if (!strcmp(how, "scribble")) {
        // What comes on stdin, over the stack from here on; the registers that unwinding begins with are of the same making.
        unsigned long words[512] = {0};
        long bytes = read(0, words, sizeof words);
        char *here = __builtin_alloca(64);
        memmove(here, words, bytes < 0 ? 0 : (size_t)bytes);
        __asm__ volatile("mov (%0), %%rbx; mov 8(%0), %%rbp; ud2" ::"r"(here) : "memory");
    } else if (!strcmp(how, "overflow")) {
        overflow(zero);
    }
    zero = 2;
}

NOINLINE static void middle(const char *how) {
    break_it(how); // mark: middle
    zero = 3;
}

NOINLINE static void outer(const char *how) {
    middle(how); // mark: outer
    zero = 4;
}

int main(int argc, char **argv) {
    outer(argc > 1 ? argv[1] : ""); // mark: main
    return 0;
}
