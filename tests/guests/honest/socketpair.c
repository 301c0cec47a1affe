/* A pair of sockets in one process: both directions, shut down, closed, and asked about. Other sockets are not here. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int ready(int fd) {
    struct pollfd one = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    poll(&one, 1, 0);
    return one.revents;
}

static int option(int fd, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 && length == sizeof value ? value : -1;
}

static volatile int broken;

static void on_broken(int signal) { broken = signal; }

int main(void) {
    int pair[2], on = 1, waiting = 0;
    char text[64] = "";
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && pair[0] == 3 && pair[1] == 4);
    CHECK(fcntl(3, F_GETFD) == FD_CLOEXEC && fcntl(4, F_GETFL) == O_RDWR);
    CHECK(option(3, SO_TYPE) == SOCK_STREAM && option(3, SO_ERROR) == 0 && option(4, SO_DOMAIN) == AF_UNIX && option(4, SO_ACCEPTCONN) == 0);
    struct sockaddr_un name;
    socklen_t length = sizeof name;
    CHECK(getsockname(3, (void *)&name, &length) == 0 && length == 2 && name.sun_family == AF_UNIX);
    length = sizeof name;
    CHECK(getpeername(4, (void *)&name, &length) == 0 && length == 2);
    struct stat a, b;
    CHECK(fstat(3, &a) == 0 && fstat(4, &b) == 0 && S_ISSOCK(a.st_mode) && (a.st_mode & 0777) == 0777 && a.st_ino != b.st_ino);
    CHECK(ioctl(3, FIONBIO, &on) == 0 && fcntl(3, F_GETFL) == (O_RDWR | O_NONBLOCK));
    CHECK(ready(3) == POLLOUT && ready(4) == POLLOUT);
    FAILS(read(3, text, 1), EAGAIN);
    FAILS(recv(4, text, 1, MSG_DONTWAIT), EAGAIN);
    CHECK(write(3, "there", 5) == 5 && send(4, "and back", 8, MSG_NOSIGNAL) == 8);
    CHECK(ready(3) == (POLLIN | POLLOUT) && ioctl(3, FIONREAD, &waiting) == 0 && waiting == 8);
    CHECK(recv(3, text, 3, MSG_PEEK) == 3 && recv(3, text, sizeof text, 0) == 8 && !memcmp(text, "and back", 8));
    CHECK(recv(4, text, 5, MSG_WAITALL) == 5 && !memcmp(text, "there", 5));
    length = 99;
    CHECK(sendto(3, "x", 1, 0, NULL, 0) == 1 && recvfrom(4, text, 9, 0, (void *)&name, &length) == 1 && length == 0);
    FAILS(lseek(3, 0, SEEK_SET), ESPIPE);
    FAILS(pread(3, text, 1, 0), ESPIPE);
    FAILS(listen(3, 1), EINVAL);
    FAILS(send(0, text, 1, 0), ENOTSOCK);
    FAILS(shutdown(3, 9), EINVAL);
    FAILS(recv(99, text, 1, 0), EBADF);
    FAILS(open("/proc/self/fd/3", O_RDWR), ENXIO);

    CHECK(write(3, "last", 4) == 4 && shutdown(3, SHUT_WR) == 0);
    CHECK(ready(4) == (POLLIN | POLLOUT | POLLRDHUP) && ready(3) == POLLOUT);
    signal(SIGPIPE, on_broken);
    FAILS(send(3, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(broken == 0);
    FAILS(write(3, "x", 1), EPIPE);
    CHECK(broken == SIGPIPE);
    CHECK(read(4, text, 9) == 4 && read(4, text, 9) == 0 && write(4, "still", 5) == 5 && read(3, text, 9) == 5);
    CHECK(shutdown(4, SHUT_WR) == 0 && ready(4) == (POLLIN | POLLOUT | POLLRDHUP | POLLHUP) && read(3, text, 9) == 0);
    CHECK(close(3) == 0 && close(4) == 0);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0 && write(3, "lost", 4) == 4 && write(4, "kept", 4) == 4);
    CHECK(close(4) == 0 && ready(3) == (POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP));
    CHECK(read(3, text, 9) == 4 && !memcmp(text, "kept", 4));
    FAILS(read(3, text, 9), ECONNRESET);
    CHECK(read(3, text, 9) == 0 && option(3, SO_ERROR) == 0);
    FAILS(send(3, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(close(3) == 0);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dup(pair[1]) == 5 && close(pair[1]) == 0 && ready(3) == POLLOUT && close(5) == 0);
    CHECK(ready(3) == (POLLIN | POLLOUT | POLLRDHUP | POLLHUP) && close(3) == 0);
    FAILS(socketpair(AF_UNIX, SOCK_STREAM, 77, pair), EPROTONOSUPPORT);
    FAILS(socketpair(999, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
    FAILS(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    return 0;
}
