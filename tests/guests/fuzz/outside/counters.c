/* Runs a target outside Ampoule, in its own process, as libFuzzer would, and prints the counters that each input left: what a harness has to read. In place
 * of fuzz.c.
 *
 *     stdin    bytes of an input (4, little-endian), the input, …
 *     stdout   bytes of the counters (4), whether it aborted (1), the counters, … */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNCOUNTED __attribute__((no_sanitize("coverage")))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned char *counters;
static uint32_t count;
static sigjmp_buf before;

UNCOUNTED void __sanitizer_cov_8bit_counters_init(unsigned char *begin, unsigned char *end) {
    counters = begin;
    count = (uint32_t)(end - begin);
}

UNCOUNTED void __sanitizer_cov_pcs_init(const uintptr_t *begin, const uintptr_t *end) { (void)begin, (void)end; }
UNCOUNTED void __sanitizer_cov_trace_cmp1(uint8_t a, uint8_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_cmp2(uint16_t a, uint16_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_cmp4(uint32_t a, uint32_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_cmp8(uint64_t a, uint64_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_const_cmp1(uint8_t a, uint8_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_const_cmp2(uint16_t a, uint16_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_const_cmp4(uint32_t a, uint32_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_const_cmp8(uint64_t a, uint64_t b) { (void)a, (void)b; }
UNCOUNTED void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases) { (void)value, (void)cases; }

UNCOUNTED static void aborted(int signal) {
    (void)signal;
    siglongjmp(before, 1);
}

UNCOUNTED int main(int argc, char **argv) {
    static unsigned char input[1 << 20];
    uint32_t size;
    signal(SIGABRT, aborted);
    if (LLVMFuzzerInitialize != NULL) LLVMFuzzerInitialize(&argc, &argv);
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        unsigned char has_aborted = 0;
        if (size > sizeof input || fread(input, 1, size, stdin) != size) return 1;
        memset(counters, 0, count);
        if (sigsetjmp(before, 1) == 0)
            LLVMFuzzerTestOneInput(input, size);
        else
            has_aborted = 1;
        fwrite(&count, sizeof count, 1, stdout);
        fwrite(&has_aborted, 1, 1, stdout);
        fwrite(counters, 1, count, stdout);
    }
    return 0;
}
