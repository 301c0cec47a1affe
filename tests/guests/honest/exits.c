/* Every way to leave: exits.c WAY NUMBER. */
#include "../check.h"
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static void first(void) { puts("registered first, runs last"); }
static void second(void) { puts("registered second, runs first"); }

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "return";
    int number = argc > 2 ? atoi(argv[2]) : 0;
    atexit(first), atexit(second);
    printf("%s %d", way, number); /* no newline: only a flush prints it */
    if (!strcmp(way, "return")) return number;
    if (!strcmp(way, "exit")) exit(number);
    if (!strcmp(way, "quick_exit")) quick_exit(number);
    if (!strcmp(way, "_exit")) _exit(number); /* nothing is flushed */
    if (!strcmp(way, "one thread")) syscall(SYS_exit, number);
    if (!strcmp(way, "group")) syscall(SYS_exit_group, number);
    fflush(stdout);
    if (!strcmp(way, "raise")) { /* a background job may have inherited SIGINT and SIGQUIT as ignored */
        signal(number, SIG_DFL);
        raise(number);
    }
    if (!strcmp(way, "abort")) abort();
    if (!strcmp(way, "blocked abort")) { /* neither a mask nor a handler that returns stops abort */
        sigset_t all;
        sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
        signal(SIGABRT, SIG_IGN);
        abort();
    }
    if (!strcmp(way, "fault")) *(volatile int *)(long)number = 0;
    if (!strcmp(way, "trap")) __builtin_trap();
    if (!strcmp(way, "ignored fault")) { /* a fault cannot be ignored */
        signal(SIGSEGV, SIG_IGN);
        *(volatile int *)(long)number = 0;
    }
    if (!strcmp(way, "blocked fault")) { /* nor blocked */
        sigset_t all;
        sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
        *(volatile int *)(long)number = 0;
    }
    return 99;
}
