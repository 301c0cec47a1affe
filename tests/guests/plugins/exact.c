/* guest: variants=musl
 * Shows everything of itself that a program at CPL3 can read, and makes a mess of all that it can change: for tests that compare what is seen
 * after a restore, or by the next program, with what is seen in a machine that nobody used before.
 *
 *     observe                  the reply, or stdout, is what it sees
 *     scramble KIND            leaves the mess and then: returns, spins, steps, faults, gate, restores, stack, port
 *     hide                     a secret wherever it can be put, and returns
 *     search                   the first word of every page that can be had, and all that is not zero */
#include "../../../sdk/c/ampoule.c"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET 0x5ec2e75ec2e75ec2ull
#define RESTORED 0x7fffffff5000ull
#define RESTORE_GATE (AMPOULE_GATE_ADDRESS + 0x100)

static sigjmp_buf away;

static void leave(int signal) { siglongjmp(away, signal); }

/* Runs what may be an instruction that this CPU has not; 1 if it has. */
#define TRY(what) (sigsetjmp(away, 1) == 0 ? ({ what; 1; }) : 0)

static int has_bases, has_xsave, has_keys, has_vectors;

static void try_instructions(void) {
    struct sigaction action = {.sa_handler = leave}, before[2];
    sigaction(SIGILL, &action, &before[0]);
    sigaction(SIGSEGV, &action, &before[1]);
    uint32_t low, high;
    uint64_t base;
    has_bases = TRY(__asm__ volatile("rdfsbase %0" : "=r"(base)));
    has_xsave = TRY(__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0)));
    has_keys = TRY(__asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0)));
    has_vectors = 0;
    if (has_xsave) {
        has_vectors += TRY(__asm__ volatile("vmovdqa %%ymm0, %%ymm0" : : : "xmm0"));
        if (has_vectors) has_vectors += TRY(__asm__ volatile("vmovdqa64 %%zmm0, %%zmm0" : : : "xmm0"));
    }
    sigaction(SIGILL, &before[0], NULL);
    sigaction(SIGSEGV, &before[1], NULL);
}

static struct {
    uint64_t general[16], flags, bases[2], pieces;
    uint16_t selectors[6];
    uint32_t keys[2], xcr0[2];
    unsigned char environment[32], legacy[512] __attribute__((aligned(64)));
    unsigned char extended[8192] __attribute__((aligned(64)));
    unsigned char info[4096], restored[8192];
    unsigned char readable[16];
    uint64_t thread;
} seen;

static const uint64_t around[] = {AMPOULE_RING_ADDRESS,       RESTORED - 4096, RESTORED + 8192,
                                  AMPOULE_INFO_ADDRESS - 4096, AMPOULE_INFO_ADDRESS + 4096, AMPOULE_GATE_ADDRESS + 4096,
                                  0x7f8000000000ull,          0x7f7ffffff000ull, 0xffff800000000000ull, 0x10000};

__attribute__((noinline)) static void look(void) {
    __asm__ volatile("movq %%rbx, 0(%0); movq %%rcx, 8(%0); movq %%rdx, 16(%0); movq %%rsi, 24(%0); movq %%rsp, 32(%0);"
                     "movq %%rbp, 40(%0); movq %%r8, 48(%0); movq %%r9, 56(%0); movq %%r10, 64(%0); movq %%r12, 72(%0);"
                     "movq %%r13, 80(%0); movq %%r14, 88(%0); movq %%r15, 96(%0);"
                     "pushfq; popq 128(%0)"
                     :
                     : "D"(seen.general)
                     : "memory");
    __asm__ volatile("mov %%cs, %0; mov %%ss, %1; mov %%ds, %2; mov %%es, %3; mov %%fs, %4; mov %%gs, %5"
                     : "=m"(seen.selectors[0]), "=m"(seen.selectors[1]), "=m"(seen.selectors[2]), "=m"(seen.selectors[3]),
                       "=m"(seen.selectors[4]), "=m"(seen.selectors[5]));
    __asm__ volatile("fnstenv %0; fldenv %0" : "+m"(seen.environment));
    /* The last instruction's pointers: xrstor leaves them alone on AMD's CPUs before Zen 2, where the host's kernel puts its own there. */
    memset(seen.environment + 12, 0, 16);
    __asm__ volatile("fxsave64 %0" : "+m"(seen.legacy));
    if (has_bases) __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(seen.bases[0]), "=r"(seen.bases[1]));
    if (has_xsave) {
        __asm__ volatile("xgetbv" : "=a"(seen.xcr0[0]), "=d"(seen.xcr0[1]) : "c"(0));
        __asm__ volatile("xsave64 %0" : "+m"(seen.extended) : "a"(-1), "d"(-1));
        /* Which states the CPU takes for initial: that is the host's affair from moment to moment. */
        memset(seen.extended + 512, 0, 8);
    }
    if (has_keys) __asm__ volatile("rdpkru" : "=a"(seen.keys[0]), "=d"(seen.keys[1]) : "c"(0));
    __asm__ volatile("mov %%fs:0, %0" : "=r"(seen.thread));
    memcpy(seen.info, (const void *)AMPOULE_INFO_ADDRESS, sizeof seen.info);
    memset(seen.info + AMPOULE_INFO_GENERATION, 0, 16);
    memset(seen.info + AMPOULE_INFO_SEED, 0, 32);
    memcpy(seen.restored, (const void *)RESTORED, sizeof seen.restored);
    memset(seen.restored + 512, 0, 8);
    struct sigaction action = {.sa_handler = leave}, before;
    sigaction(SIGSEGV, &action, &before);
    for (size_t i = 0; i < sizeof around / sizeof *around; i++)
        seen.readable[i] = (unsigned char)TRY((void)*(const volatile char *)around[i]);
    sigaction(SIGSEGV, &before, NULL);
}

static unsigned char pattern[64] __attribute__((aligned(64)));
static uint64_t saved_base;

/* Everything that a payload can set, then the end of that kind. */
static void mess(const char *kind) {
    for (size_t i = 0; i < sizeof pattern; i += 8) memcpy(pattern + i, &(uint64_t){SECRET}, 8);
    uint32_t mxcsr = 0xffbf;
    uint16_t control = 0x0f40;
    int returns = strcmp(kind, "returns") == 0, steps = strcmp(kind, "steps") == 0, faults = strcmp(kind, "faults") == 0;
    int gate = strcmp(kind, "gate") == 0, restores = strcmp(kind, "restores") == 0, port = strcmp(kind, "port") == 0;
    int stack = strcmp(kind, "stack") == 0;
    if (has_keys) __asm__ volatile("wrpkru" : : "a"(0x55555550), "c"(0), "d"(0));
    if (has_vectors > 1)
        __asm__ volatile("vmovdqa64 %0, %%zmm31; vmovdqa64 %%zmm31, %%zmm0; vmovdqa64 %%zmm31, %%zmm15; vmovdqa64 %%zmm31, %%zmm16;"
                         "kmovw %1, %%k1; kmovw %1, %%k7"
                         :
                         : "m"(pattern), "r"(0x5ec2)
                         : "xmm0");
    if (has_vectors > 0)
        __asm__ volatile("vmovdqa %0, %%ymm1; vmovdqa %%ymm1, %%ymm7; vmovdqa %%ymm1, %%ymm14" : : "m"(pattern) : "xmm1");
    __asm__ volatile("movdqa %0, %%xmm2; movdqa %0, %%xmm3; movdqa %0, %%xmm13; ldmxcsr %1" : : "m"(pattern), "m"(mxcsr) : "xmm2");
    __asm__ volatile("fldl %0; fldpi; fldl2e; fldlg2; fldz; fld1; fldpi; fldpi; fldpi; fldcw %1" : : "m"(pattern), "m"(control));
    if (returns) return;
    if (has_bases) {
        __asm__ volatile("rdfsbase %0" : "=r"(saved_base));
        __asm__ volatile("wrgsbase %0" : : "r"(SECRET >> 17));
    }
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%gs" : : "r"(0x2b), "r"(3));
    if (steps) __asm__ volatile("pushq $0x102; popfq; nop; nop");
    if (faults) *(volatile int *)(SECRET >> 17) = 1;
    if (gate) ((void (*)(void))AMPOULE_GATE_ADDRESS)();
    if (restores) __asm__ volatile("jmp *%0" : : "r"(RESTORE_GATE));
    if (port) __asm__ volatile("rep insb" : : "d"(0xf4), "D"(pattern), "c"(3000));
    __asm__ volatile("mov %0, %%fs" : : "r"(2));
    if (has_bases) __asm__ volatile("wrfsbase %0" : : "r"(SECRET >> 17));
    if (stack) __asm__ volatile("mov %0, %%rsp; pushq $0" : : "r"(SECRET));
    __asm__ volatile("pushq $0x244ed7; popfq; mov %0, %%rsp; 1: jmp 1b" : : "r"(SECRET));
}

static unsigned char hidden[1 << 20];

static void hide(void) {
    for (size_t i = 0; i < sizeof hidden; i += 8) memcpy(hidden + i, &(uint64_t){SECRET}, 8);
    unsigned char *stack = __builtin_alloca(1 << 16);
    for (size_t i = 0; i < 1 << 16; i += 8) memcpy(stack + i, &(uint64_t){SECRET}, 8);
    __asm__ volatile("" : : "r"(stack) : "memory");
    FILE *file = fopen("/tmp/hidden", "w");
    if (file != NULL) fwrite(hidden, 1, 1 << 18, file), fclose(file);
    for (;;) {
        unsigned char *more = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED) break;
        memcpy(more, hidden, 1 << 18);
    }
}

/* Words of the secret that can be found, in all memory that can be had; the one in this program's own code aside. */
static uint64_t search(void) {
    uint64_t found = 0, pages = 0, word = ~0x5ec2e75ec2e75ec2ull;
    for (;;) {
        uint64_t *more = mmap(NULL, 1 << 14, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED) break;
        for (size_t i = 0; i < (1 << 14) / 8; i++) found += more[i] != 0;
        /* Written, so that the page is really there. */
        for (size_t i = 0; i < (1 << 14) / 8; i += 512) more[i] = 1, pages++;
    }
    /* Below the stack pointer, in static memory, and where the host's mappings are. */
    const uint64_t *stack = __builtin_frame_address(0);
    for (size_t i = 1; i < (1 << 15) / 8; i++) found += stack[-(long)i] == ~word;
    for (size_t i = 0; i < sizeof hidden / 8; i++) found += ((uint64_t *)hidden)[i] != 0;
    for (size_t i = 0; i < 8192 / 8; i++) found += ((const uint64_t *)RESTORED)[i] == ~word;
    for (size_t i = 0; i < 4096 / 8; i++) found += ((const uint64_t *)AMPOULE_INFO_ADDRESS)[i] == ~word;
    if (fopen("/tmp/hidden", "r") != NULL) found++;
    return pages == 0 ? 1 : found;
}

static int observe_call(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size;
    look();
    return ampoule_reply_set(to, &seen, sizeof seen);
}
AMPOULE_EXPORT_NAMED(observe_call, "observe", "(bytes) -> bytes");

static int scramble_call(const void *input, size_t size, struct ampoule_reply *to) {
    char kind[16] = "";
    memcpy(kind, input, size < sizeof kind ? size : sizeof kind - 1);
    mess(kind);
    return ampoule_reply_set(to, "", 0);
}
AMPOULE_EXPORT_NAMED(scramble_call, "scramble", "(bytes) -> bytes");

int main(int argc, char **argv) {
    try_instructions();
    if (argc < 2) return ampoule_serve(), 2;
    if (strcmp(argv[1], "observe") == 0) {
        look();
        return fwrite(&seen, sizeof seen, 1, stdout) == 1 ? 0 : 1;
    }
    if (strcmp(argv[1], "hide") == 0) return hide(), 0;
    if (strcmp(argv[1], "search") == 0) return printf("%lu\n", (unsigned long)search()), 0;
    mess(argc > 2 ? argv[2] : "returns");
    return 0;
}
