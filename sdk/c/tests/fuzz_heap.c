/* The heaps of fuzz.c under random calls: blocks keep their contents, do not overlap, are aligned, and under the shadow exactly their bytes may be touched. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <malloc.h>

#include "check.h"
#define main run_target
#include "../fuzz.c"
#undef main

#define BLOCKS 400

static struct {
    unsigned char *at;
    size_t size;
    unsigned char filled;
} held[BLOCKS];

static uint64_t random_state = 1;

/* xorshift64 */
static uint64_t random_below(uint64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

/* Mostly small, sometimes beyond every class and page that a heap knows. */
static size_t random_size(void) { return random_below((uint64_t)1 << random_below(random_below(20) == 0 ? 20 : 11)); }

/* Reads the shadow, if there is one: all of the block, and nothing around it. */
static void check_edges(const unsigned char *at, size_t size, int live) {
#ifdef AMPOULE_FUZZ_SHADOW
    CHECK((first_bad(address(at), size) == 0) == (live || size == 0));
    CHECK(first_bad(address(at) + size, 1) != 0 && first_bad(address(at) + size + 15, 1) != 0);
    CHECK(first_bad(address(at) - 1, 1) != 0 && first_bad(address(at) - 64, 1) != 0);
#else
    (void)at, (void)size, (void)live;
#endif
}

static void check_block(size_t i, size_t size) {
    size_t at;
    CHECK(malloc_usable_size(held[i].at) == held[i].size);
    for (at = 0; at < size; at += at < 64 || at + 64 > size ? 1 : 61) CHECK(held[i].at[at] == held[i].filled);
}

static void fill(size_t i, size_t size) {
    held[i].size = size;
    held[i].filled = (unsigned char)(1 + random_below(255));
    memset(held[i].at, held[i].filled, size);
    check_edges(held[i].at, size, 1);
}

static void allocate_one(size_t i) {
    size_t size = random_size(), align = (size_t)16 << random_below(9), at;
    switch (random_below(4)) {
    case 0:
        held[i].at = (unsigned char *)calloc(size, 1);
        CHECK(held[i].at != NULL);
        for (at = 0; at < size; at++) CHECK(held[i].at[at] == 0);
        break;
    case 1:
        CHECK(posix_memalign((void **)&held[i].at, align, size) == 0 && address(held[i].at) % align == 0);
        break;
    default: held[i].at = (unsigned char *)malloc(size); break;
    }
    CHECK(held[i].at != NULL && address(held[i].at) % 16 == 0);
    fill(i, size);
}

static void resize_one(size_t i) {
    unsigned char *was = held[i].at;
    size_t had = held[i].size, size = random_size() + 1;
    held[i].at = (unsigned char *)realloc(held[i].at, size);
    CHECK(held[i].at != NULL && held[i].at != was);
    held[i].size = size;
    check_block(i, had < size ? had : size);
    fill(i, size);
}

#ifdef AMPOULE_FUZZ_SHADOW
/* Blocks that are aligned to more are used again as others are. */
static void check_reuse(void) {
    size_t i;
    uintptr_t top = 0;
    for (i = 0; i < 100000; i++) {
        void *at = memalign(64, 200);
        CHECK(at != NULL && address(at) % 64 == 0);
        free(at);
        if (i == 20000) top = heap.top;
    }
    CHECK(heap.top == top);
}

/* A region of the target's that begins and ends anywhere: poisoned are its whole words, and given back is all of it. */
static void check_regions(void) {
    unsigned char *at = (unsigned char *)malloc(64);
    size_t begin, size;
    for (begin = 0; begin < 16; begin++)
        for (size = 0; size < 32; size++) {
            __asan_poison_memory_region(at + begin, size);
            CHECK(first_bad(address(at), begin) == 0 && first_bad(address(at) + begin + size, 64 - begin - size) == 0);
            CHECK(size < 15 || first_bad(address(at) + begin, size) != 0);
            __asan_unpoison_memory_region(at + begin, size);
            CHECK(first_bad(address(at), 64) == 0);
        }
    free(at);
}
#endif

int main(void) {
    size_t round, i;
    volatile size_t size = SIZE_MAX - 1;
    void *none;
    for (round = 0; round < 20000; round++) {
        i = random_below(BLOCKS);
        if (held[i].at == NULL) {
            allocate_one(i);
            continue;
        }
        check_block(i, held[i].size);
        if (random_below(3) == 0) {
            resize_one(i);
            continue;
        }
        free(held[i].at);
        check_edges(held[i].at, 0, 0);
        held[i].at = NULL;
    }
    for (i = 0; i < BLOCKS; i++)
        if (held[i].at != NULL) check_block(i, held[i].size);
    /* What no heap has. */
    errno = 0;
    CHECK(malloc(size) == NULL);
    CHECK(errno == ENOMEM);
    CHECK(calloc(size / 2, 3) == NULL && realloc(NULL, size) == NULL && posix_memalign(&none, 3, 8) == EINVAL);
    errno = 0;
    CHECK(pvalloc(size) == NULL && errno == ENOMEM);
    CHECK(reallocarray(NULL, size, 2) == NULL && memalign(64, size) == NULL && aligned_alloc(64, size) == NULL);
#ifdef AMPOULE_FUZZ_SHADOW
    check_reuse();
    check_regions();
#endif
    /* What is not used is not touched: this may be more than the machine has. */
    CHECK((none = malloc((size_t)1 << 35)) != NULL);
    free(none);
    free(NULL);
    printf("fuzz heap: %d checks\n", checks);
    return 0;
}
