/* Has one edge that depends on the time-stamp counter, so that the same input does not always take the same way. */
#include <stdint.h>
#include <stddef.h>

static volatile unsigned odd, even, calls;

static void __attribute__((noinline)) depends_on_the_time(void) {
    /* A bit that changes every few microseconds; and ways that the compiler does not make one. */
    if (__builtin_ia32_rdtsc() >> 12 & 1) {
        __asm__ volatile("# odd");
        odd++;
    } else {
        __asm__ volatile("# even");
        even++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    calls++;
    if (size > 0 && data[0] == 's') return 0;
    depends_on_the_time();
    return 0;
}
