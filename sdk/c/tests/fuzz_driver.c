/* The driver and the coverage part of fuzz.c against a harness in the same program. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define AMPOULE_TEST_HOST "../tests/fuzz_host.h"
#define AMPOULE_FUZZ_MAX_INPUT 4096
#define main run_target
#include "../fuzz.c"
#undef main

static unsigned char edges[100], more_edges[3];
static uintptr_t blocks[200];

static size_t calls, initialized;
static unsigned char seen[8][16];
static size_t seen_size[8];

#ifdef __cplusplus
extern "C" {
#endif
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    CHECK(*argc >= 1 && (*argv)[0] != NULL);
    initialized++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CHECK(calls < 8);
    seen_size[calls] = size;
    memcpy(seen[calls++], data, size < 16 ? size : 16);
    edges[size % sizeof edges]++;
    __sanitizer_cov_trace_const_cmp4(0x464f4f, size == 0 ? 0 : data[0]);
    return (int)(size % 2) - 1;
}
#ifdef __cplusplus
}
#endif

static uint64_t window_word(size_t at) {
    uint64_t word;
    memcpy(&word, window + at, sizeof word);
    return word;
}

static const unsigned char all_zero[sizeof edges] = {0};

/* The first time all counters are 0; afterwards the window has the last input's comparisons alone. */
static void look_between(void) {
    if (script_at == 0) CHECK(memcmp(edges, all_zero, sizeof edges) == 0);
    if (script_at != 0 && script[script_at - 1].outcome == AMPOULE_OUTCOME_RETURNED) CHECK(window_word(0) == 1);
}

static void told_once_however_many_constructors_say_it(void) {
    __sanitizer_cov_8bit_counters_init(edges, edges + sizeof edges);
    __sanitizer_cov_pcs_init(blocks, blocks + 200);
    __sanitizer_cov_8bit_counters_init(edges, edges + sizeof edges);
    __sanitizer_cov_pcs_init(blocks, blocks + 200);
    __sanitizer_cov_8bit_counters_init(more_edges, more_edges + sizeof more_edges);
    __sanitizer_cov_8bit_counters_init(edges + 1, edges + 1);
    CHECK(counters_told == 2 && counters[0].at == address(edges) && counters[0].size == sizeof edges);
    CHECK(counters[1].at == address(more_edges) && counters[1].size == sizeof more_edges);
    CHECK(program_counters_told == 1 && program_counters[0].at == address(blocks) && program_counters[0].size == 200 * sizeof blocks[0]);
    CHECK(harness);
}

static char large[4097];

static void inputs_are_served_until_the_host_breaks_off(void) {
    static const struct step steps[] = {
        {"", 0, AMPOULE_OUTCOME_RETURNED},
        {"one", 3, AMPOULE_OUTCOME_RETURNED},
        {large, sizeof large, AMPOULE_OUTCOME_BAD_ARGUMENTS},
        {"FUZZ", 4, AMPOULE_OUTCOME_RETURNED},
    };
    char name[] = "target", *argv[] = {name, NULL};
    script = steps;
    script_steps = 4;
    script_at = 0;
    between = look_between;
    attachable = 1;
    edges[7] = 5;
    CHECK(run_target(1, argv) == 1);
    CHECK(script_at == 4 && initialized == 1 && windows == 1 && starts == 0);
    CHECK(gate_used == AMPOULE_BATCH_GATE_ADDRESS);
    CHECK(calls == 3 && seen_size[0] == 0 && seen_size[1] == 3 && seen_size[2] == 4);
    CHECK(memcmp(seen[1], "one", 3) == 0 && memcmp(seen[2], "FUZZ", 4) == 0);
    CHECK(edges[7] == 0 && edges[0] == 1 && edges[3] == 1 && edges[4] == 1);
    between = NULL;
}

static void without_a_harness_the_call_gate_is_used(void) {
    static const struct step steps[] = {{"x", 1, AMPOULE_OUTCOME_RETURNED}};
    char name[] = "target", *argv[] = {name, NULL};
    fuzzing = harness = 0;
    script = steps;
    script_steps = 1;
    script_at = 0;
    calls = 0;
    CHECK(run_target(1, argv) == 1);
    CHECK(calls == 1 && gate_used == AMPOULE_GATE_ADDRESS);
}

static void a_comparison_is_an_entry_and_the_count_goes_on_beyond_the_room(void) {
    uint64_t cases[] = {3, 16, 1, 2, 3}, i;
    comparisons = (uint64_t *)(void *)window;
    forget_comparisons();
    __sanitizer_cov_trace_cmp1(0x12, 0x34);
    __sanitizer_cov_trace_const_cmp8(0x1122334455667788, 99);
    __sanitizer_cov_trace_switch(7, cases);
    CHECK(window_word(0) == 5);
    CHECK(window_word(0x10) != 0 && window_word(0x18) == 1 && window_word(0x20) == 0x12 && window_word(0x28) == 0x34);
    CHECK(window_word(0x38) == 0x108 && window_word(0x40) == 0x1122334455667788 && window_word(0x48) == 99);
    CHECK(window_word(0x58) == 0x102 && window_word(0x60) == 1 && window_word(0x68) == 7 && window_word(0xa0) == 3);
    forget_comparisons();
    /* Of bytes the word that differs is logged, or the last one if none does. */
    log_bytes(NULL, (const unsigned char *)"12345678abcdef", (const unsigned char *)"12345678abcdeg", 14);
    log_bytes(NULL, (const unsigned char *)"AMPL", (const unsigned char *)"xxxx", 4);
    log_bytes(NULL, (const unsigned char *)"same", (const unsigned char *)"same", 4);
    log_bytes(NULL, (const unsigned char *)"", (const unsigned char *)"", 0);
    CHECK(window_word(0) == 3 && window_word(0x18) == 2 && window_word(0x20) == 0x6665 && window_word(0x28) == 0x6765);
    CHECK(window_word(0x38) == 4 && window_word(0x40) == 0x4c504d41 && window_word(0x58) == 4 && window_word(0x60) == window_word(0x68));
    CHECK(compared_bytes("abc", "abd", SIZE_MAX) == 3 && compared_bytes("ab", "ab", SIZE_MAX) == 3 && compared_bytes("ab", "ab", 2) == 2);
    forget_comparisons();
    for (i = 0; i < 10000; i++) __sanitizer_cov_trace_cmp8(i, i);
    CHECK(window_word(0) == 10000);
    CHECK(window_word(sizeof window - 16) == 0 || window_word(sizeof window - 16) < 10000);
    forget_comparisons();
    comparisons = NULL;
    __sanitizer_cov_trace_cmp8(1, 2);
    CHECK(window_word(0) == 0);
}

static void a_program_with_a_main_starts_once(void) {
    fuzzing = 1;
    windows = 0;
    edges[9] = 9;
    ampoule_fuzz_start();
    CHECK(starts == 1 && windows == 1 && edges[9] == 0 && window_word(0) == 0);
}

/* Outside: what the arguments name, and stdin, each once. */
static void outside_files_are_run(void) {
    char name[] = "target", missing[] = "/nonexistent/file", option[] = "-runs=1", file[] = "/tmp/ampoule-fuzz-XXXXXX";
    char *argv[] = {name, option, file, NULL}, *bad[] = {name, missing, NULL};
    int descriptor = mkstemp(file);
    CHECK(descriptor >= 0 && write(descriptor, "contents", 8) == 8);
    fuzzing = attachable = harness = 0;
    calls = 0;
    CHECK(run_target(3, argv) == 0 && calls == 1 && seen_size[0] == 8 && memcmp(seen[0], "contents", 8) == 0);
    CHECK(run_target(2, bad) == 1 && calls == 1);
    CHECK(ftruncate(descriptor, 1 << 20) == 0 && run_target(3, argv) == 1 && calls == 1);
    CHECK(lseek(descriptor, 8, SEEK_SET) == 8 && ftruncate(descriptor, 9) == 0 && dup2(descriptor, 0) == 0);
    CHECK(run_target(1, argv) == 0 && calls == 2 && seen_size[1] == 1);
    unlink(file);
}

int main(void) {
    fuzzing = 1;
    told_once_however_many_constructors_say_it();
    inputs_are_served_until_the_host_breaks_off();
    without_a_harness_the_call_gate_is_used();
    a_comparison_is_an_entry_and_the_count_goes_on_beyond_the_room();
    a_program_with_a_main_starts_once();
    outside_files_are_run();
    printf("fuzz driver: %d checks\n", checks);
    return 0;
}
