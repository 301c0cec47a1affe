/* guest: variants=coverage,plain
 * The input's first byte says how it ends: each a verdict of its own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static volatile int zero, hundred = 100;

/* Keeps every frame: what is called is not the last thing it does, and its array is used. */
static unsigned __attribute__((noinline)) recurse(unsigned depth) {
    volatile unsigned char frame[512];
    frame[depth % sizeof frame] = (unsigned char)depth;
    return recurse(depth + 1) + frame[depth % sizeof frame];
}

/* Until the heap says no, which few programs are prepared for. */
static void allocate_without_end(void) {
    for (;;) {
        unsigned char *more = malloc(1 << 20);
        if (more == NULL) abort();
        for (size_t i = 0; i < 1 << 20; i += 4096) ((volatile unsigned char *)more)[i] = 1;
    }
}

/* A reservation: no call says no, the memory just runs out. */
static void touch_without_end(void) {
    size_t size = (size_t)1 << 40;
    volatile unsigned char *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) abort();
    for (size_t i = 0; i < size; i += 4096) all[i] = 1;
}

/* Writes over what the heap keeps between its blocks, and lets it find out. */
static void corrupt_heap(void) {
    unsigned char *blocks[16], *volatile over;
    for (size_t i = 0; i < 16; i++) blocks[i] = malloc(24);
    over = blocks[3];
    memset(over, 0xff, 256);
    for (size_t i = 0; i < 16; i++) free(blocks[i]);
    for (size_t i = 0; i < 64; i++) free(malloc(i * 40));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    switch (data[0]) {
    case 'r': return 0;
    case 'h':
        for (;;) __asm__ volatile("");
    case 'm': allocate_without_end(); return 0;
    case 't': touch_without_end(); return 0;
    case 's': return (int)recurse(0);
    case 'a': abort();
    case 'j': ((void (*)(void))(uintptr_t)0x123456789000)(); return 0;
    case 'w': *(volatile unsigned char *)(uintptr_t)&LLVMFuzzerTestOneInput = 0; return 0;
    case 'd': return hundred / zero;
    case 'e': exit(3);
    case 'n': *(volatile int *)(uintptr_t)(8 + (unsigned)zero) = 1; return 0;
    case 'i': __asm__ volatile("int3"); return 0;
    case 'u': __asm__ volatile("ud2"); return 0;
    case 'c': corrupt_heap(); return 0;
    default: return 0;
    }
}
