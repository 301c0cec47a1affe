/* What the parts of fuzz.c cost, for docs/fuzzing-targets.md: a target that measures itself, and no test. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 2000000

static volatile unsigned char table[4096];
static volatile unsigned result;

static double nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void pairs(size_t size) {
    double begin = nanoseconds();
    for (int i = 0; i < ROUNDS; i++) {
        void *block = malloc(size);
        __asm__ volatile("" : "+r"(block) : : "memory");
        free(block);
    }
    printf("malloc(%zu) and free: %.1f ns\n", size, (nanoseconds() - begin) / ROUNDS);
}

static void loads(void) {
    double begin = nanoseconds();
    unsigned sum = 0;
    for (int i = 0; i < ROUNDS; i++) sum += table[i % sizeof table];
    result = sum;
    printf("a load of a byte, and its loop: %.2f ns\n", (nanoseconds() - begin) / ROUNDS);
}

static void branches(void) {
    double begin = nanoseconds();
    unsigned sum = 0;
    for (int i = 0; i < ROUNDS; i++)
        if (table[i % sizeof table] == (unsigned char)i) sum++;
    result = sum;
    printf("the same with a comparison: %.2f ns\n", (nanoseconds() - begin) / ROUNDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)data, (void)size;
    pairs(24);
    pairs(1000);
    loads();
    branches();
    return 0;
}
