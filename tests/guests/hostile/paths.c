/* Names and paths that no honest program uses. Everything happens in a directory of the program's own, so that what holds inside holds outside. */
#include "../check.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[1 << 17];

/* `piece` as often as asked for, then `last`. */
static const char *repeated(const char *piece, long times, const char *last) {
    size_t length = strlen(piece);
    for (long i = 0; i < times; i++) memcpy(path + i * length, piece, length);
    strcpy(path + times * length, last);
    return path;
}
static int made(const char *name) {
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
    return fd >= 0 && write(fd, "here", 4) == 4 && close(fd) == 0;
}
static int is_there(const char *name) {
    char bytes[8];
    int fd = open(name, O_RDONLY);
    return fd >= 0 && read(fd, bytes, 8) == 4 && close(fd) == 0;
}
static long listed(const char *name) { /* how often it is in the listing */
    DIR *directory = opendir(".");
    long found = 0;
    for (struct dirent *entry; (entry = readdir(directory));) found += strcmp(entry->d_name, name) == 0;
    closedir(directory);
    return found;
}

static void many_components(void) {
    CHECK(made("file") && mkdir("d", 0700) == 0);
    CHECK(is_there(repeated("./", 2045, "file")));
    CHECK(is_there(repeated("d/../", 818, "file")));
    FAILS(open(repeated("./", 10000, "file"), O_RDONLY), ENAMETOOLONG);
    FAILS(open(repeated("d/../", 10000, "file"), O_RDONLY), ENAMETOOLONG);
    FAILS(open(repeated("../", 10000, "file"), O_RDONLY), ENAMETOOLONG);
    FAILS(mkdir(repeated("x/", 10000, "y"), 0700), ENAMETOOLONG);
    FAILS(open(repeated("x", PATH_MAX - 1, ""), O_RDONLY), ENAMETOOLONG);
    FAILS(open(repeated("x", PATH_MAX, ""), O_RDONLY), ENAMETOOLONG);
    /* No end in sight: the whole buffer is one string. */
    memset(path, '/', sizeof path);
    FAILS(open(path, O_RDONLY), ENAMETOOLONG);
}

static void up_and_down(void) {
    struct stat here, root;
    CHECK(stat("/", &root) == 0 && stat(".", &here) == 0);
    /* Above the root is the root, from wherever and however often. */
    CHECK(stat(repeated("../", 1000, ""), &here) == 0 && here.st_ino == root.st_ino);
    CHECK(stat(repeated("/..", 1000, ""), &here) == 0 && here.st_ino == root.st_ino);
    CHECK(stat(repeated("/../.", 500, "/.."), &here) == 0 && here.st_ino == root.st_ino);
    FAILS(open("missing/../file", O_RDONLY), ENOENT);
    FAILS(open("file/../file", O_RDONLY), ENOTDIR);
    FAILS(open("file/", O_RDONLY), ENOTDIR);
    FAILS(open("file/.", O_RDONLY), ENOTDIR);
    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open("new/", O_CREAT | O_WRONLY, 0600), EISDIR);
    FAILS(open(".", O_CREAT | O_WRONLY, 0600), EISDIR);
    FAILS(open("..", O_CREAT | O_WRONLY, 0600), EISDIR);
    FAILS(mkdir(".", 0700), EEXIST);
    FAILS(mkdir("..", 0700), EEXIST);
    FAILS(mkdir("d/", 0700), EEXIST);
    FAILS(rmdir("."), EINVAL);
    FAILS(rmdir("d/.."), ENOTEMPTY);
    FAILS(rmdir("d/."), EINVAL);
    FAILS(rmdir("file"), ENOTDIR);
    FAILS(unlink("d"), EISDIR);
    FAILS(unlink(".."), EISDIR);
    FAILS(unlink("d/."), EISDIR);
    FAILS(unlink("file/"), ENOTDIR);
}

static void from_descriptors(void) {
    int file = open("file", O_RDONLY), directory = open("d", O_RDONLY | O_DIRECTORY);
    CHECK(file >= 0 && directory >= 0);
    FAILS(openat(file, "file", O_RDONLY), ENOTDIR);
    FAILS(openat(file, "../file", O_RDONLY), ENOTDIR);
    FAILS(openat(-1, "file", O_RDONLY), EBADF);
    FAILS(openat(12345, "file", O_RDONLY), EBADF);
    FAILS(openat(INT_MIN, "file", O_RDONLY), EBADF);
    FAILS(openat(directory, "file", O_RDONLY), ENOENT);
    CHECK(openat(directory, "../file", O_RDONLY) >= 0);
    CHECK(openat(-1, "/", O_RDONLY) >= 0);
    FAILS(fchdir(file), ENOTDIR);
}

static void odd_names(void) {
    const char *names[] = {"\xff\xfe\x80", "\xc0\xaf", "..\xc0\xaf" "etc", "\xed\xa0\x80", "new\nline", "\x01\x02\x7f", " ", "...", "~", "-rf", "*", "\\..\\", "..."
                           "\xe2\x80\xae" "txt", "%2e%2e%2f", "a:b|c<d>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!made(names[i]) || !is_there(names[i]) || listed(names[i]) != 1 || unlink(names[i]) || listed(names[i]))
            printf("FAILED: name %zu\n", i), exit(1);
    }
    /* What lies behind a NUL is not part of the name. */
    CHECK(made("cut\0/../../etc/passwd") && listed("cut") == 1);
    CHECK(is_there("cut\0\xff"));
    CHECK(made(repeated("n", 255, "")) && listed(repeated("n", 255, "")) == 1);
    FAILS(open(repeated("n", 256, ""), O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
    FAILS(mkdir(repeated("n", 256, ""), 0700), ENAMETOOLONG);
    FAILS(open(repeated("n", 256, "/.."), O_RDONLY), ENAMETOOLONG);
    FAILS(open("cut", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
}

static void loops_of_links(void) {
    struct stat here, root;
    char name[16], to[16];
    CHECK(symlink("b", "a") == 0 && symlink("a", "b") == 0 && symlink("self/self", "self") == 0);
    FAILS(open("a", O_RDONLY), ELOOP);
    FAILS(open("a/x", O_RDONLY), ELOOP);
    FAILS(open("self", O_RDONLY), ELOOP);
    FAILS(open("a", O_CREAT | O_WRONLY, 0600), ELOOP);
    FAILS(open("a", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
    FAILS(stat("self/..", &here), ELOOP);
    CHECK(lstat("a", &here) == 0 && S_ISLNK(here.st_mode) && readlink("self", path, sizeof path) == 9);
    /* Forty are followed, and no more. */
    CHECK(symlink("file", "l0") == 0);
    for (int i = 1; i <= 40; i++) {
        snprintf(to, sizeof to, "l%d", i - 1), snprintf(name, sizeof name, "l%d", i);
        if (symlink(to, name)) printf("FAILED: %s\n", name), exit(1);
    }
    CHECK(is_there("l39"));
    FAILS(open("l40", O_RDONLY), ELOOP);
    CHECK(stat("/", &root) == 0 && symlink(repeated("../", 500, ".."), "up") == 0 && stat("up", &here) == 0 && here.st_ino == root.st_ino);
    CHECK(symlink("d/../d/.././file", "winding") == 0 && is_there("winding") && is_there("d/../winding"));
    CHECK(symlink("new", "dangling") == 0 && made("new") && is_there("dangling"));
    FAILS(symlink("", "empty"), ENOENT);
    FAILS(symlink(repeated("x", PATH_MAX, ""), "long"), ENAMETOOLONG);
    FAILS(rename("d", "d/inside"), EINVAL);
    FAILS(rename(".", "other"), EBUSY);
    FAILS(rename("d", ".."), EBUSY);
    FAILS(rename("file", "d/"), ENOTDIR);
    FAILS(rename("d", "file"), ENOTDIR);
    FAILS(link("d", "another"), EPERM);
}

static void without_a_directory(void) { /* the current one is gone */
    char buffer[PATH_MAX];
    CHECK(mkdir("gone", 0700) == 0 && chdir("gone") == 0 && rmdir("../gone") == 0);
    FAILS(open("file", O_CREAT | O_WRONLY, 0600), ENOENT);
    FAILS(mkdir("d", 0700), ENOENT);
    FAILS((long)getcwd(buffer, sizeof buffer) ? 0 : -1, ENOENT);
    FAILS(rmdir("."), EINVAL);
    CHECK(access(".", F_OK) == 0);
    CHECK(is_there("../file"));
    CHECK(chdir("..") == 0 && is_there("file"));
}

int main(void) {
    many_components();
    up_and_down();
    from_descriptors();
    odd_names();
    loops_of_links();
    without_a_directory();
    return 0;
}
