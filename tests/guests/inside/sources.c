/* Everything by which a program can tell the time or come by random bytes, printed; so it is not the same outside. */
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock) {
    struct timespec at;
    if (clock_gettime(clock, &at)) exit(1);
    return at.tv_sec * 1000000000ll + at.tv_nsec;
}

/* Nanoseconds on every clock, then the time in all other units that there are. */
static int clocks(void) {
    struct timeval day;
    struct rusage usage;
    struct sysinfo info;
    struct tms used;
    for (int clock = CLOCK_REALTIME; clock <= CLOCK_BOOTTIME; clock++) printf("%lld\n", now(clock));
    if (gettimeofday(&day, NULL) || getrusage(RUSAGE_SELF, &usage) || sysinfo(&info)) return 1;
    printf("%lld %lld.%06ld\n", (long long)time(NULL), (long long)day.tv_sec, (long)day.tv_usec);
    printf("%lld.%06ld %ld\n", (long long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec, (long)clock());
    printf("%ld %ld", (long)info.uptime, (long)times(&used));
    printf(" %ld %ld\n", (long)used.tms_utime, (long)used.tms_stime);
    return 0;
}

static void print(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
    puts("");
}

/* A line from each source of random bytes. */
static int random_bytes(void) {
    const char *devices[] = {"/dev/urandom", "/dev/random"};
    unsigned char bytes[5000];
    print((const unsigned char *)getauxval(AT_RANDOM), 16);
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return 1;
    print(bytes, sizeof bytes);
    for (int i = 0; i < 2; i++) {
        int file = open(devices[i], O_RDONLY);
        if (file < 0 || read(file, bytes, 100) != 100) return 1;
        print(bytes, 100);
        close(file);
    }
    return 0;
}

/* How long on the monotonic clock, in nanoseconds, it takes to sleep so many seconds, and to poll nothing for as long. */
static int sleeps(long seconds) {
    struct timespec time = {seconds, 0};
    long long start = now(CLOCK_MONOTONIC), middle;
    if (nanosleep(&time, NULL)) return 1;
    middle = now(CLOCK_MONOTONIC);
    if (poll(NULL, 0, (int)seconds * 1000)) return 1;
    printf("%lld %lld\n", middle - start, now(CLOCK_MONOTONIC) - middle);
    return 0;
}

/* Waits, without sleeping, until so many milliseconds are over. */
static int spins(long milliseconds) {
    long long start = now(CLOCK_MONOTONIC);
    while (now(CLOCK_MONOTONIC) - start < milliseconds * 1000000) {}
    puts("over");
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "clocks")) return clocks();
    if (argc > 1 && !strcmp(argv[1], "random")) return random_bytes();
    if (argc > 2 && !strcmp(argv[1], "sleeps")) return sleeps(atol(argv[2]));
    if (argc > 2 && !strcmp(argv[1], "spins")) return spins(atol(argv[2]));
    return 2;
}
