/* Time without system calls. What the vDSO says is what the system calls say, whether the libc found it or we look for it ourselves, as Go
 * does. `vdso reads` and `vdso cost` are for inside: how long so many readings took, all together and each. */
#include "../check.h"
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t in_nanos(struct timespec at) { return at.tv_sec * 1000000000ll + at.tv_nsec; }

static int64_t now(clockid_t clock) {
    struct timespec at;
    if (clock_gettime(clock, &at) || at.tv_nsec < 0 || at.tv_nsec >= 1000000000) exit(1);
    return in_nanos(at);
}

static int64_t asked(clockid_t clock) {
    struct timespec at;
    if (syscall(SYS_clock_gettime, clock, &at)) exit(1);
    return in_nanos(at);
}

/* Go's runtime/vdso_linux.go: a function of version LINUX_2.6, by the chain of DT_HASH or of DT_GNU_HASH. */
static void *find(const char *name, int by_gnu_hash) {
    const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
    if (image == NULL || memcmp(image, ELFMAG, SELFMAG) != 0) return NULL;
    const Elf64_Ehdr *file = (const void *)image;
    const Elf64_Phdr *segments = (const void *)(image + file->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    const char *base = NULL;
    for (int i = 0; i < file->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD && base == NULL) base = image + segments[i].p_offset - segments[i].p_vaddr;
        if (segments[i].p_type == PT_DYNAMIC) dynamic = (const void *)(image + segments[i].p_offset);
    }
    if (base == NULL || dynamic == NULL) return NULL;
    const char *strings = NULL;
    const Elf64_Sym *symbols = NULL;
    const uint32_t *hash = NULL, *gnu_hash = NULL;
    const uint16_t *versions = NULL;
    const Elf64_Verdef *version = NULL;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *at = base + dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_STRTAB) strings = at;
        if (dynamic->d_tag == DT_SYMTAB) symbols = at;
        if (dynamic->d_tag == DT_HASH) hash = at;
        if (dynamic->d_tag == DT_GNU_HASH) gnu_hash = at;
        if (dynamic->d_tag == DT_VERSYM) versions = at;
        if (dynamic->d_tag == DT_VERDEF) version = at;
    }
    if (strings == NULL || symbols == NULL || versions == NULL || version == NULL) return NULL;
    while (version->vd_flags & VER_FLG_BASE || version->vd_hash != 0x3ae75f6) {
        if (version->vd_next == 0) return NULL;
        version = (const void *)((const char *)version + version->vd_next);
    }
    uint32_t wanted = 5381, elf_wanted = 0;
    for (const unsigned char *at = (const void *)name; *at; at++) {
        wanted = wanted * 33 + *at;
        elf_wanted = (elf_wanted << 4) + *at;
        elf_wanted = (elf_wanted ^ (elf_wanted >> 24 & 0xf0)) & 0x0fffffff;
    }
#define IS_IT(i) \
    (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && symbols[i].st_shndx != 0 && (versions[i] & 0x7fff) == version->vd_ndx && \
     !strcmp(strings + symbols[i].st_name, name))
    if (by_gnu_hash) {
        if (gnu_hash == NULL) return NULL;
        const uint32_t *buckets = gnu_hash + 4 + gnu_hash[2] * 2, *chain = buckets + gnu_hash[0];
        uint32_t i = buckets[wanted % gnu_hash[0]];
        if (i < gnu_hash[1]) return NULL;
        for (;; i++) {
            if ((chain[i - gnu_hash[1]] | 1) == (wanted | 1) && IS_IT(i)) return (void *)(base + symbols[i].st_value);
            if (chain[i - gnu_hash[1]] & 1) return NULL;
        }
    }
    if (hash == NULL) return NULL;
    for (uint32_t i = hash[2 + elf_wanted % hash[0]]; i != 0; i = hash[2 + hash[0] + i])
        if (IS_IT(i)) return (void *)(base + symbols[i].st_value);
    return NULL;
}

static int (*vdso_clock_gettime)(clockid_t, struct timespec *);
static int (*vdso_gettimeofday)(struct timeval *, void *);
static time_t (*vdso_time)(time_t *);
static int (*vdso_clock_getres)(clockid_t, struct timespec *);
static int (*vdso_getcpu)(unsigned *, unsigned *, void *);

static sigjmp_buf before;
static void fault(int signal) { siglongjmp(before, signal); }

static struct timespec *page;
static void mend(int signal) {
    (void)signal;
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE)) _exit(1);
}

/* 10,000 readings of four kinds; the nanoseconds that they took. */
static int64_t reads(void) {
    int64_t from = now(CLOCK_MONOTONIC);
    for (int i = 0; i < 2500; i++) {
        struct timeval day;
        now(CLOCK_MONOTONIC), now(CLOCK_REALTIME), gettimeofday(&day, NULL), time(NULL);
    }
    return now(CLOCK_MONOTONIC) - from;
}

/* What one takes, and the counter alone, at their best. */
static void cost(void) {
    int64_t reading = INT64_MAX, counter = INT64_MAX;
    for (int round = 0; round < 200; round++) {
        int64_t from = now(CLOCK_MONOTONIC), until;
        for (int i = 0; i < 100; i++) now(CLOCK_MONOTONIC);
        until = now(CLOCK_MONOTONIC);
        if (until - from < reading) reading = until - from;
        from = now(CLOCK_MONOTONIC);
        for (int i = 0; i < 100; i++) {
            uint32_t low, high;
            __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
        }
        until = now(CLOCK_MONOTONIC);
        if (until - from < counter) counter = until - from;
    }
    printf("%lld %lld\n", (long long)reading, (long long)counter);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "reads")) return printf("%lld\n", (long long)reads()) < 0;
    if (argc > 1 && !strcmp(argv[1], "cost")) return cost(), 0;

    for (int by_gnu_hash = 0; by_gnu_hash < 2; by_gnu_hash++) {
        CHECK((vdso_clock_gettime = find("__vdso_clock_gettime", by_gnu_hash)) != NULL);
        CHECK((vdso_gettimeofday = find("__vdso_gettimeofday", by_gnu_hash)) != NULL);
        CHECK((vdso_time = find("__vdso_time", by_gnu_hash)) != NULL);
        CHECK((vdso_clock_getres = find("__vdso_clock_getres", by_gnu_hash)) != NULL);
        CHECK((vdso_getcpu = find("__vdso_getcpu", by_gnu_hash)) != NULL);
        CHECK(find("clock_gettime", by_gnu_hash) == (void *)vdso_clock_gettime && find("__vdso_nothing", by_gnu_hash) == NULL);
    }

    /* Whatever a clock is read by, it never goes back. */
    clockid_t forward[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_THREAD_CPUTIME_ID};
    uint32_t state = 1;
    for (int i = 0; i < 5; i++) {
        int never_back = 1, succeeds = 1;
        int64_t last = 0;
        for (int round = 0; round < 3000; round++) {
            struct timespec at;
            uint32_t way = next_number(&state) % 64;
            int64_t next;
            if (way < 4) {
                next = asked(forward[i]);
            } else if (way < 32) {
                succeeds &= vdso_clock_gettime(forward[i], &at) == 0;
                next = in_nanos(at);
            } else {
                next = now(forward[i]);
            }
            never_back &= next >= last, last = next;
        }
        CHECK(succeeds && never_back);
    }

    /* What one says lies between what the others say before and after. */
    int agree = 1;
    for (int round = 0; round < 200; round++) {
        struct timeval day;
        int64_t first = asked(CLOCK_REALTIME) / 1000;
        agree &= vdso_gettimeofday(&day, NULL) == 0;
        int64_t second = day.tv_sec * 1000000ll + day.tv_usec, third = now(CLOCK_REALTIME) / 1000;
        agree &= first <= second && second <= third && day.tv_usec >= 0 && day.tv_usec < 1000000;
        first = asked(CLOCK_MONOTONIC);
        second = now(CLOCK_MONOTONIC), third = asked(CLOCK_MONOTONIC);
        agree &= first <= second && second <= third;
    }
    CHECK(agree);
    struct timezone { int minutes, dst; } zone = {7, 7};
    CHECK(vdso_gettimeofday(NULL, &zone) == 0 && zone.minutes == 0 && zone.dst == 0);
    CHECK(vdso_gettimeofday(NULL, NULL) == 0);

    /* Linux's own tells the second as of its last tick. */
    time_t stored = 0, told = vdso_time(&stored);
    CHECK(told == stored && vdso_time(NULL) >= told);
    CHECK(told <= now(CLOCK_REALTIME) / 1000000000 && told + 2 >= now(CLOCK_REALTIME) / 1000000000);

    struct timespec resolution = {7, 7};
    CHECK(vdso_clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_sec == 0 && resolution.tv_nsec == 1);
    CHECK(vdso_clock_getres(CLOCK_REALTIME, NULL) == 0);
    CHECK(vdso_clock_getres(CLOCK_BOOTTIME, &resolution) == 0 && resolution.tv_nsec == 1);
    unsigned cpu = 77777, node = 77777;
    CHECK(vdso_getcpu(&cpu, &node, NULL) == 0 && cpu < 77777 && node < 77777);
    CHECK(vdso_getcpu(NULL, NULL, NULL) == 0);

    struct timespec at;
    CHECK(vdso_clock_gettime(9999, &at) == -EINVAL && vdso_clock_gettime(-1000000, &at) != 0);
    CHECK(vdso_clock_getres(9999, NULL) == -EINVAL);
    FAILS(clock_gettime(9999, &at), EINVAL);

    /* It is the program that stores, and the program that faults; where the clock takes a system call, that says so instead. */
    signal(SIGSEGV, fault);
    volatile int result = 0;
    int caught = sigsetjmp(before, 1);
    if (caught == 0) result = vdso_clock_gettime(CLOCK_MONOTONIC, (struct timespec *)8);
    CHECK(caught == SIGSEGV || result == -EFAULT);
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    signal(SIGSEGV, mend);
    result = vdso_clock_gettime(CLOCK_MONOTONIC, page);
    if (result == -EFAULT && mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0) result = vdso_clock_gettime(CLOCK_MONOTONIC, page);
    CHECK(page != MAP_FAILED && result == 0);
    CHECK(in_nanos(*page) <= now(CLOCK_MONOTONIC) && in_nanos(*page) > 0);
    signal(SIGSEGV, fault);
    caught = sigsetjmp(before, 1);
    if (caught == 0) *(volatile char *)getauxval(AT_SYSINFO_EHDR) = 0;
    CHECK(caught == SIGSEGV);
    return 0;
}
