/* guest: flags=-O1
 * Programs that never end by themselves: `endless NAME`. Where a suite must know that one has begun, it prints "begun\n" first. */
#include "../check.h"
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char block[65536];
static sigjmp_buf back;
static volatile int *volatile nowhere = (int *)16;
static void nothing(int number) { (void)number; }
static void leave(int number) { siglongjmp(back, number); }
static void nested(int number) { raise(number); }

static void writes_vectors(size_t length) {
    static struct iovec all[1024];
    char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1024; i++) all[i].iov_base = bytes, all[i].iov_len = length;
    for (;;) writev(1, all, 1024);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "spin";
    volatile uint64_t count = 0;
    if (argc > 2) write(1, "begun\n", 6);
#define CASE(text) else if (!strcmp(name, text))
    if (0);
    CASE("spin") for (;;) count++;
    CASE("spin tightly") __asm__ volatile("1: jmp 1b");
    CASE("pause") for (;;) __builtin_ia32_pause();
    CASE("syscall") for (;;) syscall(SYS_getpid);
    CASE("unknown syscall") for (;;) syscall(4000 + count++ % 1000);
    CASE("clock") for (struct timespec at;;) clock_gettime(CLOCK_MONOTONIC, &at);
    CASE("yield") for (;;) syscall(SYS_sched_yield);
    CASE("write") for (;;) write(1, block, sizeof block);
    CASE("write bytes") for (;;) write(1, "x", 1);
    CASE("write nothing") for (;;) write(1, "", 0);
    CASE("write errors") for (;;) write(2, block, sizeof block);
    CASE("write vectors") writes_vectors(1 << 20);
    CASE("copy") for (;;) memcpy(block, block + 32768, 32768), count++;
    CASE("map") for (;;) munmap(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 20);
    CASE("protect") {
        char *at = mmap(NULL, 16 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (;;) mprotect(at, 16 << 20, count++ % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
    }
    CASE("discard") {
        char *at = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (;; madvise(at, 4 << 20, MADV_DONTNEED)) memset(at, 1, 4 << 20);
    }
    CASE("signal") { signal(SIGUSR1, nothing); for (;;) raise(SIGUSR1); }
    CASE("fault") { signal(SIGSEGV, nothing); *nowhere = 1; } /* the handler returns to the same fault */
    CASE("fault and jump") { signal(SIGSEGV, leave); sigsetjmp(back, 1); *nowhere = 1; }
    CASE("sleep") for (;;) sleep(1000000);
    CASE("longest sleep") { struct timespec t = {LONG_MAX, 999999999}; for (;;) nanosleep(&t, NULL); }
    CASE("short sleeps") { struct timespec t = {0, 1}; for (;;) nanosleep(&t, NULL); }
    CASE("absolute sleep") { struct timespec t = {LONG_MAX, 0}; for (;;) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL); }
    CASE("read") { while (read(0, block, sizeof block) >= 0) {} return 3; }
    CASE("poll stdin") { struct pollfd wait = {0, POLLIN, 0}; for (;;) poll(&wait, 1, -1); }
    CASE("poll nothing") for (;;) poll(NULL, 0, -1);
    CASE("poll a minute") for (;;) poll(NULL, 0, 60000);
    CASE("poll without waiting") { struct pollfd wait = {0, POLLIN, 0}; for (;;) poll(&wait, 1, 0); }
    /* Nobody can end these waits: no other thread, no signal from outside. */
    CASE("futex") { int word = 0; for (;;) syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0); }
    CASE("wait for a signal") for (;;) syscall(SYS_pause);
    CASE("futex for a minute") { int word = 0; struct timespec t = {60, 0}; for (;;) syscall(SYS_futex, &word, 0, 0, &t, NULL, 0); }
    /* These end, but by using something up. */
    CASE("signals in signals") { struct sigaction a = {.sa_handler = nested, .sa_flags = SA_NODEFER}; sigaction(SIGUSR1, &a, NULL); raise(SIGUSR1); }
    else return 2;
    return 42;
}
