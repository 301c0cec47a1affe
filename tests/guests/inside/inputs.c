/* Prepares something, says so, and asks for its input in the way that its first argument names; then it prints what it prepared and what it got. */
#include "../check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned prepared[1 << 16];
static char buffer[1 << 20];

static unsigned prepare(void) {
    unsigned value = 1;
    for (size_t i = 0; i < sizeof prepared / sizeof *prepared; i++) prepared[i] = value = value * 1664525 + 1013904223;
    return value;
}

static int is(const char *way, const char *name) { return !strcmp(way, name); }

/* All of a descriptor, waiting for it with `poll` where it does not wait by itself. In how many pieces it comes is not printed. */
static size_t all(int fd) {
    size_t total = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + total, sizeof buffer - total);
        if (got < 0 && errno == EAGAIN) {
            struct pollfd wanted = {fd, POLLIN, 0};
            if (poll(&wanted, 1, -1) != 1) exit(1);
            continue;
        }
        if (got < 0) exit(1);
        if (!got) return total;
        total += got;
    }
}

/* Calls about stdin that say nothing of what comes from it. */
static void look(void) {
    struct stat stat;
    struct pollfd wanted[3] = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}};
    struct epoll_event event = {EPOLLIN, {.fd = 0}};
    int epoll = epoll_create1(0);
    CHECK(!fstat(0, &stat) && S_ISFIFO(stat.st_mode) && !stat.st_size);
    FAILS(lseek(0, 0, SEEK_CUR), ESPIPE);
    FAILS(pread(0, buffer, 1, 0), ESPIPE);
    FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0), ENODEV);
    CHECK(!isatty(0) && errno == ENOTTY);
    CHECK(poll(wanted, 3, 0) == 0);
    CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event) && !close(epoll));
    CHECK(read(0, buffer, 0) == 0);
    FAILS(syscall(SYS_read, 0, NULL, 1), EFAULT);
    FAILS(copy_file_range(0, NULL, 1, NULL, 1, 0), EINVAL);
    CHECK(splice(0, NULL, 1, NULL, 1, 0) == -1);
}

static void wait_by_epoll(unsigned events, int timeout) {
    struct epoll_event event = {events, {.fd = 0}};
    int epoll = epoll_create1(0);
    CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event));
    struct pollfd set = {epoll, POLLIN, 0};
    CHECK(poll(&set, 1, timeout) == 1);
    CHECK(epoll_wait(epoll, &event, 1, timeout) == 1 && event.data.fd == 0 && event.events & EPOLLIN);
    CHECK(!close(epoll));
}

static void wait_by_select(struct timeval *timeout) {
    fd_set wanted;
    FD_ZERO(&wanted);
    FD_SET(0, &wanted);
    CHECK(select(1, &wanted, NULL, NULL, timeout) == 1 && FD_ISSET(0, &wanted));
}

static int loop_for_ever(void) {
    for (volatile unsigned i = 0;; i++) {}
}

static void print(const char *what, const void *bytes, size_t length) {
    printf("%s", what);
    for (size_t i = 0; i < length; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
    puts("");
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "read";
    unsigned value = prepare();
    unsigned char drawn[16], later[16];
    int in = 0;
    struct pollfd wanted = {0, POLLIN, 0};
    struct timespec second = {1, 0};
    /* Written now, and in a buffer until the end. */
    CHECK(write(1, "prepared\n", 9) == 9);
    CHECK(getrandom(drawn, sizeof drawn, 0) == sizeof drawn);
    printf("%u\n", value);

    if (is(way, "looks")) look();
    else if (is(way, "poll")) CHECK(poll(&wanted, 1, -1) == 1 && wanted.revents & POLLIN);
    else if (is(way, "poll-now")) CHECK(poll(&wanted, 1, 0) == 1 && wanted.revents & POLLIN);
    else if (is(way, "ppoll")) CHECK(ppoll(&wanted, 1, &second, NULL) == 1 && wanted.revents & POLLIN);
    else if (is(way, "hang-up")) {
        wanted.events = 0;
        CHECK(poll(&wanted, 1, -1) == 1 && wanted.revents == POLLHUP);
    } else if (is(way, "select")) wait_by_select(NULL);
    else if (is(way, "select-now")) wait_by_select(&(struct timeval){0, 0});
    else if (is(way, "epoll")) wait_by_epoll(EPOLLIN, -1);
    else if (is(way, "epoll-now")) wait_by_epoll(EPOLLIN, 0);
    else if (is(way, "epoll-edge")) wait_by_epoll(EPOLLIN | EPOLLET, -1);
    else if (is(way, "nonblock")) CHECK(!fcntl(0, F_SETFL, O_NONBLOCK));
    else if (is(way, "dup")) CHECK((in = fcntl(0, F_DUPFD, 77)) == 77 && !close(0));
    else if (is(way, "dup-poll")) {
        CHECK(dup2(0, 77) == 77 && !close(0));
        wanted.fd = in = 77;
        CHECK(poll(&wanted, 1, -1) == 1);
    } else if (is(way, "dev-stdin")) CHECK((in = open("/dev/stdin", O_RDONLY)) == 3 && !close(0));
    else if (is(way, "fionread")) {
        int there = -1;
        CHECK(!ioctl(0, FIONREAD, &there));
        printf("%d\n", there);
    } else if (is(way, "sendfile")) {
        fflush(stdout);
        ssize_t moved;
        while ((moved = sendfile(1, 0, NULL, sizeof buffer)) > 0) {}
        return moved < 0;
    } else if (is(way, "readv")) {
        struct iovec parts[2] = {{buffer, 0}, {buffer, 3}};
        ssize_t got = readv(0, parts, 2);
        CHECK(got >= 0);
        printf("%zd %.*s\n", got, (int)got, buffer);
    } else if (is(way, "stdio")) {
        char *line = NULL;
        size_t size = 0;
        for (ssize_t length; (length = getline(&line, &size, stdin)) >= 0;) printf("%zd:%s", length, line);
        return ferror(stdin);
    } else if (is(way, "ends")) return 3;
    else if (is(way, "aborts")) abort();
    else if (is(way, "spins")) return loop_for_ever();
    else if (is(way, "sleeps")) return pause();
    else if (is(way, "closes")) {
        CHECK(!close(0));
        return read(0, buffer, 1) == -1 && errno == EBADF ? 4 : 5;
    } else if (is(way, "closes-and-waits")) {
        CHECK(!close(0));
        wanted.fd = -1;
        return poll(&wanted, 1, -1);
    }

    size_t length = all(in);
    if (is(way, "draws")) {
        CHECK(getrandom(later, sizeof later, 0) == sizeof later);
        print("canary ", (const void *)getauxval(AT_RANDOM), 16);
        print("before ", drawn, sizeof drawn);
        print("after ", later, sizeof later);
    }
    printf("%zu ", length);
    fwrite(buffer, 1, length, stdout);
    puts("");
    return length % 100;
}
