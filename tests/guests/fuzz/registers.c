/* Leaves everything that a program has besides memory changed, and its memory as well, without a system call: so it can be run in batches. An input that
 * does not find everything as the first one did aborts, and says where. Then the input's first byte says how it ends. */
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define DIRECTION 0x400u
#define ALIGNMENT 0x40000u
/* AT_HWCAP2: programs may use RDGSBASE. */
#define HAS_BASES 2u

static unsigned in_data = 1;
static unsigned in_bss;
static unsigned *in_heap;
static __thread unsigned in_thread_local;
static int has_avx, has_bases;
static uint64_t flags_at_first;
static uint32_t mxcsr_at_first;
static uint16_t control_at_first;

static void expect(int first, const char *where) {
    if (first) return;
    /* Whatever is wrong with the flags, what follows is C. */
    __asm__ volatile("cld");
    fprintf(stderr, "leaks: %s\n", where);
    abort();
}

static uint64_t flags(void) {
    uint64_t flags;
    __asm__ volatile("pushfq\n\tpopq %0" : "=r"(flags));
    return flags & (DIRECTION | ALIGNMENT);
}

static uint16_t control_word(void) {
    uint16_t word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

/* Of the tags of the x87 stack: all empty, as a call finds them. */
static uint16_t status_word(void) {
    uint16_t word;
    __asm__ volatile("fnstsw %0" : "=a"(word));
    return word;
}

__attribute__((target("avx"))) static unsigned upper_half(void) {
    unsigned was;
    __asm__ volatile("vextractf128 $1, %%ymm14, %%xmm13\n\tvmovd %%xmm13, %0" : "=r"(was) : : "xmm13");
    return was;
}

__attribute__((target("avx"))) static void set_upper_half(unsigned to) {
    __asm__ volatile("vmovd %0, %%xmm13\n\tvinsertf128 $1, %%xmm13, %%ymm14, %%ymm14" : : "r"(to) : "xmm13");
}

static unsigned in_xmm(unsigned to) {
    unsigned was;
    __asm__ volatile("movd %%xmm15, %0\n\tmovd %1, %%xmm15" : "=&r"(was) : "r"(to));
    return was;
}

static uint64_t gs_base(void) {
    uint64_t base;
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}

static int avx_is_on(void) {
    unsigned eax, ebx, ecx, edx, low, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    if (!(ecx & bit_OSXSAVE) || !(ecx & bit_AVX)) return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    has_avx = avx_is_on();
    has_bases = (getauxval(AT_HWCAP2) & HAS_BASES) != 0;
    in_heap = calloc(1, sizeof *in_heap);
    flags_at_first = flags();
    mxcsr_at_first = _mm_getcsr();
    control_at_first = control_word();
    return 0;
}

static void look(void) {
    expect(in_xmm(1) == 0, "XMM15");
    expect(!has_avx || upper_half() == 0, "YMM14's upper half");
    expect(flags() == flags_at_first, "the flags");
    expect(_mm_getcsr() == mxcsr_at_first, "MXCSR");
    expect(control_word() == control_at_first, "the x87 control word");
    expect((status_word() & 0x3800) == 0, "the x87 stack");
    expect(!has_bases || gs_base() == 0, "the base of GS");
    expect(in_data++ == 1, "initialised data");
    expect(in_bss++ == 0, "zeroed data");
    expect((*in_heap)++ == 0, "the heap");
    expect(in_thread_local++ == 0, "thread-local data");
}

static void leave_changed(void) {
    uint16_t control = 0x0c7f;
    if (has_avx) set_upper_half(7);
    if (has_bases) {
        uint64_t base = 0x1234000;
        __asm__ volatile("wrgsbase %0" : : "r"(base));
    }
    /* Rounds down, and raises nothing. */
    _mm_setcsr(0x3f80);
    __asm__ volatile("fldpi\n\tfldcw %0" : : "m"(control));
    __asm__ volatile("movl $0x77, %%eax\n\tmovl %%eax, %%r12d" : : : "eax", "r12");
}

static unsigned __attribute__((noinline)) recurse(unsigned depth) {
    volatile unsigned char frame[512];
    frame[depth % sizeof frame] = (unsigned char)depth;
    return recurse(depth + 1) + frame[depth % sizeof frame];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char end = size == 0 ? 'r' : (char)data[0];
    look();
    leave_changed();
    switch (end) {
    case 'h':
        for (;;) __asm__ volatile("");
    case 'a': abort();
    case 's': return (int)recurse(0);
    case 'o': {
        size_t all = (size_t)1 << 40;
        volatile unsigned char *at = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (size_t i = 0; i < all; i += 4096) at[i] = 1;
        return 0;
    }
    case 'g':
        /* Returns with flags that no function may leave behind. */
        __asm__ volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq" : : "r"((uint64_t)(DIRECTION | ALIGNMENT)) : "cc", "memory");
        return 0;
    default: return 0;
    }
}
