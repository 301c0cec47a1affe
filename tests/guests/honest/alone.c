/* Questions with one answer for a process that is alone: children, timers, priorities, locked memory, what it was started with. */
#include "../check.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    int status;
    siginfo_t info;
    FAILS(wait(&status), ECHILD);
    FAILS(waitpid(12345, &status, WNOHANG), ECHILD);
    FAILS(waitpid(-1, &status, 0x100), EINVAL);
    FAILS(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    FAILS(waitid(P_ALL, 0, &info, 0), EINVAL);

    struct itimerval timer = {{1, 1}, {1, 1}};
    CHECK(alarm(0) == 0 && getitimer(ITIMER_REAL, &timer) == 0 && timer.it_value.tv_sec == 0 && timer.it_interval.tv_usec == 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    FAILS(getitimer(7, &timer), EINVAL);

    int priority = 7;
    CHECK(syscall(SYS_sched_getparam, 0, &priority) == 0 && priority == 0);
    CHECK(syscall(SYS_sched_getscheduler, 0) == SCHED_OTHER && syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &priority) == 0);
    CHECK(sched_get_priority_max(SCHED_FIFO) == 99 && sched_get_priority_min(SCHED_RR) == 1 && sched_get_priority_max(SCHED_OTHER) == 0);
    FAILS(sched_get_priority_max(99), EINVAL);
    FAILS(syscall(SYS_sched_getscheduler, -1), EINVAL);
    CHECK(getpriority(PRIO_PROCESS, 0) == 0 && setpriority(PRIO_PROCESS, 0, 0) == 0);
    FAILS(getpriority(9, 0), EINVAL);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    FAILS(sched_setaffinity(0, sizeof cpus, &cpus), EINVAL);
    CHECK(personality(0xffffffff) == 0 && prctl(PR_GET_PDEATHSIG, &status) == 0 && status == 0);
    CHECK(prctl(PR_GET_TIMERSLACK) == 50000 && prctl(PR_GET_KEEPCAPS) == 0);

    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char there[2] = {0, 0};
    pages[0] = pages[4096] = 1;
    CHECK(mincore(pages, 8192, there) == 0 && (there[0] & 1) && (there[1] & 1));
    CHECK(mlock(pages + 1, 4096) == 0 && munlock(pages, 8192) == 0 && munlockall() == 0);
    CHECK(msync(pages, 8192, MS_SYNC) == 0 && msync(pages, 8192, MS_ASYNC) == 0);
    FAILS(msync(pages, 8192, MS_SYNC | MS_ASYNC), EINVAL);
    FAILS(msync(pages + 1, 1, MS_SYNC), EINVAL);
    CHECK(munmap(pages, 8192) == 0);
    FAILS(msync(pages, 4096, MS_SYNC), ENOMEM);
    FAILS(mincore(pages, 4096, there), ENOMEM);
    FAILS(mlock(pages, 4096), ENOMEM);
    FAILS(mlockall(0), EINVAL);

    char text[64] = "";
    int full = open("/dev/full", O_RDWR);
    CHECK(read(full, text, 4) == 4 && !memcmp(text, "\0\0\0\0", 4));
    FAILS(write(full, text, 1), ENOSPC);
    int file = open("/tmp", O_RDONLY | O_DIRECTORY);
    struct iovec part = {text, 4};
    FAILS(syscall(SYS_preadv2, file, &part, 1, 0, 0, 0), EISDIR);
    CHECK(syscall(SYS_preadv2, full, &part, 1, -1, -1, 0) == 4 && close(full) == 0 && close(file) == 0);
    FAILS(syscall(SYS_preadv2, 99, &part, 1, 0, 0, 0), EBADF);

    int arguments = open("/proc/self/cmdline", O_RDONLY), environment = open("/proc/self/environ", O_RDONLY);
    ssize_t length = read(arguments, text, sizeof text);
    CHECK(length > 1 && text[length - 1] == 0 && read(environment, text, sizeof text) >= 0);
    CHECK(close(arguments) == 0 && close(environment) == 0);
    return 0;
}
