/* epoll over pipes, sockets and counters of one process: levels, edges, once, and sets that change under the program. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set;
static struct epoll_event got[8];

static int control(int operation, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(set, operation, fd, &event);
}

/* How many events there are now; the first is got[0]. */
static int now(void) { return epoll_wait(set, got, 8, 0); }

static int is(int index, uint32_t events, uint64_t data) { return got[index].events == events && got[index].data.u64 == data; }

static void members(void) {
    int ends[2];
    CHECK((set = epoll_create1(EPOLL_CLOEXEC)) == 3 && fcntl(set, F_GETFD) == FD_CLOEXEC && fcntl(set, F_GETFL) == O_RDWR);
    CHECK(pipe(ends) == 0);
    CHECK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 10) == 0);
    FAILS(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 10), EEXIST);
    FAILS(control(EPOLL_CTL_MOD, ends[1], EPOLLOUT, 11), ENOENT);
    FAILS(control(EPOLL_CTL_DEL, ends[1], 0, 0), ENOENT);
    FAILS(control(9, ends[1], 0, 0), EINVAL);
    FAILS(control(EPOLL_CTL_ADD, set, EPOLLIN, 0), EINVAL);
    FAILS(control(EPOLL_CTL_ADD, 99, EPOLLIN, 0), EBADF);
    FAILS(epoll_ctl(99, EPOLL_CTL_ADD, ends[0], got), EBADF);
    FAILS(epoll_ctl(ends[1], EPOLL_CTL_ADD, ends[0], got), EINVAL);
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], (void *)8), EFAULT);
    FAILS(epoll_wait(set, got, 0, 0), EINVAL);
    FAILS(epoll_wait(ends[0], got, 1, 0), EINVAL);
    FAILS(epoll_wait(99, got, 1, 0), EBADF);
    FAILS(epoll_create1(1), EINVAL);
    FAILS(syscall(SYS_epoll_create, 0), EINVAL);
    int file = open("/dev/null", O_RDWR), root = open("/", O_RDONLY);
    FAILS(control(EPOLL_CTL_ADD, file, EPOLLIN, 0), EPERM);
    FAILS(control(EPOLL_CTL_ADD, root, EPOLLIN, 0), EPERM);
    FAILS(read(set, got, sizeof got), EINVAL);
    FAILS(write(set, got, sizeof got), EINVAL);
    struct stat status;
    CHECK(fstat(set, &status) == 0 && status.st_mode == 0600 && status.st_nlink == 1);
    char link[64] = "";
    CHECK(readlink("/proc/self/fd/3", link, sizeof link) == 22 && !strcmp(link, "anon_inode:[eventpoll]"));
    CHECK(close(file) == 0 && close(root) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0 && now() == 0 && close(set) == 0);
}

static void levels(void) {
    int a[2], b[2];
    CHECK((set = epoll_create(1)) == 3 && pipe(a) == 0 && pipe(b) == 0);
    CHECK(control(EPOLL_CTL_ADD, a[0], EPOLLIN, 1) == 0 && control(EPOLL_CTL_ADD, b[0], EPOLLIN | EPOLLRDNORM, 2) == 0);
    CHECK(now() == 0 && epoll_wait(set, got, 1, 3) == 0);
    CHECK(write(b[1], "xy", 2) == 2 && now() == 1 && is(0, EPOLLIN | EPOLLRDNORM, 2) && now() == 1);
    CHECK(write(a[1], "x", 1) == 1 && now() == 2);
    /* One at a time: each gets its turn. */
    uint64_t seen = 0;
    for (int i = 0; i < 2; i++) {
        CHECK(epoll_wait(set, got, 1, -1) == 1);
        seen += got[0].data.u64;
    }
    CHECK(seen == 3);
    struct pollfd whole = {set, POLLIN, 0};
    CHECK(poll(&whole, 1, 0) == 1 && whole.revents == POLLIN);
    char text[8];
    CHECK(read(a[0], text, 8) == 1 && read(b[0], text, 8) == 2 && now() == 0 && poll(&whole, 1, 0) == 0);
    CHECK(control(EPOLL_CTL_ADD, a[1], EPOLLOUT, 3) == 0 && now() == 1 && is(0, EPOLLOUT, 3));
    CHECK(control(EPOLL_CTL_MOD, a[1], 0, 4) == 0 && now() == 0);
    CHECK(close(a[0]) == 0 && now() == 1 && is(0, EPOLLERR, 4) && control(EPOLL_CTL_DEL, a[1], 0, 0) == 0 && now() == 0);
    /* A duplicate keeps the member that its number was added by. */
    int copy = dup(b[0]);
    CHECK(close(b[0]) == 0 && write(b[1], "z", 1) == 1 && now() == 1 && is(0, EPOLLIN | EPOLLRDNORM, 2));
    CHECK(close(copy) == 0 && now() == 0);
    CHECK(close(a[1]) == 0 && close(b[1]) == 0 && close(set) == 0);
}

static void edges(void) {
    int ends[2];
    char text[8];
    CHECK((set = epoll_create1(0)) == 3 && pipe2(ends, O_NONBLOCK) == 0);
    CHECK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET, 1) == 0 && now() == 0);
    CHECK(write(ends[1], "ab", 2) == 2 && now() == 1 && is(0, EPOLLIN, 1) && now() == 0);
    CHECK(write(ends[1], "c", 1) == 1 && now() == 1 && now() == 0);
    CHECK(read(ends[0], text, 1) == 1 && now() == 0);
    CHECK(read(ends[0], text, 8) == 2 && now() == 0 && write(ends[1], "d", 1) == 1 && now() == 1 && now() == 0);
    CHECK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 2) == 0 && now() == 1 && is(0, EPOLLIN, 2) && now() == 0);
    CHECK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 3) == 0 && now() == 1 && is(0, EPOLLIN, 3) && now() == 0);
    CHECK(write(ends[1], "e", 1) == 1 && now() == 0);
    CHECK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET | EPOLLONESHOT, 4) == 0 && now() == 1 && is(0, EPOLLIN, 4) && now() == 0);
    CHECK(close(ends[1]) == 0 && now() == 0);
    CHECK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN, 5) == 0 && now() == 1 && is(0, EPOLLIN | EPOLLHUP, 5));
    CHECK(read(ends[0], text, 8) == 2 && now() == 1 && is(0, EPOLLHUP, 5) && close(ends[0]) == 0);

    int pair[2], counter = eventfd(0, EFD_NONBLOCK);
    CHECK(counter == 4 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(control(EPOLL_CTL_ADD, counter, EPOLLIN | EPOLLET, 6) == 0 && eventfd_write(counter, 1) == 0 && now() == 1 && is(0, EPOLLIN, 6));
    CHECK(now() == 0 && eventfd_write(counter, 1) == 0 && now() == 1 && close(counter) == 0);
    CHECK(control(EPOLL_CTL_ADD, pair[0], EPOLLIN | EPOLLRDHUP | EPOLLET, 7) == 0 && now() == 0);
    CHECK(send(pair[1], "x", 1, 0) == 1 && now() == 1 && is(0, EPOLLIN, 7) && now() == 0);
    CHECK(shutdown(pair[1], SHUT_WR) == 0 && now() == 1 && is(0, EPOLLIN | EPOLLRDHUP, 7) && now() == 0);
    CHECK(close(pair[1]) == 0 && now() == 1 && is(0, EPOLLIN | EPOLLRDHUP | EPOLLHUP, 7));
    CHECK(close(pair[0]) == 0 && close(set) == 0);
}

int main(void) {
    members();
    levels();
    edges();
    return 0;
}
