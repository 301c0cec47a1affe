/* guest: flags=-O1
 * A handler that returns to a machine state of its own making: `frames NAME`. What Linux lets a program have, it has; the rest is either
 * left out of the state or ends the program. 42 says that the program went on as usual; anything that shows privilege ends it with 13. */
#include "../check.h"
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const char *name;

static void forge(int number, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    greg_t *registers = at->uc_mcontext.gregs;
    uint32_t *extended = (uint32_t *)((char *)at->uc_mcontext.fpregs + 464); /* the kernel's own words in the FXSAVE area */
    (void)number, (void)info;
#define SELECTORS(code, stack) registers[REG_CSGSFS] = (greg_t)((uint64_t)(stack) << 48 | (uint16_t)(code))
#define CASE(text) else if (!strcmp(name, text))
    if (0);
    CASE("nothing") {}
    CASE("kernel code selector") SELECTORS(0x08, 0x2b);
    CASE("kernel code selector, as Linux has it") SELECTORS(0x10, 0x18);
    CASE("kernel stack selector") SELECTORS(0x33, 0x10);
    CASE("null selectors") SELECTORS(0, 0);
    CASE("selectors past the table") SELECTORS(0xfff8, 0xfff8);
    CASE("local selectors") SELECTORS(0x0f, 0x0f);
    CASE("task selector") SELECTORS(0x40, 0x40);
    CASE("compatibility mode") SELECTORS(0x23, 0x2b);
    CASE("rip in kernel") registers[REG_RIP] = (greg_t)0xffffffff80000000;
    CASE("rip in upper half") registers[REG_RIP] = (greg_t)0xffff800000000000;
    CASE("rip noncanonical") registers[REG_RIP] = 0x0000800000000000;
    CASE("rip at zero") registers[REG_RIP] = 0;
    CASE("rip at top") registers[REG_RIP] = -1;
    CASE("rip below the hole") registers[REG_RIP] = 0x00007ffffffffffe;
    CASE("rsp in kernel") registers[REG_RSP] = (greg_t)0xffffffff80000000;
    CASE("rsp noncanonical") registers[REG_RSP] = 0x0000900000000000;
    CASE("rsp at zero") registers[REG_RSP] = 0;
    CASE("trap flag") registers[REG_EFL] |= 0x100;
    CASE("no interrupts") registers[REG_EFL] &= ~0x200;
    CASE("privilege level") registers[REG_EFL] |= 0x3000;
    CASE("nested task") registers[REG_EFL] |= 0x4000;
    CASE("alignment check") registers[REG_EFL] |= 0x40000;
    CASE("resume flag") registers[REG_EFL] |= 0x10000;
    CASE("virtual 8086") registers[REG_EFL] |= 0x20000;
    CASE("virtual interrupts") registers[REG_EFL] |= 0x180000;
    CASE("all flags but trap") registers[REG_EFL] = -1 & ~0x100;
    CASE("all flags") registers[REG_EFL] = -1;
    CASE("no flags") registers[REG_EFL] = 0;
    CASE("mxcsr reserved bits") at->uc_mcontext.fpregs->mxcsr = 0xffffffff;
    CASE("no vector state") at->uc_mcontext.fpregs = NULL;
    CASE("vector state in kernel") at->uc_mcontext.fpregs = (void *)0xffffffff80000000;
    CASE("vector state noncanonical") at->uc_mcontext.fpregs = (void *)0x0000900000000000;
    CASE("vector state unaligned") at->uc_mcontext.fpregs = (void *)((char *)at->uc_mcontext.fpregs + 3);
    CASE("vector state at the edge") at->uc_mcontext.fpregs = (void *)(((uintptr_t)at | 0xfff) + 1 - 16);
    CASE("vector state of all ones") memset(at->uc_mcontext.fpregs, 0xff, 512);
    CASE("extended size too large") extended[0] = 0x46505853, extended[1] = 0xffffffff, extended[4] = 0xffffffff;
    CASE("extended features too many") extended[0] = 0x46505853, extended[2] = extended[3] = 0xffffffff;
    CASE("extended header of all ones") extended[0] = 0x46505853, memset((char *)at->uc_mcontext.fpregs + 512, 0xff, 64);
    CASE("extended header compacted") extended[0] = 0x46505853, ((uint64_t *)at->uc_mcontext.fpregs)[65] = (uint64_t)1 << 63;
    CASE("full mask") memset(&at->uc_sigmask, 0xff, 8);
    CASE("alternate stack in kernel") at->uc_stack = (stack_t){.ss_sp = (void *)0xffffffff80000000, .ss_size = 65536};
    CASE("alternate stack nonsense") at->uc_stack = (stack_t){.ss_sp = NULL, .ss_size = 1, .ss_flags = 0x7777};
    CASE("registers") { for (int i = REG_R8; i <= REG_RCX; i++) registers[i] = i == REG_RBP || i == REG_RBX ? registers[i] : -1; }
    else _exit(2);
}

int main(int argc, char **argv) {
    name = argc > 1 ? argv[1] : "nothing";
    struct sigaction action = {.sa_sigaction = forge, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    long result = SYS_tkill, self = syscall(SYS_gettid);
    __asm__ volatile("syscall" : "+a"(result) : "D"(self), "S"(SIGUSR1) : "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
    /* Still an ordinary program: interrupts on, no port open, no kernel in sight. */
    uint64_t flags;
    uint16_t code;
    __asm__ volatile("pushf; pop %0; mov %%cs, %1; cld" : "=r"(flags), "=r"(code));
    if ((code & 3) != 3 || (flags & 0x3000) || !(flags & 0x200)) _exit(13);
    syscall(SYS_exit_group, 42);
    return 1;
}
