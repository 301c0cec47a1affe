/* Takes one thing until there is no more: `hungry NAME`. Being refused is an ordinary error, after which the program goes on: it prints
 * what it was refused with and ends with 0. */
#include "../check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *map(size_t length, int protection) {
    return mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static int refused(const char *what, int reason, long count) {
    int expected = errno == reason;
    fprintf(stderr, "%ld %s\n", count, what);
    printf("%s: %s\n", what, strerror(errno));
    return !expected;
}
static char block[65536];

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    long count = 0;
    if (!strcmp(name, "map")) { /* touched as it comes */
        for (char *at; (at = map(1 << 20, PROT_READ | PROT_WRITE)) != MAP_FAILED; count++) memset(at, 1, 1 << 20);
        return refused("mappings of a MiB", ENOMEM, count);
    }
    if (!strcmp(name, "brk")) {
        char *at = (char *)syscall(SYS_brk, 0);
        for (; (char *)syscall(SYS_brk, at + (1 << 20)) == at + (1 << 20); at += 1 << 20, count++) memset(at, 1, 1 << 20);
        printf("the break stays: %d\n", (char *)syscall(SYS_brk, 0) == at);
        return count == 0;
    }
    if (!strcmp(name, "touch")) { /* a reservation larger than the memory, touched to the end: no call can refuse that */
        char *at = mmap(NULL, (size_t)8 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return refused("reservation", ENOMEM, 0);
        puts("reserved"), fflush(stdout);
        for (size_t i = 0; i < (size_t)8 << 30; i += 4096) at[i] = 1;
        return 42;
    }
    if (!strcmp(name, "read pages")) { /* reading takes no less than writing where every page is its own */
        char *at = mmap(NULL, (size_t)8 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return refused("reservation", ENOMEM, 0);
        puts("reserved"), fflush(stdout);
        for (size_t i = 0; i < (size_t)8 << 30; i += 4096) count += ((volatile char *)at)[i];
        return 0;
    }
    if (!strcmp(name, "mappings")) { /* one page each, no two alike side by side, so that none can be joined */
        char *at = map((size_t)1 << 30, PROT_NONE);
        for (; count < 1 << 17 && mprotect(at + count * 8192, 4096, PROT_READ) == 0; count++) {}
        return refused("separate mappings", ENOMEM, count);
    }
    if (!strcmp(name, "sparse")) { /* page tables: one page touched in every 2 MiB */
        char *at = mmap(NULL, (size_t)1 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return refused("sparse pages", ENOMEM, 0);
        for (; count < 1 << 19; count++) {
            char *page = at + (count << 21);
            if (mprotect(page, 4096, PROT_READ | PROT_WRITE)) return refused("sparse pages", ENOMEM, count);
            *page = 1;
        }
        return 42;
    }
    if (!strcmp(name, "descriptors")) {
        int last = 2;
        for (int fd; (fd = dup(1)) >= 0; count++) last = fd;
        int reason = errno;
        printf("lowest first, without gaps: %d\n", last == count + 2);
        errno = reason;
        return refused("descriptors", EMFILE, count);
    }
    if (!strcmp(name, "open files")) {
        for (; open("one", O_RDWR | O_CREAT, 0600) >= 0; count++) {}
        int reason = errno;
        close(5);
        printf("one given back can be had again: %d\n", open("one", O_RDONLY) == 5);
        errno = reason;
        return refused("open files", EMFILE, count);
    }
    if (!strcmp(name, "file")) { /* one file, as large as it gets */
        int fd = open("large", O_RDWR | O_CREAT, 0600);
        for (ssize_t done; (done = write(fd, block, sizeof block)) > 0; count += done) {}
        return refused("bytes in a file", ENOSPC, count);
    }
    if (!strcmp(name, "hole")) { /* a file that is said to be huge, but holds one byte */
        int fd = open("hole", O_RDWR | O_CREAT, 0600);
        ssize_t done = pwrite(fd, "x", 1, (off_t)1 << 50);
        int reason = errno;
        printf("a byte at 2^50: %s\n", done == 1 ? "written" : "refused");
        errno = reason;
        return done != 1 && errno != ENOSPC && errno != EFBIG;
    }
    if (!strcmp(name, "files")) { /* as many names as there may be */
        for (;; count++) {
            char file[300];
            memset(file, 'f', sizeof file), snprintf(file + 200, sizeof file - 200, "%ld", count);
            int fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
            if (fd < 0) return refused("files", ENOSPC, count);
            if (write(fd, "x", 1) != 1) return refused("files", ENOSPC, count);
            close(fd);
        }
    }
    if (!strcmp(name, "directories")) { /* one in another, all the way down and up again */
        char here[64];
        for (; mkdir("deeper", 0700) == 0 && chdir("deeper") == 0; count++) {}
        int reason = errno;
        printf("a path to there is too long: %d\n", !getcwd(here, sizeof here) && errno == ERANGE);
        for (long i = 0; i < count; i++)
            if (chdir("..") || rmdir("deeper")) return printf("%ld from the bottom: %s\n", i, strerror(errno)), 1;
        printf("back at the top: %d\n", getcwd(here, sizeof here) && !strcmp(here, "/"));
        errno = reason;
        return refused("directories", ENOSPC, count);
    }
    if (!strcmp(name, "unnamed files")) { /* each open, and without a name */
        for (int fd; (fd = open("unnamed", O_RDWR | O_CREAT | O_EXCL, 0600)) >= 0; count++)
            if (unlink("unnamed") || write(fd, block, 4096) != 4096) break;
        int reason = errno;
        for (int fd = 3; fd < 3 + count; fd++) close(fd);
        printf("given back: %d\n", open("unnamed", O_RDWR | O_CREAT | O_EXCL, 0600) == 3 && write(3, block, 4096) == 4096);
        errno = reason;
        return refused("unnamed files", EMFILE, count);
    }
    if (!strcmp(name, "seek")) { /* further and further, with a byte at each place */
        int fd = open("far", O_RDWR | O_CREAT, 0600);
        int past = lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL && lseek(fd, INT64_MAX, SEEK_SET) == INT64_MAX &&
                   lseek(fd, 1, SEEK_CUR) == -1 && errno == EOVERFLOW && read(fd, block, 1) == 0;
        printf("past the end of all numbers: %d\n", past);
        for (off_t at = 1; at > 0; at *= 2, count++)
            if (lseek(fd, at, SEEK_SET) != at || write(fd, "x", 1) != 1) return errno == EFBIG ? refused("doublings", EFBIG, count) : refused("doublings", ENOSPC, count);
        return 42;
    }
    if (!strcmp(name, "truncate")) { /* longer and longer by saying so */
        int fd = open("long", O_RDWR | O_CREAT, 0600);
        for (off_t length = 1; length > 0; length *= 2, count++)
            if (ftruncate(fd, length)) return errno == EFBIG ? refused("doublings", EFBIG, count) : refused("doublings", ENOSPC, count);
        return 42;
    }
    if (!strcmp(name, "grow")) { /* one mapping, twice as large again and again, moved where it must be */
        size_t length = 4096;
        char *at = map(length, PROT_READ | PROT_WRITE);
        for (; at != MAP_FAILED; count++, length *= 2) {
            memset(at + length / 2, 1, length / 2);
            char *larger = mremap(at, length, length * 2, MREMAP_MAYMOVE);
            if (larger == MAP_FAILED) break;
            at = larger;
        }
        int reason = errno;
        printf("what it had is still there: %d\n", at[length - 1] == 1);
        errno = reason;
        return refused("doublings", ENOMEM, count);
    }
    if (!strcmp(name, "signals")) { /* waiting signals are few, or a queue has its end */
        sigset_t all;
        sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
        for (; count < 20000 && raise(SIGRTMIN + 2) == 0; count++) {}
        if (count == 20000) return printf("no refusal\n"), 0;
        return refused("waiting signals", EAGAIN, count);
    }
    return 2;
}
