/* Pipes within one process: filled, emptied, polled, broken, never waited for. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile int broken;

static void on_broken(int signal) { broken = signal; }

static int ready(int fd, int events) {
    struct pollfd one = {fd, events, 0};
    poll(&one, 1, 0);
    return one.revents;
}

int main(void) {
    int ends[2], in, out;
    CHECK(pipe(ends) == 0 && ends[0] == 3 && ends[1] == 4);
    in = ends[0], out = ends[1];
    char text[64] = "";
    CHECK(ready(in, POLLIN) == 0 && ready(out, POLLOUT) == POLLOUT && ready(out, POLLIN) == 0);
    CHECK(write(out, "hello, ", 7) == 7 && write(out, "pipe", 4) == 4);
    int waiting = 0;
    CHECK(ioctl(in, FIONREAD, &waiting) == 0 && waiting == 11);
    CHECK(ready(in, POLLIN) == POLLIN);
    CHECK(read(in, text, 5) == 5 && !memcmp(text, "hello", 5));
    CHECK(read(in, text, sizeof text) == 6 && !memcmp(text, ", pipe", 6));
    CHECK(read(in, text, 0) == 0 && write(out, text, 0) == 0);
    FAILS(read(out, text, 1), EBADF);
    FAILS(write(in, text, 1), EBADF);
    FAILS(lseek(in, 0, SEEK_SET), ESPIPE);
    FAILS(pread(in, text, 1, 0), ESPIPE);
    FAILS(ftruncate(out, 0), EINVAL);
    struct stat status;
    CHECK(fstat(in, &status) == 0 && S_ISFIFO(status.st_mode) && (status.st_mode & 0777) == 0600 && status.st_nlink == 1);
    ino_t inode = status.st_ino;
    CHECK(fstat(out, &status) == 0 && status.st_ino == inode && status.st_size == 0);
    CHECK(fcntl(in, F_GETFL) == O_RDONLY && fcntl(out, F_GETFL) == O_WRONLY && fcntl(in, F_GETPIPE_SZ) == 65536);

    struct iovec parts[3] = {{"one ", 4}, {"", 0}, {"two", 3}};
    char a[3], b[9];
    struct iovec places[2] = {{a, sizeof a}, {b, sizeof b}};
    CHECK(writev(out, parts, 3) == 7 && readv(in, places, 2) == 7 && !memcmp(a, "one", 3) && !memcmp(b, " two", 4));

    int on = 1;
    CHECK(ioctl(in, FIONBIO, &on) == 0 && fcntl(in, F_GETFL) == O_NONBLOCK && fcntl(out, F_SETFL, O_NONBLOCK) == 0);
    FAILS(read(in, text, 1), EAGAIN);
    static char large[100000], back[100000];
    for (size_t i = 0; i < sizeof large; i++) large[i] = i * 7 + i / 256;
    CHECK(write(out, large, sizeof large) == 65536);
    FAILS(write(out, large, 1), EAGAIN);
    CHECK(ready(out, POLLOUT) == 0);
    CHECK(read(in, back, 4096) == 4096 && ready(out, POLLOUT) == POLLOUT && write(out, large + 65536, 4096) == 4096);
    CHECK(read(in, back + 4096, sizeof back - 4096) == 65536 && !memcmp(back, large, 65536 + 4096));

    int copy = dup(out);
    CHECK(write(copy, "last", 4) == 4 && close(out) == 0);
    FAILS(read(in, text, sizeof text) == 4 ? read(in, text, 1) : 0, EAGAIN);
    CHECK(write(copy, "rest", 4) == 4 && close(copy) == 0);
    CHECK(ready(in, POLLIN) == (POLLIN | POLLHUP) && read(in, text, sizeof text) == 4 && read(in, text, 1) == 0);
    CHECK(ready(in, POLLIN) == POLLHUP && close(in) == 0);

    signal(SIGPIPE, on_broken);
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && fcntl(ends[0], F_GETFD) == FD_CLOEXEC && close(ends[0]) == 0);
    CHECK(ready(ends[1], POLLOUT) == (POLLOUT | POLLERR));
    FAILS(write(ends[1], "x", 1), EPIPE);
    CHECK(broken == SIGPIPE && close(ends[1]) == 0);
    FAILS(pipe2(ends, O_APPEND), EINVAL);
    FAILS(syscall(22, 8), EFAULT);
    CHECK(dup(0) == 3 && close(3) == 0);
    CHECK(ioctl(0, FIOCLEX) == 0 && fcntl(0, F_GETFD) == FD_CLOEXEC && ioctl(0, FIONCLEX) == 0 && fcntl(0, F_GETFD) == 0);
    return 0;
}
