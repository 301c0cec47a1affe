/* Names, attributes and room of files in an empty, writable working directory: moved, linked, dated, locked, copied, refused. */
#include "../check.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* Not every C library has these. */
static int rename_with(const char *from, const char *to, unsigned flags) {
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static int close_all(unsigned first, unsigned last, unsigned flags) { return syscall(SYS_close_range, first, last, flags); }

#define NOREPLACE 1
#define EXCHANGE 2
#define ALL_CLOEXEC 4
#define BASIC_STATS 0x7ff

struct extended {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, unused;
    uint64_t inode, size, blocks, attributes_mask;
    struct {
        int64_t seconds;
        uint32_t nanos, unused;
    } accessed, born, changed, modified;
    uint64_t rest[16];
};

static int stat_extended(int at, const char *path, int flags, unsigned mask, struct extended *to) {
    return syscall(SYS_statx, at, path, flags, mask, to);
}

static void make(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static int holds(const char *name, const char *text) {
    char read_back[64] = "";
    int fd = open(name, O_RDONLY);
    ssize_t length = read(fd, read_back, sizeof read_back);
    close(fd);
    return length == (ssize_t)strlen(text) && !memcmp(read_back, text, length);
}

static long links(const char *name) {
    struct stat status;
    return lstat(name, &status) == 0 ? (long)status.st_nlink : -1;
}

static void names(void) {
    make("a", "one");
    make("b", "two");
    CHECK(rename("a", "c") == 0 && holds("c", "one"));
    FAILS(rename("a", "c"), ENOENT);
    CHECK(rename("c", "b") == 0 && holds("b", "one"));
    make("a", "new");
    FAILS(rename_with("a", "b", NOREPLACE), EEXIST);
    CHECK(rename_with("a", "b", EXCHANGE) == 0 && holds("a", "one") && holds("b", "new"));
    FAILS(rename_with("a", "absent", EXCHANGE), ENOENT);
    FAILS(rename_with("a", "b", EXCHANGE | NOREPLACE), EINVAL);
    FAILS(rename_with("a", "b", 64), EINVAL);
    CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("f", 0755) == 0);
    FAILS(rename("d", "d/e/d"), EINVAL);
    FAILS(rename("d/e", "d"), ENOTEMPTY);
    FAILS(rename("a", "d"), EISDIR);
    FAILS(rename("d", "a"), ENOTDIR);
    FAILS(rename("d", "."), EBUSY);
    CHECK(rename("d", "f") == 0 && links("f") >= 1 && rename("f/e/", "g/") == 0);
    FAILS(rename("a/", "h"), ENOTDIR);

    CHECK(link("a", "second") == 0 && links("a") == 2 && links("second") == 2);
    CHECK(rename("a", "second") == 0 && links("a") == 2);
    FAILS(link("a", "b"), EEXIST);
    FAILS(link("f", "h"), EPERM);
    FAILS(link("absent", "h"), ENOENT);
    CHECK(unlink("a") == 0 && links("second") == 1 && holds("second", "one"));
    CHECK(symlink("second", "soft") == 0 && holds("soft", "one"));
    FAILS(symlink("x", "soft"), EEXIST);
    FAILS(symlink("", "empty"), ENOENT);
    CHECK(link("soft", "hard") == 0 && links("soft") == 2 && links("second") == 1);
    CHECK(linkat(AT_FDCWD, "soft", AT_FDCWD, "deep", AT_SYMLINK_FOLLOW) == 0 && links("second") == 2);
    char target[16];
    CHECK(readlink("hard", target, sizeof target) == 6 && !memcmp(target, "second", 6));
}

static void attributes(void) {
    struct stat status;
    make("t", "text");
    CHECK(chmod("t", 0640) == 0 && stat("t", &status) == 0 && (status.st_mode & 07777) == 0640);
    FAILS(chmod("absent", 0640), ENOENT);
    int fd = open("t", O_RDWR);
    CHECK(fchmod(fd, 0600) == 0 && fstat(fd, &status) == 0 && (status.st_mode & 07777) == 0600);
    CHECK(fchown(fd, -1, -1) == 0 && lchown("soft", -1, -1) == 0 && chown("t", status.st_uid, status.st_gid) == 0);

    struct timespec times[2] = {{1234567890, 987654321}, {-5, 7}};
    CHECK(utimensat(AT_FDCWD, "t", times, 0) == 0 && stat("t", &status) == 0);
    CHECK(status.st_atim.tv_sec == 1234567890 && status.st_atim.tv_nsec == 987654321);
    CHECK(status.st_mtim.tv_sec == -5 && status.st_mtim.tv_nsec == 7);
    times[0].tv_nsec = UTIME_OMIT, times[1].tv_sec = 4;
    CHECK(futimens(fd, times) == 0 && fstat(fd, &status) == 0);
    CHECK(status.st_atim.tv_sec == 1234567890 && status.st_mtim.tv_sec == 4);
    times[1].tv_nsec = 1000000000;
    FAILS(futimens(fd, times), EINVAL);
    struct utimbuf whole = {11, 22};
    CHECK(utime("t", &whole) == 0 && stat("t", &status) == 0 && status.st_atime == 11 && status.st_mtime == 22);
    struct timeval micro[2] = {{33, 1}, {44, 999999}};
    CHECK(utimes("t", micro) == 0 && stat("t", &status) == 0 && status.st_mtim.tv_nsec == 999999000);
    CHECK(futimens(fd, NULL) == 0 && fstat(fd, &status) == 0 && status.st_mtime > 44 && status.st_atime > 33);

    struct extended extended;
    CHECK(stat_extended(AT_FDCWD, "t", 0, BASIC_STATS, &extended) == 0 && (extended.mask & BASIC_STATS) == BASIC_STATS);
    CHECK(extended.size == 4 && extended.links == 1 && extended.inode == status.st_ino && extended.mode == status.st_mode);
    CHECK(extended.user == status.st_uid && extended.block_size == 4096);
    CHECK(extended.modified.seconds == status.st_mtim.tv_sec && extended.modified.nanos == status.st_mtim.tv_nsec);
    CHECK(stat_extended(fd, "", AT_EMPTY_PATH, BASIC_STATS, &extended) == 0 && extended.size == 4);
    FAILS(stat_extended(AT_FDCWD, "t", 0, 0x80000000, &extended), EINVAL);
    FAILS(stat_extended(AT_FDCWD, "t", 0x1, BASIC_STATS, &extended), EINVAL);
    CHECK(close(fd) == 0);
}

static void room(void) {
    struct stat status;
    int fd = open("t", O_RDWR);
    CHECK(truncate("t", 2) == 0 && holds("t", "te"));
    FAILS(truncate("t", -1), EINVAL);
    FAILS(truncate("f", 0), EISDIR);
    FAILS(truncate("absent", 0), ENOENT);
    CHECK(fallocate(fd, 0, 1, 9) == 0 && fstat(fd, &status) == 0 && status.st_size == 10);
    CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100) == 0 && fstat(fd, &status) == 0 && status.st_size == 10);
    FAILS(fallocate(fd, 0, -1, 1), EINVAL);
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    FAILS(fallocate(fd, 1 << 30, 0, 1), EOPNOTSUPP);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0 && posix_fadvise(fd, 0, 0, 99) == EINVAL);
    CHECK(readahead(fd, 0, 100) == 0 && syncfs(fd) == 0);
    CHECK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) == 0);
    FAILS(sync_file_range(fd, -1, 0, 0), EINVAL);
    struct statfs system;
    CHECK(fstatfs(fd, &system) == 0 && system.f_bsize == 4096 && system.f_namelen == 255 && system.f_bfree <= system.f_blocks);
    FAILS(statfs("absent", &system), ENOENT);
    CHECK(getxattr("t", "user.none", NULL, 0) == -1 && (errno == ENODATA || errno == EOPNOTSUPP));

    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -5, .l_len = 5};
    CHECK(fcntl(fd, F_SETLK, &lock) == 0 && fcntl(fd, F_SETLKW, &lock) == 0);
    CHECK(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
    lock.l_type = F_RDLCK, lock.l_start = -50;
    FAILS(fcntl(fd, F_SETLK, &lock), EINVAL);
    lock.l_whence = 7;
    FAILS(fcntl(fd, F_SETLK, &lock), EINVAL);
    lock.l_whence = SEEK_SET, lock.l_start = 1, lock.l_len = INT64_MAX;
    CHECK(fcntl(fd, F_SETLK, &lock) == 0);
    lock.l_start = 2;
    FAILS(fcntl(fd, F_SETLK, &lock), EOVERFLOW);
    int reader = open("t", O_RDONLY);
    lock.l_start = 0, lock.l_len = 1, lock.l_type = F_WRLCK;
    FAILS(fcntl(reader, F_SETLK, &lock), EBADF);
    CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0);
    FAILS(flock(fd, 0), EINVAL);
    CHECK(close(reader) == 0 && close(fd) == 0);
}

static void copies(void) {
    make("from", "0123456789");
    int from = open("from", O_RDONLY), to = open("to", O_RDWR | O_CREAT, 0644);
    off_t offset = 6;
    CHECK(sendfile(to, from, NULL, 3) == 3 && lseek(from, 0, SEEK_CUR) == 3 && lseek(to, 0, SEEK_CUR) == 3);
    CHECK(sendfile(to, from, &offset, 100) == 4 && offset == 10 && lseek(from, 0, SEEK_CUR) == 3);
    CHECK(holds("to", "0126789"));
    FAILS(sendfile(from, to, NULL, 1), EBADF);
    loff_t in = 1, out = 0;
    CHECK(copy_file_range(from, &in, to, &out, 2, 0) == 2 && in == 3 && out == 2 && holds("to", "1226789"));
    CHECK(copy_file_range(from, NULL, to, NULL, 100, 0) == 7 && holds("to", "12267893456789"));
    FAILS(copy_file_range(from, NULL, to, NULL, 1, 1), EINVAL);
    in = 0, out = 1;
    FAILS(copy_file_range(to, &in, to, &out, 5, 0), EINVAL);
    int high = fcntl(from, F_DUPFD, 20);
    CHECK(high == 20 && close_all(19, 21, 0) == 0);
    FAILS(fcntl(high, F_GETFD), EBADF);
    CHECK(close_all(from, to, ALL_CLOEXEC) == 0 && fcntl(from, F_GETFD) == FD_CLOEXEC);
    FAILS(close_all(5, 4, 0), EINVAL);
    CHECK(close(from) == 0 && close(to) == 0);
}

int main(void) {
    names();
    attributes();
    room();
    copies();
    return 0;
}
