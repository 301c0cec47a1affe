/* Vectors as many as there may be, over each other and over themselves. What comes of them is the same outside. Stdin holds 10,000 bytes. */
#include "../check.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST = 1024 };
static struct iovec all[MOST + 1];
static unsigned char bytes[4096], copy[1 << 16];

static void fill(unsigned char *at, size_t length) {
    uint32_t state = 7;
    for (size_t i = 0; i < length; i++) at[i] = (unsigned char)next_number(&state);
}
static void say(const char *what, long result, const void *at, size_t length) {
    printf("%s: %ld, errno %d, sum %08x\n", what, result, result < 0 ? errno : 0, checksum(CHECKSUM_START, at, length));
}

static void writing(int fd) {
    fill(bytes, sizeof bytes);
    for (int i = 0; i < MOST; i++) all[i] = (struct iovec){bytes + i % 64, (size_t)i % 61};
    long written = writev(fd, all, MOST), back = pread(fd, copy, sizeof copy, 0);
    say("1,024 over each other", written, copy, back < 0 ? 0 : (size_t)back);
    written = pwritev(fd, all, MOST, 5000), back = pread(fd, copy, sizeof copy, 0);
    say("the same, further on", written, copy, back < 0 ? 0 : (size_t)back);
    for (int i = 0; i < MOST; i++) all[i] = (struct iovec){all, sizeof *all};
    written = pwritev(fd, all, MOST, 0);
    printf("the vectors themselves: %ld\n", written);
    errno = 0, say("one too many", writev(fd, all, MOST + 1), "", 0);
    errno = 0, say("minus one", writev(fd, all, -1), "", 0);
    errno = 0, say("two billion", writev(fd, all, INT_MAX), "", 0);
    all[0] = (struct iovec){bytes, 10}, all[1] = (struct iovec){bytes, (size_t)-1};
    errno = 0, say("a length below zero", writev(fd, all, 2), "", 0);
    all[1] = (struct iovec){bytes, (size_t)LONG_MAX};
    errno = 0, say("a sum that wraps", pwritev(fd, (struct iovec[]){{bytes, LONG_MAX}, {bytes, LONG_MAX}, {bytes, 2}}, 3, -1), "", 0);
    errno = 0, say("before the file", pwritev(fd, all, 1, -1), "", 0);
    errno = 0, say("no vectors", writev(fd, all, 0), "", 0);
}

static void reading(int fd) {
    fill(bytes, sizeof bytes);
    pwrite(fd, bytes, sizeof bytes, 0);
    memset(copy, 0, sizeof copy);
    for (int i = 0; i < MOST; i++) all[i] = (struct iovec){copy + i * 7 % 500, (size_t)i % 13};
    say("1,024 over each other", preadv(fd, all, MOST, 0), copy, sizeof copy);
    memset(copy, 0, sizeof copy);
    for (int i = 0; i < MOST; i++) all[i] = (struct iovec){copy + i * 3 % 100, (size_t)i % 17};
    say("from stdin", readv(0, all, MOST), copy, sizeof copy);
    /* The first vector writes over those behind it: they were read before. */
    memset(copy, 0, sizeof copy);
    all[0] = (struct iovec){all + 1, 4 * sizeof *all};
    for (int i = 1; i < 5; i++) all[i] = (struct iovec){copy + i * 100, 50};
    say("over the vectors", preadv(fd, all, 5, 0), copy, sizeof copy);
}

static void at_an_edge(int fd) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    struct iovec *last = (struct iovec *)(page + 4096) - 2;
    last[0] = (struct iovec){bytes, 3}, last[1] = (struct iovec){page, 4};
    say("up to the edge", pwritev(fd, last, 2, 0), "", 0);
    errno = 0, say("over the edge", pwritev(fd, last, 3, 0), "", 0);
    errno = 0, say("none there", preadv(fd, (struct iovec *)(page + 4096), 1, 0), "", 0);
    errno = 0, say("all but one page there", preadv(fd, (struct iovec[]){{page + 4096, 10}}, 1, 0), "", 0);
}

int main(void) {
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    writing(fd), reading(fd), at_an_edge(fd);
    return 0;
}
