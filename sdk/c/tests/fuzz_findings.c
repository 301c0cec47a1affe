/* What fuzz.c tells a harness about each error of memory, word by word: compiled with the checks, against a harness in the same program. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>

#define AMPOULE_TEST_HOST "../tests/fuzz_host.h"
#define main run_target
#include "../fuzz.c"
#undef main

/* What the compiler may know of a pointer would let it leave the error out. */
#define HIDE(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

static jmp_buf back;
static void go_back(void) { longjmp(back, 1); }

static char table_of_ten[10];
static volatile char sink;
static const uint8_t *input_bytes;
static size_t input_size;

static uint64_t word(size_t at) {
    uint64_t it;
    memcpy(&it, reported + at, sizeof it);
    return it;
}

static int text_is(const char *text) {
    return word(AMPOULE_FINDING_TEXT_SIZE) == strlen(text) && memcmp((void *)word(AMPOULE_FINDING_TEXT), text, strlen(text)) == 0;
}

/* Runs what must end in a finding; whether it has these words. */
static int finds(void (*run)(char *), char *with, uint64_t kind, uint64_t access, uint64_t size, long distance, uint64_t block_size) {
    memset(reported, 0, sizeof reported);
    if (setjmp(back) == 0) {
        run(with);
        return 0;
    }
    return word(AMPOULE_FINDING_KIND) == kind && word(AMPOULE_FINDING_ACCESS) == access && word(AMPOULE_FINDING_SIZE) == size &&
           word(AMPOULE_FINDING_BLOCK_SIZE) == block_size && word(AMPOULE_FINDING_ADDRESS) == word(AMPOULE_FINDING_BLOCK) + (uint64_t)distance;
}

static void store(char *at) { *at = 1; }
static void load(char *at) { sink = *at; }
static void load_word(char *at) {
    const uint64_t *words = (const uint64_t *)(void *)at;
    sink = (char)words[0];
}
static void drop(char *at) { free(at); }
static void copy_nine(char *to) {
    char from[9] = {0};
    size_t size = sizeof from;
    HIDE(size);
    memcpy(to, from, size);
}
static void behind_a_variable(char *unused) {
    char variable[20], *hidden = variable;
    (void)unused;
    HIDE(hidden);
    store(hidden + 20);
}

static char *make(size_t size) {
    char *block = (char *)malloc(size);
    HIDE(block);
    return block;
}

static void the_heap(void) {
    char *block = make(24), *other;
    CHECK(finds(store, block + 24, AMPOULE_HEAP_OVERFLOW, 2, 1, 24, 24));
    CHECK(word(AMPOULE_FINDING_ALLOCATED) != 0 && word(AMPOULE_FINDING_FREED) == 0);
    CHECK(finds(load, block - 1, AMPOULE_HEAP_OVERFLOW, 1, 1, -1, 24));
    CHECK(finds(load_word, block + 20, AMPOULE_HEAP_OVERFLOW, 1, 8, 24, 24));
    CHECK(finds(copy_nine, block + 16, AMPOULE_HEAP_OVERFLOW, 2, 9, 24, 24));
    CHECK(finds(drop, block + 16, AMPOULE_BAD_FREE, 0, 0, 16, 24));
    free(block);
    CHECK(finds(load, block + 3, AMPOULE_USE_AFTER_FREE, 1, 1, 3, 24));
    CHECK(word(AMPOULE_FINDING_ALLOCATED) != 0 && word(AMPOULE_FINDING_FREED) != 0);
    CHECK(finds(drop, block, AMPOULE_DOUBLE_FREE, 0, 0, 0, 24));
    CHECK(finds(drop, table_of_ten, AMPOULE_BAD_FREE, 0, 0, (long)address(table_of_ten), 0));
    /* A block of no bytes is nobody's to touch. */
    other = make(0);
    CHECK(finds(load, other, AMPOULE_HEAP_OVERFLOW, 1, 1, 0, 0));
    free(other);
}

static void variables(void) {
    CHECK(finds(behind_a_variable, NULL, AMPOULE_STACK_OVERFLOW, 2, 1, 20, 20) && text_is("variable"));
    CHECK(finds(store, table_of_ten + 10, AMPOULE_GLOBAL_OVERFLOW, 2, 1, 10, 10) && text_is("table_of_ten"));
}

static char own_pool[64] __attribute__((aligned(16)));

static void what_the_target_poisons(void) {
    __asan_poison_memory_region(own_pool + 16, 32);
    CHECK(finds(load, own_pool + 20, AMPOULE_INVALID_ACCESS, 1, 1, (long)address(own_pool + 20), 0));
    load(own_pool + 15);
    __asan_unpoison_memory_region(own_pool + 16, 32);
    load(own_pool + 20);
}

/* What no program can have is the processor's to refuse, and no reason for the check itself to fault. */
static void no_address_at_all(void) {
    __asan_load8_noabort((uintptr_t)0xdeadbeefdeadbeef);
    __asan_storeN_noabort((uintptr_t)-8, 16);
}

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_bytes = data;
    input_size = size;
    CHECK(first_bad(address(data), size) == 0);
    if (size != 0) {
        CHECK(finds(load, (char *)address(data) + size, AMPOULE_INPUT_OVERFLOW, 1, 1, (long)size, size));
        CHECK(finds(load, (char *)address(data) - 1, AMPOULE_INPUT_OVERFLOW, 1, 1, -1, size));
    }
    return 0;
}

static void the_input(void) {
    static const struct step steps[] = {
        {"thirteen byte", 13, AMPOULE_OUTCOME_RETURNED},
        {"", 0, AMPOULE_OUTCOME_RETURNED},
        {"sixteen bytes !!", 16, AMPOULE_OUTCOME_RETURNED},
        {"x", 1, AMPOULE_OUTCOME_RETURNED},
    };
    char name[] = "target", *argv[] = {name, NULL};
    script = steps;
    script_steps = 4;
    attachable = 1;
    CHECK(run_target(1, argv) == 1 && script_at == 4 && input_size == 1);
    /* Between inputs none of the buffer is anybody's, restored or not. */
    CHECK(first_bad(address(input_bytes), 1) != 0 && first_bad(address(input_bytes) + 8, 1) != 0);
}

int main(void) {
    fuzzing = 1;
    found = go_back;
    the_heap();
    variables();
    what_the_target_poisons();
    no_address_at_all();
    the_input();
    printf("fuzz findings: %d checks\n", checks);
    return 0;
}
