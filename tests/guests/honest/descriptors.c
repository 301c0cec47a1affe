/* Descriptors: dup in its forms, fcntl, poll on the streams, ioctl on what is no terminal. Stdin holds "data\n" and ends. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

int main(void) {
    struct pollfd wait[4] = {{0, POLLIN, 0}, {1, POLLOUT, 0}, {-1, POLLIN, 0}, {77, POLLIN, 0}};
    CHECK(poll(wait, 1, -1) == 1); /* until the other side has written */
    int ready = poll(wait, 4, -1);
    CHECK(ready == 3);
    CHECK(wait[0].revents & POLLIN);
    CHECK(wait[1].revents == POLLOUT);
    CHECK(wait[2].revents == 0);
    CHECK(wait[3].revents == POLLNVAL);
    char text[16];
    CHECK(read(0, text, sizeof text) == 5 && !memcmp(text, "data\n", 5));
    CHECK(poll(wait, 1, -1) == 1 && wait[0].revents != 0); /* the end is an event too */
    CHECK(read(0, text, sizeof text) == 0);
    CHECK(poll(NULL, 0, 1) == 0);
    wait[2].fd = -5;
    CHECK(poll(wait + 2, 1, 0) == 0);

    CHECK(dup(1) == 3);
    CHECK(write(3, "through the copy\n", 17) == 17);
    CHECK(dup2(1, 9) == 9);
    CHECK(dup2(9, 9) == 9);
    CHECK(dup3(1, 10, O_CLOEXEC) == 10);
    FAILS(dup3(1, 1, 0), EINVAL);
    FAILS(syscall(SYS_dup3, 1, 10, 1), EINVAL);
    FAILS(dup(77), EBADF);
    FAILS(dup2(77, 3), EBADF);
    FAILS(dup2(1, -1), EBADF);
    FAILS(dup2(1, 1 << 30), EBADF);
    CHECK(fcntl(10, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(9, F_GETFD) == 0);
    CHECK(fcntl(9, F_SETFD, FD_CLOEXEC) == 0 && fcntl(9, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(1, F_DUPFD, 20) == 20);
    CHECK(fcntl(1, F_DUPFD_CLOEXEC, 20) == 21);
    CHECK(fcntl(21, F_GETFD) == FD_CLOEXEC);
    FAILS(fcntl(77, F_GETFD), EBADF);
    FAILS(fcntl(1, F_DUPFD, -1), EINVAL);

    int fd = open("shared", O_RDWR | O_CREAT, 0600), copy = dup(fd);
    CHECK(write(fd, "abcdef", 6) == 6 && lseek(copy, 0, SEEK_CUR) == 6); /* copies share the offset */
    CHECK(lseek(copy, 1, SEEK_SET) == 1 && read(fd, text, 2) == 2 && !memcmp(text, "bc", 2));
    CHECK(close(fd) == 0 && read(copy, text, 2) == 2 && !memcmp(text, "de", 2));
    CHECK((fcntl(copy, F_GETFL) & O_ACCMODE) == O_RDWR);
    CHECK(fcntl(copy, F_SETFL, O_APPEND) == 0 && (fcntl(copy, F_GETFL) & O_APPEND));
    CHECK(lseek(copy, 0, SEEK_SET) == 0 && write(copy, "g", 1) == 1 && lseek(copy, 0, SEEK_CUR) == 7);

    CHECK(isatty(0) == 0 && errno == ENOTTY);
    CHECK(isatty(1) == 0 && errno == ENOTTY);
    struct winsize size;
    FAILS(ioctl(1, TIOCGWINSZ, &size), ENOTTY);
    FAILS(ioctl(77, TIOCGWINSZ, &size), EBADF);
    struct stat status;
    CHECK(fstat(0, &status) == 0 && fstat(1, &status) == 0 && fstat(2, &status) == 0);

    /* Stdout closed and opened again as something else. */
    fflush(stdout);
    int saved = dup(1);
    if (dup2(copy, 1) != 1) return 1;
    printf("into the file");
    fflush(stdout);
    if (dup2(saved, 1) != 1) return 1;
    char all[64] = "";
    CHECK(pread(copy, all, sizeof all, 0) == 20 && !strcmp(all, "abcdefginto the file"));
    CHECK(close(0) == 0 && open("shared", O_RDONLY) == 0);
    return 0;
}
