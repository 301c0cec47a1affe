/* What a program may ask about itself and the system: answered sensibly, and the same each time. */
#include "../check.h"
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(void) {
    unsigned char first[64] = {0}, second[64] = {0}, none[64] = {0};
    CHECK(getrandom(first, sizeof first, 0) == sizeof first && getrandom(second, sizeof second, GRND_NONBLOCK) == sizeof second);
    CHECK(memcmp(first, second, sizeof first) && memcmp(first, none, sizeof first));
    CHECK(getrandom(first, 0, 0) == 0);
    FAILS(getrandom(first, 1, 0xff00), EINVAL);
    CHECK(getentropy(first, 32) == 0);

    struct utsname name;
    CHECK(uname(&name) == 0 && !strcmp(name.sysname, "Linux") && !strcmp(name.machine, "x86_64"));
    CHECK(name.release[0] >= '3' && name.nodename[0] != 0 && name.version[0] != 0);

    CHECK(getpid() > 0 && getpid() == syscall(SYS_gettid));
    CHECK(getuid() == geteuid() && getgid() == getegid());
    CHECK(getppid() >= 0);

    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 1 << 20 && limit.rlim_cur <= limit.rlim_max);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= 16 && limit.rlim_cur <= limit.rlim_max);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0 && getrlimit(RLIMIT_DATA, &limit) == 0);
    FAILS(getrlimit(99, &limit), EINVAL);
    struct sysinfo info;
    CHECK(sysinfo(&info) == 0 && info.totalram > 0 && info.mem_unit > 0 && info.freeram <= info.totalram);
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_utime.tv_sec >= 0);
    CHECK(sysconf(_SC_PAGESIZE) == 4096);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK(sysconf(_SC_CLK_TCK) == 100);
    CHECK(syscall(SYS_sched_yield) == 0);
    FAILS(syscall(9999), ENOSYS);
    FAILS(syscall(-1), ENOSYS);
    FAILS(syscall(0x7fffffffffffffffl), ENOSYS);
    return 0;
}
