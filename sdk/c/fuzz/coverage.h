/* Coverage: where the counters of edges are, which the target's own code counts in, and what was compared with what.
 *
 *     each file's constructor ──► __sanitizer_cov_8bit_counters_init, _pcs_init ──► FUZZ COUNTERS, PROGRAM_COUNTERS
 *     each comparison         ──► __sanitizer_cov_trace_…                       ──► an entry in the window, if the harness gave one
 *
 * Linked files have their counters in one section, so every constructor names the same range. */
#ifndef AMPOULE_FUZZ_COVERAGE_H
#define AMPOULE_FUZZ_COVERAGE_H
#include "base.h"

/* Bytes of the window of comparisons: 4095 of them. */
#ifndef AMPOULE_FUZZ_COMPARISONS_BYTES
#define AMPOULE_FUZZ_COMPARISONS_BYTES (128 << 10)
#endif
#if AMPOULE_FUZZ_COMPARISONS_BYTES < 64
#error "AMPOULE_FUZZ_COMPARISONS_BYTES: the window needs room for an entry"
#endif

/* As fuzz::MAX_RANGES. */
#define RANGES_MAX 256
/* Cases of a `switch` that are logged each time; one that has more is a table, and would crowd out all else. */
#define SWITCH_CASES_MAX 32

static struct range {
    unsigned char *begin;
    size_t size;
} counter_ranges[RANGES_MAX];
static size_t counter_range_count;

/* ---- counters ------------------------------------------------------------------------------------------------------------------- */

OWN void zero_counters(void) {
    size_t i;
    for (i = 0; i < counter_range_count; i++) __builtin_memset(counter_ranges[i].begin, 0, counter_ranges[i].size);
}

#ifdef __cplusplus
extern "C" {
#endif

PUBLIC void __sanitizer_cov_8bit_counters_init(unsigned char *begin, unsigned char *end) {
    size_t i;
    if (begin == end || counter_range_count == RANGES_MAX) return;
    for (i = 0; i < counter_range_count; i++)
        if (counter_ranges[i].begin == begin) return;
    counter_ranges[counter_range_count].begin = begin;
    counter_ranges[counter_range_count++].size = (size_t)(end - begin);
    fuzz(AMPOULE_FUZZ_COUNTERS, address(begin), (uint64_t)(end - begin), 0);
}

PUBLIC void __sanitizer_cov_pcs_init(const uintptr_t *begin, const uintptr_t *end) {
    static const uintptr_t *told[RANGES_MAX];
    static size_t count;
    size_t i;
    if (begin == end || count == RANGES_MAX) return;
    for (i = 0; i < count; i++)
        if (told[i] == begin) return;
    told[count++] = begin;
    fuzz(AMPOULE_FUZZ_PROGRAM_COUNTERS, address(begin), (uint64_t)(address(end) - address(begin)), 0);
}

#ifdef __cplusplus
}
#endif

/* ---- comparisons ---------------------------------------------------------------------------------------------------------------- */

/* The window, or NULL: the harness gave none. */
static uint64_t *comparisons_window;
/* The same, or NULL: nobody will read what this input is compared with. */
static uint64_t *comparisons;

#define COMPARISONS_MAX ((AMPOULE_FUZZ_COMPARISONS_BYTES - AMPOULE_COMPARISONS_HEADER_BYTES) / AMPOULE_COMPARISONS_ENTRY_BYTES)
/* What KIND says of a left operand that is a constant. */
#define CONSTANT 0x100

OWN void open_comparisons(void) {
    static const char name[] = "comparisons";
    struct answer window = fuzz(AMPOULE_FUZZ_WINDOW, address(name), sizeof name - 1, AMPOULE_FUZZ_COMPARISONS_BYTES);
    if (window.result > 0) comparisons_window = (uint64_t *)at_address((uintptr_t)window.result);
}

OWN inline void forget_comparisons(void) {
    if (comparisons_window == NULL) return;
    *comparisons_window = 0;
    comparisons = comparisons_window[AMPOULE_COMPARISONS_UNWANTED / 8] == 0 ? comparisons_window : NULL;
}

OWN inline __attribute__((always_inline)) void log_comparison(const void *behind, uint64_t kind, uint64_t left, uint64_t right) {
    uint64_t *window = comparisons, *entry, count;
    if (UNLIKELY(window == NULL)) return;
    count = (*window)++;
    if (UNLIKELY(count >= COMPARISONS_MAX)) return;
    entry = window + AMPOULE_COMPARISONS_HEADER_BYTES / 8 + count * (AMPOULE_COMPARISONS_ENTRY_BYTES / 8);
    entry[AMPOULE_COMPARISONS_ADDRESS / 8] = address(behind);
    entry[AMPOULE_COMPARISONS_KIND / 8] = kind;
    entry[AMPOULE_COMPARISONS_LEFT / 8] = left;
    entry[AMPOULE_COMPARISONS_RIGHT / 8] = right;
}

#ifdef __cplusplus
extern "C" {
#endif

#define COMPARISON(name, type, kind) \
    PUBLIC void name(type left, type right) { log_comparison(__builtin_return_address(0), kind, left, right); }

COMPARISON(__sanitizer_cov_trace_cmp1, uint8_t, 1)
COMPARISON(__sanitizer_cov_trace_cmp2, uint16_t, 2)
COMPARISON(__sanitizer_cov_trace_cmp4, uint32_t, 4)
COMPARISON(__sanitizer_cov_trace_cmp8, uint64_t, 8)
COMPARISON(__sanitizer_cov_trace_const_cmp1, uint8_t, CONSTANT | 1)
COMPARISON(__sanitizer_cov_trace_const_cmp2, uint16_t, CONSTANT | 2)
COMPARISON(__sanitizer_cov_trace_const_cmp4, uint32_t, CONSTANT | 4)
COMPARISON(__sanitizer_cov_trace_const_cmp8, uint64_t, CONSTANT | 8)

/* `cases`: how many, the value's bits, and each. */
PUBLIC void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases) {
    uint64_t count = cases[0] < SWITCH_CASES_MAX ? cases[0] : SWITCH_CASES_MAX, i;
    if (comparisons == NULL) return;
    for (i = 0; i < count; i++) log_comparison(__builtin_return_address(0), CONSTANT | (cases[1] / 8), cases[2 + i], value);
}

/* A division by zero is worth reaching. */
PUBLIC void __sanitizer_cov_trace_div4(uint32_t divisor) { log_comparison(__builtin_return_address(0), CONSTANT | 4, 0, divisor); }
PUBLIC void __sanitizer_cov_trace_div8(uint64_t divisor) { log_comparison(__builtin_return_address(0), CONSTANT | 8, 0, divisor); }

/* An index and the target of a call are compared with nothing. */
PUBLIC void __sanitizer_cov_trace_gep(uintptr_t index) { (void)index; }
PUBLIC void __sanitizer_cov_trace_pc_indir(uintptr_t callee) { (void)callee; }

#ifdef __cplusplus
}
#endif
#endif
