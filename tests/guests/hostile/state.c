/* guest: flags=-nostdlib,-O1,-fno-stack-protector,-ffreestanding,-fno-tree-loop-distribute-patterns
 * The state of the machine as a program finds it, and as another leaves it. No libc, so that nothing is set before we look.
 *
 *   state observe   prints every register that a program can read at its first instruction, and how much of fresh memory is not zero
 *   state dirty     sets everything a program can set, fills what memory it is given, and ends
 *   state crash     the same, ended by a fault
 *   state spin      the same, never ended
 *
 * Two observations are equal byte for byte, whatever ran between them. The stack pointer is left out: it may be random. */
#include <stddef.h>
#include <stdint.h>

struct state {
    uint64_t general[15], flags;
    uint16_t selectors[6], machine_status, unused;
    uint8_t vector[512] __attribute__((aligned(16)));
    uint8_t wide[512];
} first __attribute__((aligned(64)));

__asm__(
    ".globl _start\n_start:\n"
    "  mov %rax, first(%rip); mov %rbx, first+8(%rip); mov %rcx, first+16(%rip); mov %rdx, first+24(%rip)\n"
    "  mov %rsi, first+32(%rip); mov %rdi, first+40(%rip); mov %rbp, first+48(%rip); mov %r8, first+56(%rip)\n"
    "  mov %r9, first+64(%rip); mov %r10, first+72(%rip); mov %r11, first+80(%rip); mov %r12, first+88(%rip)\n"
    "  mov %r13, first+96(%rip); mov %r14, first+104(%rip); mov %r15, first+112(%rip)\n"
    "  fxsave64 first+144(%rip)\n"
    "  mov %rsp, %rdi\n"
    "  pushf; pop first+120(%rip)\n"
    "  mov %ds, first+128(%rip); mov %es, first+130(%rip); mov %fs, first+132(%rip); mov %gs, first+134(%rip)\n"
    "  mov %cs, first+136(%rip); mov %ss, first+138(%rip)\n"
    "  and $-16, %rsp\n"
    "  call begin\n"
    "  hlt\n"
    /* Reads or fills the upper halves of the vector registers; faults where the machine has none. */
    "read_wide:\n"
    "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  vmovups %ymm\\n, \\n*32(%rdi)\n"
    "  .endr\n"
    "  ret\n"
    "fill_wide:\n"
    "  vpcmpeqd %xmm0, %xmm0, %xmm0\n"
    "  vinsertf128 $1, %xmm0, %ymm0, %ymm0\n"
    "  .irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "  vmovaps %ymm0, %ymm\\n\n"
    "  .endr\n"
    "  ret\n"
    /* What a SIGILL handler returns to: the caller of read_wide or fill_wide, with 0 for `not there`. */
    "restorer: mov $15, %eax; syscall\n");

extern void restorer(void);
extern long read_wide(void *), fill_wide(void);

static long call(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
enum { WRITE = 1, MMAP = 9, BRK = 12, SIGACTION = 13, ARCH_PRCTL = 158, EXIT = 231 };

static void print(const char *text, size_t length) {
    while (length) {
        long done = call(WRITE, 1, (long)text, length, 0, 0, 0);
        if (done <= 0) call(EXIT, 3, 0, 0, 0, 0, 0);
        text += done, length -= done;
    }
}
static void say(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    print(text, length);
}
static void hex(const char *name, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    say(name);
    for (size_t i = length; i > 0; i--) print(&"0123456789abcdef"[at[i - 1] >> 4], 1), print(&"0123456789abcdef"[at[i - 1] & 15], 1);
    say("\n");
}

/* The faulting instruction's function is left with 0 in rax: pop its return address. */
static void leave_function(int number, void *info, void *context) {
    uint64_t *registers = (uint64_t *)((char *)context + 40); /* uc_mcontext.gregs */
    (void)number, (void)info;
    registers[16] = *(uint64_t *)registers[15], registers[15] += 8, registers[13] = 0;
}

static size_t not_zero(const uint8_t *at, size_t length) {
    size_t found = 0;
    for (size_t i = 0; i < length; i++) found += at[i] != 0;
    return found;
}
static uint8_t untouched[1 << 20];

static void observe(uint8_t *stack) {
    long wide = read_wide(first.wide);
    (void)wide;
    for (int i = 0; i < 15; i++) hex("general ", &first.general[i], 8);
    hex("flags ", &first.flags, 8);
    hex("selectors ", first.selectors, sizeof first.selectors);
    for (int i = 0; i < 512 - 96; i += 16) hex("vector ", first.vector + i, 16); /* the last 96 bytes are never stored */
    for (int i = 0; i < 512; i += 32) hex("wide ", first.wide + i, 32);
    uint64_t base;
    call(ARCH_PRCTL, 0x1003, (long)&base, 0, 0, 0, 0), hex("fs base ", &base, 8);
    call(ARCH_PRCTL, 0x1004, (long)&base, 0, 0, 0, 0), hex("gs base ", &base, 8);
    size_t found = not_zero(untouched, sizeof untouched);
    hex("left in bss ", &found, 8);
    found = not_zero(stack - (256 << 10), (256 << 10) - 8192);
    hex("left below the stack ", &found, 8);
    uint8_t *heap = (uint8_t *)call(BRK, 0, 0, 0, 0, 0, 0);
    call(BRK, (long)heap + (8 << 20), 0, 0, 0, 0, 0);
    found = not_zero(heap, 8 << 20);
    hex("left in the heap ", &found, 8);
    uint8_t *map = (uint8_t *)call(MMAP, 0, 24 << 20, 3, 0x22, -1, 0);
    found = not_zero(map, 24 << 20);
    hex("left in a mapping ", &found, 8);
}

static void fill(uint8_t *at, size_t length) {
    for (size_t i = 0; i < length; i++) at[i] = 0xa5;
}

static void dirty(uint8_t *stack) {
    fill(untouched, sizeof untouched);
    fill(stack - (1 << 20), (1 << 20) - 8192);
    uint8_t *heap = (uint8_t *)call(BRK, 0, 0, 0, 0, 0, 0);
    call(BRK, (long)heap + (8 << 20), 0, 0, 0, 0, 0);
    fill(heap, 8 << 20);
    for (size_t i = 0; i < 40; i++) {
        uint8_t *map = (uint8_t *)call(MMAP, 0, 1 << 20, 7 & ~4, 0x22, -1, 0);
        if ((uintptr_t)map > (uintptr_t)-4096) break;
        fill(map, 1 << 20);
    }
    call(ARCH_PRCTL, 0x1002, 0x123456789000, 0, 0, 0, 0);
    call(ARCH_PRCTL, 0x1001, 0x123456788000, 0, 0, 0, 0);
    fill_wide();
    static const uint16_t control = 0x0c7f;
    static const uint32_t mxcsr = 0x7fff;
    __asm__ volatile("fldcw %0; fldpi; fldl2e; fldl2t; fldlg2; fldln2; fld1; fldpi; ldmxcsr %1" ::"m"(control), "m"(mxcsr));
    __asm__ volatile("pcmpeqb %xmm0, %xmm0; movaps %xmm0, %xmm1; movaps %xmm0, %xmm5; movaps %xmm0, %xmm8; movaps %xmm0, %xmm15");
    __asm__ volatile("mov $3, %%eax; mov %%eax, %%ds; mov %%eax, %%es; mov %%eax, %%gs; mov $2, %%eax; mov %%eax, %%fs" ::: "rax");
}

static int is(const char *left, const char *right) {
    while (*left && *left == *right) left++, right++;
    return *left == *right;
}

void begin(uint64_t *stack) {
    struct {
        void (*handler)(int, void *, void *);
        uint64_t flags;
        void (*restorer)(void);
        uint64_t mask;
    } action = {leave_function, 0x04000004, restorer, 0};
    call(SIGACTION, 4, (long)&action, 0, 8, 0, 0);
    const char *what = stack[0] > 1 ? (const char *)stack[2] : "observe";
    if (is(what, "observe")) {
        observe((uint8_t *)stack);
        call(EXIT, 0, 0, 0, 0, 0, 0);
    }
    dirty((uint8_t *)stack);
    int ending = is(what, "crash") ? 1 : is(what, "spin") ? 2 : 0;
    /* The general registers and flags last, in one piece with the ending. */
    __asm__ volatile(
        "mov $-1, %%rax; mov %%rax, %%rbx; mov %%rax, %%rcx; mov %%rax, %%rdx; mov %%rax, %%rsi; mov %%rax, %%rbp\n"
        "mov %%rax, %%r8; mov %%rax, %%r9; mov %%rax, %%r10; mov %%rax, %%r11; mov %%rax, %%r12; mov %%rax, %%r13; mov %%rax, %%r14\n"
        "mov %%rax, %%r15; pushq $0x244cd5; popf\n" /* ID, AC, NT, direction and every arithmetic flag */
        "cmp $1, %%edi; ja 2f; jb 3f; ud2; 2: jmp 2b\n"
        "3: mov $231, %%eax; xor %%edi, %%edi; syscall" ::"D"(ending));
}
