/* Faults that a program handles itself: it hears the true cause, may jump away, step over, or mend the cause and go on as if nothing
 * had happened: the instruction runs again with every register as it was. */
#include "../check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

/* retry(page): fills every register, writes to the page, and notes every register after it. The write faults, and the handler makes the
 * page writable. */
extern void retry(void *page);
extern char retry_fault[], retry_next[];
struct { uint64_t general[16], flags, xmm[32], red_zone[16]; uint32_t mxcsr, x87, unused[2]; double st[2]; } given, found;
__asm__(
    ".text\n.globl retry\n"
    "retry: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  lea given(%rip), %rax\n"
    "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  movups 136+\\n*16(%rax), %xmm\\n\n"
    "  mov 392+\\n*8(%rax), %rcx; mov %rcx, -128+\\n*8(%rsp)\n"
    "  .endr\n"
    "  ldmxcsr 520(%rax); fninit; fldcw 524(%rax); fldl 536(%rax); fldl 544(%rax)\n"
    "  mov %rdi, 7*8(%rax)\n"
    "  mov %rsp, 4*8(%rax)\n"
    "  lea -136(%rsp), %rsp; push 128(%rax); popf; lea 136(%rsp), %rsp\n"
    "  mov 1*8(%rax), %rcx; mov 2*8(%rax), %rdx; mov 3*8(%rax), %rbx; mov 5*8(%rax), %rbp; mov 6*8(%rax), %rsi\n"
    "  mov 8*8(%rax), %r8; mov 9*8(%rax), %r9; mov 10*8(%rax), %r10; mov 11*8(%rax), %r11; mov 12*8(%rax), %r12\n"
    "  mov 13*8(%rax), %r13; mov 14*8(%rax), %r14; mov 15*8(%rax), %r15; mov 0*8(%rax), %rax\n"
    "  .globl retry_fault, retry_next\n"
    "retry_fault: movq $0x12345678, (%rdi)\n"
    "retry_next: mov %rax, found(%rip); lea found(%rip), %rax\n"
    "  mov %rcx, 1*8(%rax); mov %rdx, 2*8(%rax); mov %rbx, 3*8(%rax); mov %rsp, 4*8(%rax); mov %rbp, 5*8(%rax)\n"
    "  mov %rsi, 6*8(%rax); mov %rdi, 7*8(%rax); mov %r8, 8*8(%rax); mov %r9, 9*8(%rax); mov %r10, 10*8(%rax)\n"
    "  mov %r11, 11*8(%rax); mov %r12, 12*8(%rax); mov %r13, 13*8(%rax); mov %r14, 14*8(%rax); mov %r15, 15*8(%rax)\n"
    "  lea -136(%rsp), %rsp; pushf; pop 128(%rax); lea 136(%rsp), %rsp\n"
    "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  movups %xmm\\n, 136+\\n*16(%rax)\n"
    "  mov -128+\\n*8(%rsp), %rcx; mov %rcx, 392+\\n*8(%rax)\n"
    "  .endr\n"
    "  stmxcsr 520(%rax); fstcw 524(%rax); fstpl 544(%rax); fstpl 536(%rax)\n"
    "  cld; fninit; pushq $0x1f80; ldmxcsr (%rsp); pop %rax\n"
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

static volatile int faults;
static void *volatile fault_page;
static siginfo_t heard;
static volatile uint64_t heard_rip, heard_error, heard_trap;

static void overwrite_everything(void) {
    __asm__ volatile(
        "pcmpeqb %%xmm0, %%xmm0\n movaps %%xmm0, %%xmm1\n movaps %%xmm0, %%xmm2\n movaps %%xmm0, %%xmm3\n movaps %%xmm0, %%xmm4\n"
        "movaps %%xmm0, %%xmm5\n movaps %%xmm0, %%xmm6\n movaps %%xmm0, %%xmm7\n movaps %%xmm0, %%xmm8\n movaps %%xmm0, %%xmm9\n"
        "movaps %%xmm0, %%xmm10\n movaps %%xmm0, %%xmm11\n movaps %%xmm0, %%xmm12\n movaps %%xmm0, %%xmm13\n movaps %%xmm0, %%xmm14\n"
        "movaps %%xmm0, %%xmm15\n fninit\n fldz\n mov $-1, %%rcx\n mov $-1, %%r11\n mov $-1, %%r10\n mov $-1, %%r9\n mov $-1, %%r8\n" ::
            : "rcx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
              "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static volatile int direction_clear, stack_aligned;
static void mend(int number, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    uint64_t flags;
    (void)number;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    direction_clear = !(flags & 0x400);
    stack_aligned = ((uintptr_t)__builtin_frame_address(0) & 15) == 0;
    heard = *info, heard_rip = at->uc_mcontext.gregs[REG_RIP];
    heard_error = at->uc_mcontext.gregs[REG_ERR], heard_trap = at->uc_mcontext.gregs[REG_TRAPNO];
    faults++;
    mprotect(fault_page, 4096, PROT_READ | PROT_WRITE);
    overwrite_everything();
}

static void registers_survive(void) {
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    uint32_t state = 99;
    for (int round = 0; round < 50; round++) {
        fault_page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < sizeof given / 4; i++) ((uint32_t *)&given)[i] = next_number(&state) << 8 | next_number(&state) % 251;
        given.flags = (round & 1 ? 0x8d5 : 0x400) | 0x202; /* carry, parity, adjust, zero, sign and overflow; or direction */
        given.mxcsr = 0x1f80 | (round & 3) << 13;
        given.x87 = 0x037f | (round & 3) << 10;
        given.st[0] = round + 0.25, given.st[1] = -1.0 / (round + 1);
        memset(&found, 0, sizeof found);
        retry(fault_page);
        memcpy(found.unused, given.unused, sizeof found.unused);
        if (memcmp(&given, &found, sizeof given)) {
            for (size_t i = 0; i < sizeof given / 8; i++)
                if (((uint64_t *)&given)[i] != ((uint64_t *)&found)[i])
                    printf("word %zu: %016llx became %016llx\n", i, ((unsigned long long *)&given)[i], ((unsigned long long *)&found)[i]);
            CHECK(!"every register is as it was");
        }
        if (*(uint64_t *)fault_page != 0x12345678) CHECK(!"the write took place");
        if (heard_rip != (uintptr_t)retry_fault || heard.si_addr != fault_page || heard.si_code != SEGV_ACCERR) CHECK(!"the true cause");
        if (!direction_clear || !stack_aligned) CHECK(!"a handler starts as C code expects");
        munmap(fault_page, 4096);
    }
    CHECK(faults == 50);
    CHECK(heard_trap == 14 && (heard_error & 6) == 6);
}

static sigjmp_buf back;
static void leave(int number, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    heard = *info, heard_rip = at->uc_mcontext.gregs[REG_RIP], heard_trap = at->uc_mcontext.gregs[REG_TRAPNO];
    siglongjmp(back, number);
}

static volatile int divisor;
static volatile int *volatile low = (int *)16, *volatile nowhere;
static volatile uint64_t expected_rip;

static void causes(void) {
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL), sigaction(SIGFPE, &action, NULL), sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL), sigaction(SIGBUS, &action, NULL);
    int number = sigsetjmp(back, 1);
    if (!number) *low = 1;
    CHECK(number == SIGSEGV && heard.si_code == SEGV_MAPERR && heard.si_addr == (void *)16);
    if (!(number = sigsetjmp(back, 1))) printf("%d\n", 100 / divisor);
    CHECK(number == SIGFPE && heard.si_code == FPE_INTDIV && (uintptr_t)heard.si_addr == heard_rip && heard_trap == 0);
    if (!(number = sigsetjmp(back, 1))) __asm__ volatile("ud2");
    CHECK(number == SIGILL && heard.si_code == ILL_ILLOPN && (uintptr_t)heard.si_addr == heard_rip && heard_trap == 6);
    if (!(number = sigsetjmp(back, 1))) {
        __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %0; int3; 1:" : "=m"(expected_rip)::"rax");
    }
    CHECK(number == SIGTRAP && heard.si_code == SI_KERNEL && heard_rip == expected_rip && heard_trap == 3);
    if (!(number = sigsetjmp(back, 1))) __asm__ volatile("hlt");
    CHECK(number == SIGSEGV && heard.si_code == SI_KERNEL && heard.si_addr == NULL && heard_trap == 13);
    if (!(number = sigsetjmp(back, 1))) *(volatile char *)0x0000900000000000ull = 1;
    CHECK(number == SIGSEGV && heard.si_code == SI_KERNEL && heard_trap == 13); /* no canonical address: no page fault */
    if (!(number = sigsetjmp(back, 1))) ((void (*)(void))8)();
    CHECK(number == SIGSEGV && heard.si_addr == (void *)8 && heard_rip == 8);
    /* A floating-point exception that the program unmasked. */
    if (!(number = sigsetjmp(back, 1))) {
        uint32_t unmasked = 0x1f80 & ~0x200u;
        volatile double zero = 0;
        __asm__ volatile("ldmxcsr %0" ::"m"(unmasked));
        zero = 1.0 / zero;
    }
    uint32_t usual = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(usual));
    CHECK(number == SIGFPE && heard.si_code == FPE_FLTDIV && heard_trap == 19);
    if (!(number = sigsetjmp(back, 1))) {
        uint16_t unmasked = 0x037f & ~0x4;
        __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(unmasked));
    }
    __asm__ volatile("fninit");
    CHECK(number == SIGFPE && heard.si_code == FPE_FLTDIV && heard_trap == 16);
    for (volatile int i = 0; i < 1000; i++)
        if (!sigsetjmp(back, 1)) *nowhere = 1;
    puts("a thousand faults later");
}

/* A handler may also change where and with what its program goes on. */
static void step_over(int number, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    (void)number, (void)info;
    at->uc_mcontext.gregs[REG_RIP] += 2;
    at->uc_mcontext.gregs[REG_RAX] = 1234, at->uc_mcontext.gregs[REG_R11] = 77, at->uc_mcontext.gregs[REG_RCX] = 78;
    at->uc_mcontext.gregs[REG_EFL] |= 1;
    at->uc_mcontext.fpregs->_xmm[3].element[0] = 4321;
}
static void changes_take_effect(void) {
    struct sigaction action = {.sa_sigaction = step_over, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    uint64_t rax, rcx, r11, flags, xmm;
    __asm__ volatile("clc; ud2; mov %%rax, %0; mov %%rcx, %1; mov %%r11, %2; lea -128(%%rsp), %%rsp; pushf; pop %3\n"
                     "lea 128(%%rsp), %%rsp; movq %%xmm3, %4"
                     : "=m"(rax), "=m"(rcx), "=m"(r11), "=r"(flags), "=r"(xmm)::"rax", "rcx", "r11", "xmm3", "cc");
    CHECK(rax == 1234 && rcx == 78 && r11 == 77 && (flags & 1) && (uint32_t)xmm == 4321);
}

/* Stack overflow, heard on another stack. */
static char alternate[64 << 10];
static volatile int depth;
static __attribute__((noinline)) int deeper(int n) {
    volatile char room[4096];
    room[0] = (char)n, depth++;
    return n > 1 << 30 ? 0 : deeper(n + 1) + room[0];
}
static void overflow(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    for (volatile int i = 0; i < 3; i++) {
        int number = sigsetjmp(back, 1);
        if (!number) deeper(0);
        CHECK(number == SIGSEGV && depth > 100);
    }
}

int main(void) {
    registers_survive();
    causes();
    changes_take_effect();
    overflow();
    return 0;
}
