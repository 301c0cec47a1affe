/* The input is a little program, two bytes a step: what it does, and a number. What it finds otherwise than the first input did is a crash: its pages are
 * all zeros, its registers as at the start. */
#include <fcntl.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGES 256

static volatile unsigned char pages[PAGES][4096] __attribute__((aligned(4096)));
static volatile unsigned char left[4096] __attribute__((aligned(4096)));
static volatile unsigned steps;
static volatile int zero;

static unsigned __attribute__((noinline)) recurse(unsigned depth) {
    volatile unsigned char frame[1024];
    frame[depth % sizeof frame] = (unsigned char)depth;
    return depth == 0 ? 0 : recurse(depth - 1) + frame[depth % sizeof frame];
}

static void __attribute__((noinline)) write_page(unsigned number) {
    if (pages[number][number] != 0) abort();
    for (unsigned i = 0; i < 4096; i += 64) pages[number][i] = 1;
    pages[number][number] = 1;
}

static void make_file(unsigned number) {
    char name[32];
    int descriptor;
    snprintf(name, sizeof name, "/tmp/busy%u", number);
    descriptor = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (descriptor < 0) abort();
    if (write(descriptor, name, number % sizeof name) < 0) abort();
}

/* Edges that depend on a number. */
static unsigned __attribute__((noinline)) branch(unsigned number) {
    unsigned sum = 0;
    for (unsigned i = 0; i < number % 23; i++) sum += i;
    if (number & 1) sum ^= 0x5a;
    if (number & 16) sum *= 3;
    return sum;
}

static void step(unsigned char what, unsigned number) {
    static volatile unsigned sum;
    switch (what) {
    case 'w': write_page(number); break;
    case 'b': sum += branch(number); break;
    case 'r': sum += recurse(number * 8); break;
    case 'm': {
        volatile unsigned char *at = mmap(NULL, 4096 * (number + 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at[0] != 0) abort();
        at[4096 * number] = 1;
        break;
    }
    case 'h': {
        volatile unsigned char *at = malloc(number * 64 + 1);
        at[number * 64] = 1;
        break;
    }
    case 'f': make_file(number); break;
    case 'p': printf("%u\n", number), fflush(stdout); break;
    case 't': sum += (unsigned)time(NULL); break;
    case 'x':
        if (_mm_getcsr() != 0x1f80) abort();
        break;
    /* What an input left behind is an edge, and no crash. */
    case 'l':
        if (left[0] != 0) sum += recurse(3);
        left[0] = 1;
        break;
    /* Ends the input in a way after which the machine cannot be used again. */
    case 'i': __asm__ volatile("inb $0xf4, %%al" : : : "al"); break;
    case 'X': _mm_setcsr(0x3f80); break;
    case 'a': abort();
    case 'n': *(volatile int *)(uintptr_t)(8 + (unsigned)zero) = 1; break;
    case 'e': exit((int)number);
    case 's':
        for (;;) __asm__ volatile("");
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (steps != 0) abort();
    for (size_t i = 0; i + 1 < size; i += 2) {
        steps++;
        step(data[i], data[i + 1]);
    }
    return 0;
}
