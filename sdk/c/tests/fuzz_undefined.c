/* A target for UBSan's traps: shifts by its first byte. */
#include <stddef.h>
#include <stdint.h>

static volatile int result;

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size != 0) result = 1 << data[0];
    return 0;
}
