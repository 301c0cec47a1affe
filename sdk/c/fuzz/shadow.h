/* The shadow: a byte for every 8 bytes of the program says which of them may be touched: 0 all, 1 to 7 the first so many, and a negative number none, and why.
 *
 *     shadow of an address = address / 8 + 0x7fff8000        the compiler is told: sdk/c/fuzz/memory-clang.flags, memory-gcc.flags
 *
 *     0x0            0x7fff8000                    0x10007fff8000             0x7fffffffffff
 *     │ program, brk │ shadow, only reserved       │ … heap, PIE, mappings, stack │
 *
 * Compiled code poisons what lies around the variables of a frame by itself; globals, the heap and the input are poisoned here. */
#ifndef AMPOULE_FUZZ_SHADOW_H
#define AMPOULE_FUZZ_SHADOW_H
#include "report.h"

#define SHADOW_OFFSET ((uintptr_t)0x7fff8000)
/* For all 47 bits of a program's addresses. */
#define SHADOW_BYTES ((size_t)1 << 44)

/* More than a report and what it calls put on the stack. */
#define REPORT_STACK_BYTES ((size_t)8 << 10)

/* Why memory may not be touched: the numbers of AddressSanitizer, some of which compiled code writes, and the last one ours. */
enum {
    STACK_LEFT = -0x0f,
    STACK_MIDDLE = -0x0e,
    STACK_RIGHT = -0x0d,
    STACK_AFTER_RETURN = -0x0b,
    STACK_AFTER_SCOPE = -0x08,
    ALLOCA_LEFT = -0x36,
    ALLOCA_RIGHT = -0x35,
    GLOBAL_REDZONE = -0x07,
    HEAP_REDZONE = -0x06,
    HEAP_FREED = -0x03,
    BY_THE_TARGET = -0x09,
    INPUT_REDZONE = -0x20
};

static int shadow_ready;

OWN inline int8_t *shadow_of(uintptr_t at) { return (int8_t *)((at >> 3) + SHADOW_OFFSET); }

/* Whole units of 8 bytes. Written out, because a block of the usual size is a few bytes of shadow, for which a call is long, and because memset itself is
 * checked; the barriers keep compilers from calling it nevertheless. */
OWN inline void set_shadow(uintptr_t at, size_t size, int value) {
    size_t count = size / 8;
    int8_t *shadow = shadow_of(at);
    uint64_t word = (uint8_t)value * 0x0101010101010101u;
    if (UNLIKELY(count > 512)) {
        __asm__ volatile("rep stosb" : "+D"(shadow), "+c"(count) : "a"(value) : "memory");
        return;
    }
    for (; count >= 8; count -= 8, shadow += 8) {
        __builtin_memcpy(shadow, &word, 8);
        __asm__ volatile("" : : : "memory");
    }
    for (; count != 0; count--) {
        *shadow++ = (int8_t)value;
        __asm__ volatile("" : : : "memory");
    }
}

OWN inline void unpoison(uintptr_t at, size_t size) {
    set_shadow(at, size, 0);
    if (size % 8 != 0) *shadow_of(at + size) = (int8_t)(size % 8);
}

/* Whoever reports an error needs stack for it. Frames that were left without returning from them may have left their shadow there, and an error found on
 * the way would be reported, too, and so on. */
OWN void open_stack_below(void) {
    uintptr_t here = address(__builtin_frame_address(0)) & ~(uintptr_t)7;
    set_shadow(here - REPORT_STACK_BYTES, REPORT_STACK_BYTES, 0);
}

/* Before the first constructor: what they call is checked already. */
OWN void reserve_shadow(void) {
    if (shadow_ready) return;
    find_stack();
    if (map_pages(SHADOW_OFFSET, SHADOW_BYTES, LINUX_PROT_READ_WRITE, LINUX_MAP_RESERVED_AT) != SHADOW_OFFSET) {
        say("ampoule: something lies where the memory checks need their shadow, from 0x7fff8000 to 0x10007fff8000");
        abort();
    }
    shadow_ready = 1;
}

__attribute__((section(".init_array.00000"), used)) static void (*reserve_first)(void) = reserve_shadow;
#endif
