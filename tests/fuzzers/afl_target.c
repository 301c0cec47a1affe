/* The target under AFL++, with test cases in shared memory: a child for each input, or, with -DPERSISTENT, one for all of them. */
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

__AFL_FUZZ_INIT();

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(void) {
    __AFL_INIT();
    unsigned char *input = __AFL_FUZZ_TESTCASE_BUF;
#ifdef PERSISTENT
    while (__AFL_LOOP(1u << 30)) LLVMFuzzerTestOneInput(input, (size_t)__AFL_FUZZ_TESTCASE_LEN);
#else
    LLVMFuzzerTestOneInput(input, (size_t)__AFL_FUZZ_TESTCASE_LEN);
#endif
    return 0;
}
