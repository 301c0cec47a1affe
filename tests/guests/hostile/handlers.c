/* Signal handling turned against itself: `handlers NAME`. None of these may do more than end the program. */
#include "../check.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct kernel_action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};
enum { RESTORER = 0x04000000 };
static char alternate[65536];

static volatile int *volatile nowhere = (int *)16;
static void crash(int number) {
    (void)number;
    *nowhere = 1;
}
static void returns(int number) { (void)number; }
static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}
static void raw_action(int number, uintptr_t handler, unsigned long flags, uintptr_t restorer) {
    struct kernel_action action = {handler, flags, restorer, 0};
    syscall(SYS_rt_sigaction, number, &action, NULL, 8);
}
static void stack_at(uintptr_t at, size_t size) {
    stack_t stack = {.ss_sp = (void *)at, .ss_size = size};
    if (sigaltstack(&stack, NULL)) puts("the stack was refused"), fflush(stdout);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
#define CASE(text) else if (!strcmp(name, text))
    if (0);
    CASE("crash in handler") handle(SIGSEGV, crash, 0), crash(0);
    CASE("crash in handler, again and again") handle(SIGSEGV, crash, SA_NODEFER), crash(0);
    CASE("crash on alternate stack") {
        stack_at((uintptr_t)alternate, sizeof alternate);
        handle(SIGSEGV, crash, SA_NODEFER | SA_ONSTACK), crash(0);
    }
    CASE("alternate stack at null") stack_at(0, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    CASE("alternate stack unmapped") stack_at(0x700000000000, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    CASE("alternate stack in kernel") stack_at(0xffffffff80000000, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    CASE("alternate stack noncanonical") stack_at(0x0000900000000000, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    CASE("alternate stack wraps") stack_at(0xfffffffffffff000, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    CASE("alternate stack read-only") {
        void *at = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack_at((uintptr_t)at, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    }
    CASE("alternate stack over text") stack_at((uintptr_t)main & -4096, 65536), handle(SIGUSR1, returns, SA_ONSTACK), raise(SIGUSR1);
    CASE("stack pointer in kernel") {
        handle(SIGSEGV, returns, 0);
        __asm__ volatile("mov $0xffffffff80000000, %rsp; push %rax");
    }
    CASE("stack pointer at zero") {
        handle(SIGSEGV, returns, 0);
        __asm__ volatile("xor %esp, %esp; push %rax");
    }
    CASE("handler in kernel") raw_action(SIGUSR1, 0xffffffff80000000, RESTORER, 0), raise(SIGUSR1);
    CASE("handler noncanonical") raw_action(SIGUSR1, 0x0000900000000000, RESTORER, 0), raise(SIGUSR1);
    CASE("handler at two") raw_action(SIGUSR1, 2, RESTORER, 0), raise(SIGUSR1);
    CASE("no restorer") raw_action(SIGUSR1, (uintptr_t)returns, 0, 0), raise(SIGUSR1);
    CASE("restorer in kernel") raw_action(SIGUSR1, (uintptr_t)returns, RESTORER, 0xffffffff80000000), raise(SIGUSR1);
    CASE("restorer noncanonical") raw_action(SIGUSR1, (uintptr_t)returns, RESTORER, 0x0000900000000000), raise(SIGUSR1);
    CASE("sigreturn without a frame") syscall(SYS_rt_sigreturn);
    CASE("sigreturn at zero") __asm__ volatile("xor %%esp, %%esp; mov $15, %%eax; syscall; hlt" ::: "memory");
    CASE("sigreturn in kernel") __asm__ volatile("mov $0xffffffff80000000, %%rsp; mov $15, %%eax; syscall; hlt" ::: "memory");
    CASE("sigreturn noncanonical") __asm__ volatile("mov $0x0000900000000000, %%rsp; mov $15, %%eax; syscall; hlt" ::: "memory");
    CASE("sigreturn at the edge") {
        char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(at + 4096, 4096);
        __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall; hlt" ::"r"(at + 4096 - 64) : "memory");
    }
    CASE("sigreturn from zeros") {
        char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall; hlt" ::"r"(at + 1024) : "memory");
    }
    CASE("sigreturn from ones") {
        char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(at, 0xff, 8192);
        __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall; hlt" ::"r"(at + 1024) : "memory");
    }
    else return 2;
    return 42;
}
