/* Every call that takes a pointer, given pointers that are none: null, unmapped, protected, in the kernel's half, noncanonical, wrapping,
 * and ranges that begin well and end badly. The call must fail with EFAULT and touch nothing. Stdin holds a few KiB. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static long raw(long number, long a, long b, long c, long d, long e, long f) {
    long result = syscall(number, a, b, c, d, e, f);
    return result == -1 ? -errno : result;
}
static int failures, checks;
static void expect(int holds, const char *what, const char *pointer, long got) {
    checks++;
    if (holds) return;
    failures++;
    printf("FAILED: %s with %s gave %ld\n", what, pointer, got);
}

static char *pages; /* two pages that are there, then one that is not */
static void expect_fault(const char *what, const char *pointer, long got) { expect(got == -EFAULT, what, pointer, got); }

static void bad_everywhere(const char *name, long bad, int readable) {
    /* What is only read may lie in memory that can only be read. */
#define OUT(call, ...) expect_fault(#call, name, raw(SYS_##call, __VA_ARGS__))
#define IN(call, ...) do { if (!readable) expect_fault(#call, name, raw(SYS_##call, __VA_ARGS__)); } while (0)
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    char local[64] = "0123456789012345678901234567890123456789";
    pwrite(fd, local, 40, 0);
    OUT(read, 0, bad, 16, 0, 0, 0);
    OUT(pread64, fd, bad, 16, 0, 0, 0);
    IN(write, 1, bad, 16, 0, 0, 0);
    IN(pwrite64, fd, bad, 16, 0, 0, 0);
    IN(write, fd, bad, 16, 0, 0, 0);
    IN(openat, AT_FDCWD, bad, O_RDONLY, 0, 0, 0);
    IN(access, bad, F_OK, 0, 0, 0, 0);
    IN(readlink, bad, (long)local, sizeof local, 0, 0, 0);
    IN(newfstatat, AT_FDCWD, bad, (long)local, 0, 0, 0);
    OUT(newfstatat, AT_FDCWD, (long)"file", bad, 0, 0, 0);
    OUT(fstat, fd, bad, 0, 0, 0, 0);
    OUT(getcwd, bad, 4096, 0, 0, 0, 0);
    IN(readv, 0, bad, 1, 0, 0, 0);
    IN(writev, 1, bad, 1, 0, 0, 0);
    struct iovec vector = {(void *)bad, 16};
    OUT(readv, 0, (long)&vector, 1, 0, 0, 0);
    IN(writev, 1, (long)&vector, 1, 0, 0, 0);
    OUT(clock_gettime, CLOCK_MONOTONIC, bad, 0, 0, 0, 0);
    if (bad) OUT(clock_getres, CLOCK_MONOTONIC, bad, 0, 0, 0, 0);
    if (bad) OUT(gettimeofday, bad, 0, 0, 0, 0, 0);
    if (bad) OUT(time, bad, 0, 0, 0, 0, 0);
    IN(nanosleep, bad, 0, 0, 0, 0, 0);
    IN(clock_nanosleep, CLOCK_MONOTONIC, 0, bad, 0, 0, 0);
    OUT(uname, bad, 0, 0, 0, 0, 0);
    OUT(sysinfo, bad, 0, 0, 0, 0, 0);
    if (bad) OUT(prlimit64, 0, RLIMIT_NOFILE, 0, bad, 0, 0);
    OUT(getrusage, RUSAGE_SELF, bad, 0, 0, 0, 0);
    OUT(getrandom, bad, 16, 0, 0, 0, 0);
    OUT(poll, bad, 1, 0, 0, 0, 0);
    if (bad) OUT(rt_sigaction, SIGUSR2, 0, bad, 8, 0, 0);
    if (bad) IN(rt_sigaction, SIGUSR2, bad, 0, 8, 0, 0);
    if (bad) OUT(rt_sigprocmask, SIG_BLOCK, 0, bad, 8, 0, 0);
    if (bad) IN(rt_sigprocmask, SIG_BLOCK, bad, 0, 8, 0, 0);
    if (bad) OUT(sigaltstack, 0, bad, 0, 0, 0, 0);
    if (bad) IN(sigaltstack, bad, 0, 0, 0, 0, 0);
    OUT(rt_sigpending, bad, 8, 0, 0, 0, 0);
    close(fd);
}

/* Ranges whose last byte is good, and their first is not. */
static void ends_well(void) {
    char *hole = pages + 8192, *good = mmap(hole, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    char *start = good - 50;
    mprotect(pages + 4096, 4096, PROT_NONE);
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    expect_fault("read", "a good end", raw(SYS_read, 0, (long)start, 100, 0, 0, 0));
    expect_fault("write", "a good end", raw(SYS_write, fd, (long)start, 100, 0, 0, 0));
    expect_fault("getrandom", "a good end", raw(SYS_getrandom, (long)start, 100, 0, 0, 0, 0));
    expect_fault("getcwd", "a good end", raw(SYS_getcwd, (long)(good - 1), 4096, 0, 0, 0, 0));
    expect_fault("uname", "a good end", raw(SYS_uname, (long)start, 0, 0, 0, 0, 0));
    expect_fault("fstat", "a good end", raw(SYS_fstat, fd, (long)(good - 8), 0, 0, 0, 0));
    expect_fault("writev", "an array with a good end", raw(SYS_writev, fd, (long)(good - 8), 1, 0, 0, 0));
    expect_fault("poll", "an array with a good end", raw(SYS_poll, (long)(good - 4), 2, 0, 0, 0, 0));
    expect_fault("nanosleep", "a good end", raw(SYS_nanosleep, (long)(good - 8), 0, 0, 0, 0, 0));
    /* From the top of all addresses around to good ones. */
    expect_fault("read", "a range around the end", raw(SYS_read, 0, -4096, (long)good + 8192, 0, 0, 0));
    expect_fault("write", "a range around the end", raw(SYS_write, fd, -4096, (long)good + 8192, 0, 0, 0));
    mprotect(pages + 4096, 4096, PROT_READ | PROT_WRITE);
    munmap(good, 4096);
    close(fd);
}

static void straddling(void) {
    /* The good part may be used or the whole refused; what lies after it is never reached. */
    char *edge = pages + 8192;
    long got = raw(SYS_read, 0, (long)(edge - 100), 200, 0, 0, 0);
    expect(got == -EFAULT || (got > 0 && got <= 100), "read", "the end of a mapping", got);
    got = raw(SYS_getrandom, (long)(edge - 100), 200, 0, 0, 0, 0);
    expect(got == -EFAULT || (got > 0 && got <= 100), "getrandom", "the end of a mapping", got);
    int fd = open("edge", O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(pages, 'p', 8192);
    got = raw(SYS_write, fd, (long)(edge - 100), 200, 0, 0, 0);
    struct stat status;
    expect(got == -EFAULT || (got > 0 && got <= 100), "write", "the end of a mapping", got);
    expect(fstat(fd, &status) == 0 && status.st_size == (got > 0 ? got : 0), "write", "its length", status.st_size);
    struct iovec two[2] = {{edge - 10, 10}, {edge, 10}};
    got = raw(SYS_writev, fd, (long)two, 2, 0, 0, 0);
    expect(got == -EFAULT || got == 10, "writev", "a second vector that is not there", got);
    got = raw(SYS_readv, 0, (long)two, 2, 0, 0, 0);
    expect(got == -EFAULT || got == 10, "readv", "a second vector that is not there", got);
    expect_fault("writev", "an array that straddles", raw(SYS_writev, fd, (long)(edge - 24), 2, 0, 0, 0));
    expect_fault("uname", "a result that straddles", raw(SYS_uname, (long)(edge - 100), 0, 0, 0, 0, 0));
    expect_fault("fstat", "a result that straddles", raw(SYS_fstat, fd, (long)(edge - 8), 0, 0, 0, 0));
    expect_fault("clock_gettime", "a result that straddles", raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long)(edge - 8), 0, 0, 0, 0));
    expect_fault("poll", "an array that straddles", raw(SYS_poll, (long)(edge - 8), 2, 0, 0, 0, 0));
    memcpy(edge - 4, "file", 4); /* a name without an end */
    expect_fault("openat", "a name that straddles", raw(SYS_openat, AT_FDCWD, (long)(edge - 4), O_RDONLY, 0, 0, 0));
    memcpy(edge - 5, "file", 5); /* and one that ends exactly at the end */
    got = raw(SYS_openat, AT_FDCWD, (long)(edge - 5), O_RDONLY, 0, 0, 0);
    expect(got > 2, "openat", "a name that ends at the edge", got);
    close(fd);
}

static void lengths(void) {
    struct iovec one = {pages, 1}, wide[1024];
    int fd = open("lengths", O_RDWR | O_CREAT | O_TRUNC, 0600);
    expect(raw(SYS_writev, 1, (long)&one, 1025, 0, 0, 0) == -EINVAL, "writev", "1,025 vectors", 0);
    expect(raw(SYS_writev, 1, (long)&one, -1, 0, 0, 0) == -EINVAL, "writev", "a negative count", 0);
    expect(raw(SYS_writev, 1, 0, 0, 0, 0, 0) == 0, "writev", "no vectors", 0);
    one.iov_len = -1;
    expect(raw(SYS_writev, 1, (long)&one, 1, 0, 0, 0) == -EINVAL, "writev", "a negative length", 0);
    expect(raw(SYS_readv, 0, (long)&one, 1, 0, 0, 0) == -EINVAL, "readv", "a negative length", 0);
    for (int i = 0; i < 1024; i++) wide[i].iov_base = pages + 8192, wide[i].iov_len = 0x7ffffffffffff000;
    long got = raw(SYS_writev, fd, (long)wide, 1024, 0, 0, 0);
    expect(got == -EINVAL || got == -EFAULT, "writev", "1,024 vectors of the largest lengths", got);
    got = raw(SYS_readv, 0, (long)wide, 1024, 0, 0, 0);
    expect(got == -EINVAL || got == -EFAULT, "readv", "1,024 vectors of the largest lengths", got);
    for (int i = 0; i < 1024; i++) wide[i].iov_base = pages, wide[i].iov_len = 0;
    expect(raw(SYS_writev, fd, (long)wide, 1024, 0, 0, 0) == 0, "writev", "1,024 empty vectors", 0);
    got = raw(SYS_write, fd, (long)(pages + 4096), -1, 0, 0, 0);
    expect(got == -EFAULT || (got > 0 && got <= 4096), "write", "all of memory", got);
    got = raw(SYS_write, fd, (long)(pages + 8192), 0x7ffff000, 0, 0, 0);
    expect_fault("write", "two GiB that are not there", got);
    got = raw(SYS_read, 0, (long)pages, 0, 0, 0, 0);
    expect(got == 0, "read", "no bytes", got);
    expect(raw(SYS_poll, (long)pages, 1 << 30, 0, 0, 0, 0) == -EINVAL, "poll", "a billion descriptors", 0);
    got = raw(SYS_getrandom, (long)(pages + 4096), 0x7fffffff, 0, 0, 0, 0);
    expect(got == -EFAULT || (got > 0 && got <= 4096), "getrandom", "two GiB", got);
    close(fd);
}

int main(void) {
    pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 8192, 4096);
    bad_everywhere("null", 0, 0);
    bad_everywhere("the last byte of the first page", 4095, 0);
    bad_everywhere("an unmapped page", (long)(pages + 8192), 0);
    bad_everywhere("a page that may not be read", (long)closed, 0);
    bad_everywhere("a page that may not be written", (long)fixed, 1);
    bad_everywhere("the program's text", (long)main & -4096, 1);
    bad_everywhere("the upper half", (long)0xffff800000000000, 0);
    bad_everywhere("the kernel", (long)0xffffffff80000000, 0);
    bad_everywhere("the last bytes of all", -8, 0);
    bad_everywhere("the very last byte", -1, 0);
    bad_everywhere("a noncanonical address", (long)0x0000800000000000, 0);
    bad_everywhere("the hole's middle", (long)0x4000000000000000, 0);
    bad_everywhere("the end of the lower half", (long)0x00007fffffffffff, 0);
    bad_everywhere("guest-physical zero as a kernel would map it", (long)0xffff888000000000, 0);
    ends_well();
    straddling();
    lengths();
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
