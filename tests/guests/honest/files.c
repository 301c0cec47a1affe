/* Files by relative name in an empty, writable working directory: made, read, sought, appended to, refused. */
#include "../check.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void) {
    FAILS(open("absent", O_RDONLY), ENOENT);
    FAILS(access("absent", F_OK), ENOENT);
    FAILS(open("absent/deeper", O_RDWR | O_CREAT, 0644), ENOENT);
    FAILS(open("", O_RDONLY), ENOENT);

    int fd = open("first", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd == 3);
    CHECK(write(fd, "0123456789", 10) == 10);
    CHECK(lseek(fd, 0, SEEK_CUR) == 10);
    CHECK(lseek(fd, 2, SEEK_SET) == 2);
    char text[32] = "";
    CHECK(read(fd, text, 3) == 3 && !memcmp(text, "234", 3));
    CHECK(lseek(fd, -2, SEEK_END) == 8);
    CHECK(read(fd, text, sizeof text) == 2 && !memcmp(text, "89", 2));
    CHECK(read(fd, text, sizeof text) == 0);
    FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
    FAILS(lseek(fd, 0, 99), EINVAL);

    CHECK(pread(fd, text, 4, 1) == 4 && !memcmp(text, "1234", 4));
    CHECK(pwrite(fd, "XY", 2, 4) == 2);
    CHECK(lseek(fd, 0, SEEK_CUR) == 10);
    CHECK(pread(fd, text, 10, 0) == 10 && !memcmp(text, "0123XY6789", 10));
    FAILS(pread(fd, text, 1, -1), EINVAL);

    /* A hole reads as zeros. */
    CHECK(lseek(fd, 10000, SEEK_SET) == 10000);
    CHECK(write(fd, "end", 3) == 3);
    struct stat status;
    CHECK(fstat(fd, &status) == 0 && status.st_size == 10003 && S_ISREG(status.st_mode));
    CHECK((status.st_mode & 0777) == 0644 && status.st_nlink == 1);
    CHECK(pread(fd, text, 10, 5000) == 10 && !memcmp(text, "\0\0\0\0\0\0\0\0\0\0", 10));
    CHECK(stat("first", &status) == 0 && status.st_size == 10003);
    CHECK(close(fd) == 0);
    FAILS(close(fd), EBADF);
    FAILS(read(fd, text, 1), EBADF);
    FAILS(write(fd, text, 1), EBADF);
    FAILS(fstat(fd, &status), EBADF);

    FAILS(open("first", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    FAILS(open("first", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("first/deeper", O_RDONLY), ENOTDIR);
    CHECK(access("first", F_OK) == 0);
    CHECK(access("first", R_OK) == 0);

    fd = open("first", O_RDONLY);
    FAILS(write(fd, "x", 1), EBADF);
    CHECK(read(fd, text, 4) == 4 && !memcmp(text, "0123", 4));
    close(fd);
    fd = open("first", O_WRONLY | O_APPEND);
    FAILS(read(fd, text, 1), EBADF);
    CHECK(write(fd, "ing", 3) == 3 && fstat(fd, &status) == 0 && status.st_size == 10006);
    close(fd);
    fd = open("first", O_RDWR | O_TRUNC);
    CHECK(fstat(fd, &status) == 0 && status.st_size == 0);

    /* Vectors, and one file through two descriptors. */
    struct iovec out[3] = {{(char *)"one ", 4}, {(char *)"two ", 4}, {(char *)"three", 5}};
    CHECK(writev(fd, out, 3) == 13);
    int other = open("./first", O_RDONLY);
    char a[5], b[20];
    struct iovec in[2] = {{a, sizeof a}, {b, sizeof b}};
    CHECK(readv(other, in, 2) == 13 && !memcmp(a, "one t", 5) && !memcmp(b, "wo three", 8));
    CHECK(lseek(fd, 0, SEEK_CUR) == 13 && lseek(other, 0, SEEK_CUR) == 13);
    CHECK(pwrite(fd, "TWO", 3, 4) == 3 && pread(other, b, 3, 4) == 3 && !memcmp(b, "TWO", 3));
    close(fd), close(other);

    /* The lowest free number. */
    int low = open("first", O_RDONLY), middle = open("first", O_RDONLY), high = open("first", O_RDONLY);
    CHECK(low == 3 && middle == 4 && high == 5);
    close(middle);
    CHECK(open("first", O_RDONLY) == 4);
    close(3), close(4), close(5);

    /* stdio on top: a larger file written, read back and sought in. */
    FILE *file = fopen("second", "w+");
    CHECK(file != NULL);
    for (int i = 0; i < 20000; i++) fprintf(file, "line %d\n", i);
    long size = ftell(file);
    CHECK(size == 208890);
    rewind(file);
    char line[64];
    int good = 1;
    for (int i = 0; i < 20000; i++) {
        char wanted[64];
        sprintf(wanted, "line %d\n", i);
        good &= fgets(line, sizeof line, file) != NULL && !strcmp(line, wanted);
    }
    CHECK(good && fgets(line, sizeof line, file) == NULL && feof(file));
    CHECK(fseek(file, -11, SEEK_END) == 0 && fgets(line, sizeof line, file) && !strcmp(line, "line 19999\n"));
    CHECK(fclose(file) == 0);

    int here = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(here >= 0 && fstat(here, &status) == 0 && S_ISDIR(status.st_mode));
    int at = openat(here, "second", O_RDONLY);
    CHECK(at >= 0 && fstatat(here, "second", &status, 0) == 0 && status.st_size == 208890);
    FAILS(read(here, text, 1), EISDIR);
    FAILS(open(".", O_RDWR), EISDIR);
    CHECK(getcwd(line, sizeof line) == line && line[0] == '/');
    CHECK(getcwd(line, 1) == NULL && errno == ERANGE);
    FAILS(readlink("second", line, sizeof line), EINVAL);
    char name[5000];
    memset(name, 'n', sizeof name), name[sizeof name - 1] = 0;
    FAILS(open(name, O_RDONLY), ENAMETOOLONG);
    return 0;
}
