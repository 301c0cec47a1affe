/* Address space calls: what they map, what they refuse, and that page permissions are real. */
#include "../check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { PAGE = 4096 };
static sigjmp_buf back;
static volatile void *fault_address;
static volatile int fault_code;

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    fault_address = info->si_addr, fault_code = info->si_code;
    siglongjmp(back, 1);
}

/* 0 if the access went through, else the si_code of its SIGSEGV. */
static int reading(const volatile char *at) {
    if (sigsetjmp(back, 1)) return fault_address == at ? fault_code : -1;
    (void)*at;
    return 0;
}
static int writing(volatile char *at) {
    if (sigsetjmp(back, 1)) return fault_address == at ? fault_code : -1;
    *at = 1;
    return 0;
}
static int running(char *at) {
    if (sigsetjmp(back, 1)) return fault_address == at ? fault_code : -1;
    ((void (*)(void))(uintptr_t)at)();
    return 0;
}

static char *map(size_t length, int protection) {
    return mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static int all_zero(const char *at, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (at[i]) return 0;
    return 1;
}

static const char read_only[] = "text that nobody may change";

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);

    char *at = map(8 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(at != MAP_FAILED && (uintptr_t)at % PAGE == 0);
    CHECK(all_zero(at, 8 * PAGE));
    memset(at, 7, 8 * PAGE);
    CHECK(munmap(at + 2 * PAGE, PAGE) == 0);
    CHECK(reading(at + 2 * PAGE) == SEGV_MAPERR);
    CHECK(at[PAGE] == 7 && at[3 * PAGE] == 7);
    CHECK(mprotect(at, PAGE, PROT_READ) == 0);
    CHECK(reading(at) == 0);
    CHECK(writing(at) == SEGV_ACCERR);
    CHECK(writing(at + PAGE) == 0);
    CHECK(mprotect(at, PAGE, PROT_NONE) == 0);
    CHECK(reading(at) == SEGV_ACCERR);
    CHECK(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(writing(at + 1) == 0);
    CHECK(at[0] == 7 && at[PAGE - 1] == 7);
    FAILS(mprotect(at, 4 * PAGE, PROT_READ), ENOMEM);
    FAILS(syscall(SYS_mprotect, at + 1, PAGE, PROT_READ), EINVAL);
    CHECK(munmap(at, 8 * PAGE) == 0);
    CHECK(munmap(at, 8 * PAGE) == 0);
    CHECK(reading(at + 3 * PAGE) == SEGV_MAPERR);

    /* Code: written, then run, then no longer runnable. */
    char *code = map(PAGE, PROT_READ | PROT_WRITE);
    memcpy(code, "\xb8\x2a\0\0\0\xc3", 6); /* mov $42, %eax; ret */
    CHECK(running(code) == SEGV_ACCERR);
    CHECK(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
    CHECK(((int (*)(void))(uintptr_t)code)() == 42);
    CHECK(writing(code) == SEGV_ACCERR);
    CHECK(mprotect(code, PAGE, PROT_READ) == 0);
    CHECK(running(code) == SEGV_ACCERR);
    CHECK(munmap(code, PAGE) == 0);
    CHECK(running(code) == SEGV_MAPERR);

    CHECK(writing((char *)(uintptr_t)read_only) == SEGV_ACCERR);
    CHECK(writing((char *)(uintptr_t)main) == SEGV_ACCERR);
    CHECK(reading(NULL) == SEGV_MAPERR);
    CHECK(reading((char *)4095) == SEGV_MAPERR);

    /* Fixed places. */
    char *four = map(4 * PAGE, PROT_READ | PROT_WRITE);
    memset(four, 9, 4 * PAGE);
    CHECK(mmap(four + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == four + PAGE);
    CHECK(all_zero(four + PAGE, PAGE));
    CHECK(four[0] == 9 && four[2 * PAGE] == 9);
    FAILS(mmap(four, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    FAILS(mmap(four + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    FAILS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0), EBADF);
    FAILS(munmap(four + 1, PAGE), EINVAL);
    FAILS(munmap(four, 0), EINVAL);
    FAILS(mmap(NULL, (size_t)1 << 62, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);

    /* madvise throws pages away, and they come back zero. */
    CHECK(madvise(four + 2 * PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
    CHECK(all_zero(four + 2 * PAGE, 2 * PAGE));
    CHECK(four[0] == 9);

    /* mremap: shrink, grow, move. */
    CHECK(mremap(four, 4 * PAGE, PAGE, 0) == four);
    CHECK(reading(four + PAGE) == SEGV_MAPERR);
    char *grown = mremap(four, PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED && grown[0] == 9 && grown[PAGE - 1] == 9);
    CHECK(all_zero(grown + PAGE, 63 * PAGE));
    grown[63 * PAGE] = 3;
    char *place = map(64 * PAGE, PROT_NONE);
    CHECK(mremap(grown, 64 * PAGE, 64 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    CHECK(place[0] == 9 && place[63 * PAGE] == 3);
    CHECK(reading(grown) == SEGV_MAPERR);
    char *blocked = map(2 * PAGE, PROT_READ | PROT_WRITE);
    FAILS(mremap(blocked, PAGE, 2 * PAGE, 0), ENOMEM);
    FAILS(mremap(blocked + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);

    /* A huge reservation costs nothing until it is touched. */
    size_t huge = (size_t)64 << 30;
    char *reserve = mmap(NULL, huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(reserve != MAP_FAILED);
    CHECK(reading(reserve + huge / 2) == SEGV_ACCERR);
    CHECK(mprotect(reserve + huge / 2, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(writing(reserve + huge / 2) == 0);
    CHECK(writing(reserve + huge / 2 + 4 * PAGE) == SEGV_ACCERR);
    CHECK(munmap(reserve, huge) == 0);
    CHECK(reading(reserve + huge / 2) == SEGV_MAPERR);

    /* The program break. */
    char *start = (char *)syscall(SYS_brk, 0);
    CHECK((char *)syscall(SYS_brk, start + 100 * PAGE) == start + 100 * PAGE);
    CHECK(all_zero(start, 100 * PAGE));
    memset(start, 4, 100 * PAGE);
    CHECK((char *)syscall(SYS_brk, start + 10 * PAGE + 1) == start + 10 * PAGE + 1);
    CHECK((char *)syscall(SYS_brk, 0) == start + 10 * PAGE + 1);
    CHECK(start[10 * PAGE] == 4);
    CHECK((char *)syscall(SYS_brk, start + 100 * PAGE) == start + 100 * PAGE);
    CHECK(all_zero(start + 12 * PAGE, 88 * PAGE));
    CHECK((char *)syscall(SYS_brk, (char *)1) == start + 100 * PAGE);
    CHECK((char *)syscall(SYS_brk, (char *)-4096) == start + 100 * PAGE);

    /* Many mappings, made and taken away in another order. */
    char *many[300];
    int good = 1;
    for (int i = 0; i < 300; i++) {
        many[i] = map((1 + i % 7) * PAGE, PROT_READ | PROT_WRITE);
        good &= many[i] != MAP_FAILED && all_zero(many[i], (1 + i % 7) * PAGE);
        memset(many[i], i, (1 + i % 7) * PAGE);
    }
    for (int step = 0; step < 300; step++) {
        int i = step * 77 % 300;
        good &= many[i][PAGE - 1] == (char)i && munmap(many[i], (1 + i % 7) * PAGE) == 0;
    }
    CHECK(good);
    return 0;
}
