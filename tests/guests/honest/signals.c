/* Signals a program sends to itself: handlers, masks, nesting, alternate stacks and flags. */
#include "../check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int seen[65], order[16], orders;
static volatile siginfo_t last;
static void count(int number) { seen[number]++; }
static void note(int number, siginfo_t *info, void *context) {
    (void)context;
    seen[number]++, memcpy((void *)&last, info, sizeof *info);
}
static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}
static sigset_t set_of(int number) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, number);
    return set;
}
static int blocked(int number) {
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, number);
}

/* A handler that raises another, whose handler runs before it goes on. */
static void outer(int number) {
    order[orders++] = number, raise(SIGUSR2), order[orders++] = -number;
}
static void inner(int number) { order[orders++] = number; }

/* With SA_NODEFER a handler can be entered again from itself. */
static void again(int number) {
    order[orders++] = ++seen[number];
    if (seen[number] < 4) raise(number);
    order[orders++] = -seen[number]--;
}
/* Without it the second waits until the first returns. */
static void deferred(int number) {
    order[orders++] = ++seen[number];
    if (seen[number] == 1) raise(number);
    order[orders++] = -1;
}

static char alternate[64 << 10] __attribute__((aligned(16)));
static volatile int on_alternate, reported;
static void where(int number) {
    stack_t now;
    char here;
    (void)number;
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
    sigaltstack(NULL, &now), reported = now.ss_flags;
}

static volatile int inside_blocked[2];
static void masks(int number) {
    (void)number;
    inside_blocked[0] = blocked(SIGUSR1), inside_blocked[1] = blocked(SIGUSR2);
}

static sigjmp_buf back;
static void leave(int number) { siglongjmp(back, number); }

int main(void) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO}, old;
    CHECK(sigaction(SIGUSR1, &action, &old) == 0 && old.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == note && (old.sa_flags & SA_SIGINFO));
    FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
    FAILS(sigaction(SIGSTOP, &action, NULL), EINVAL);
    FAILS(sigaction(65, &action, NULL), EINVAL);
    FAILS(sigaction(0, &action, NULL), EINVAL);

    CHECK(raise(SIGUSR1) == 0 && seen[SIGUSR1] == 1 && last.si_signo == SIGUSR1);
    CHECK(last.si_code == SI_TKILL && last.si_pid == getpid() && last.si_uid == getuid());
    CHECK(kill(getpid(), SIGUSR1) == 0 && seen[SIGUSR1] == 2 && last.si_code == SI_USER && last.si_pid == getpid());
    CHECK(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1) == 0 && seen[SIGUSR1] == 3);
    CHECK(kill(getpid(), 0) == 0 && seen[SIGUSR1] == 3);
    FAILS(kill(getpid(), 99), EINVAL);
    FAILS(kill(0x7ffffffe, 0), ESRCH);

    /* Blocked signals wait; ordinary ones are not counted while they do; real-time ones are. */
    sigset_t usr1 = set_of(SIGUSR1), pending, rt = set_of(SIGRTMIN + 1), all;
    CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0 && blocked(SIGUSR1));
    raise(SIGUSR1), raise(SIGUSR1);
    CHECK(seen[SIGUSR1] == 3 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
    CHECK(sigprocmask(SIG_UNBLOCK, &usr1, NULL) == 0 && seen[SIGUSR1] == 4);
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
    handle(SIGRTMIN + 1, count, 0);
    CHECK(sigprocmask(SIG_BLOCK, &rt, NULL) == 0);
    raise(SIGRTMIN + 1), raise(SIGRTMIN + 1), raise(SIGRTMIN + 1);
    CHECK(seen[SIGRTMIN + 1] == 0);
    CHECK(sigprocmask(SIG_UNBLOCK, &rt, NULL) == 0 && seen[SIGRTMIN + 1] == 3);
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0 && blocked(SIGTERM) && !blocked(SIGKILL) && !blocked(SIGSTOP));
    sigemptyset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0 && !blocked(SIGTERM));
    FAILS(sigprocmask(99, &all, NULL), EINVAL);

    /* What is ignored is gone, also what was waiting. */
    handle(SIGUSR1, SIG_IGN, 0);
    CHECK(raise(SIGUSR1) == 0 && seen[SIGUSR1] == 4);
    handle(SIGUSR1, count, 0), sigprocmask(SIG_BLOCK, &usr1, NULL), raise(SIGUSR1), handle(SIGUSR1, SIG_IGN, 0);
    handle(SIGUSR1, count, 0), sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    CHECK(seen[SIGUSR1] == 4);
    CHECK(raise(SIGCHLD) == 0 && raise(SIGURG) == 0 && raise(SIGWINCH) == 0 && raise(SIGCONT) == 0);

    handle(SIGUSR1, outer, 0), handle(SIGUSR2, inner, 0), orders = 0;
    raise(SIGUSR1);
    CHECK(orders == 3 && order[0] == SIGUSR1 && order[1] == SIGUSR2 && order[2] == -SIGUSR1);

    handle(SIGUSR1, again, SA_NODEFER), orders = 0, seen[SIGUSR1] = 0;
    raise(SIGUSR1);
    CHECK(orders == 8 && order[0] == 1 && order[3] == 4 && order[4] == -4 && order[7] == -1);
    handle(SIGUSR1, deferred, 0), orders = 0, seen[SIGUSR1] = 0;
    raise(SIGUSR1);
    CHECK(orders == 4 && order[0] == 1 && order[1] == -1 && order[2] == 2 && order[3] == -1);

    handle(SIGUSR1, count, SA_RESETHAND), seen[SIGUSR1] = 0;
    raise(SIGUSR1);
    CHECK(seen[SIGUSR1] == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);

    /* sa_mask holds while the handler runs, and no longer. */
    struct sigaction masked = {.sa_handler = masks};
    sigaddset(&masked.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &masked, NULL), raise(SIGUSR1);
    CHECK(inside_blocked[0] && inside_blocked[1] && !blocked(SIGUSR1) && !blocked(SIGUSR2));
    masked.sa_flags = SA_NODEFER;
    sigaction(SIGUSR1, &masked, NULL), raise(SIGUSR1);
    CHECK(!inside_blocked[0] && inside_blocked[1]);

    /* The alternate stack. */
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, was;
    CHECK(sigaltstack(NULL, &was) == 0 && was.ss_flags == SS_DISABLE);
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaltstack(NULL, &was) == 0 && was.ss_sp == alternate && was.ss_flags == 0);
    handle(SIGUSR1, where, SA_ONSTACK), raise(SIGUSR1);
    CHECK(on_alternate && reported == SS_ONSTACK);
    handle(SIGUSR1, where, 0), raise(SIGUSR1);
    CHECK(!on_alternate && reported == 0);
    stack_t small = {.ss_sp = alternate, .ss_size = 16};
    FAILS(sigaltstack(&small, NULL), ENOMEM);
    stack.ss_flags = 77;
    FAILS(sigaltstack(&stack, NULL), EINVAL);
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaltstack(NULL, &was) == 0 && was.ss_flags == SS_DISABLE);

    /* A handler may leave by a jump; the mask is as it was. */
    handle(SIGUSR1, leave, 0);
    int rounds = 0, number = 0;
    for (volatile int i = 0; i < 1000; i++) {
        number = sigsetjmp(back, 1);
        if (!number) raise(SIGUSR1);
        rounds += number == SIGUSR1;
    }
    CHECK(rounds == 1000 && !blocked(SIGUSR1));
    return 0;
}
