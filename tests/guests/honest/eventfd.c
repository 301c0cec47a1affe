/* Event counters: added to, taken from, one at a time, full and empty. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int ready(int fd) {
    struct pollfd one = {fd, POLLIN | POLLOUT, 0};
    poll(&one, 1, 0);
    return one.revents;
}

int main(void) {
    uint64_t value = 0, most = UINT64_MAX - 1, beyond = UINT64_MAX;
    int fd = eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(fd == 3 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
    CHECK(ready(fd) == (POLLIN | POLLOUT));
    CHECK(read(fd, &value, 8) == 8 && value == 3 && ready(fd) == POLLOUT);
    FAILS(read(fd, &value, 8), EAGAIN);
    FAILS(read(fd, &value, 7), EINVAL);
    FAILS(write(fd, &value, 7), EINVAL);
    value = 5;
    CHECK(write(fd, &value, 8) == 8 && write(fd, &value, 8) == 8);
    char large[16];
    CHECK(read(fd, large, 16) == 8 && !memcmp(large, "\x0a\0\0\0\0\0\0", 8));
    FAILS(write(fd, &beyond, 8), EINVAL);
    CHECK(write(fd, &most, 8) == 8 && ready(fd) == POLLIN);
    FAILS(write(fd, &value, 8), EAGAIN);
    value = 0;
    CHECK(write(fd, &value, 8) == 8);
    struct iovec parts[2] = {{large, 3}, {large + 3, 5}};
    CHECK(readv(fd, parts, 2) == 8 && !memcmp(large, &most, 8));
    uint64_t two[2] = {1, 2};
    struct iovec each[2] = {{two, 8}, {two + 1, 8}};
    CHECK(writev(fd, each, 2) == 16 && read(fd, &value, 8) == 8 && value == 3);
    FAILS(syscall(SYS_write, fd, 8, 8), EFAULT);
    FAILS(ftruncate(fd, 0), EINVAL);
    struct stat status;
    CHECK(fstat(fd, &status) == 0 && status.st_mode == 0600);
    char link[64] = "";
    CHECK(readlink("/proc/self/fd/3", link, sizeof link) == 20 && !strcmp(link, "anon_inode:[eventfd]"));
    FAILS(open("/proc/self/fd/3", O_RDWR), ENXIO);

    int one = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CHECK(read(one, &value, 8) == 8 && value == 1 && read(one, &value, 8) == 8 && value == 1);
    FAILS(read(one, &value, 8), EAGAIN);
    int copy = dup(one);
    value = 7;
    CHECK(write(copy, &value, 8) == 8 && read(one, &value, 8) == 8 && value == 1);
    FAILS(eventfd(0, 4), EINVAL);
    CHECK(close(copy) == 0 && close(one) == 0 && close(fd) == 0);
    return 0;
}
