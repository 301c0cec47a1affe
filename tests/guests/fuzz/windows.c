/* Asks for windows, and counts its inputs in one. */
#include "../../../sdk/c/ampoule_gate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t *calls;
static unsigned char *last;

/* NULL if there is none. */
static void *window(const char *name, uint64_t bytes) {
    struct answer answer = call_by_syscall(AMPOULE_CALL_FUZZ, AMPOULE_FUZZ_WINDOW, (uint64_t)(uintptr_t)name, strlen(name), bytes, 0);
    return answer.result < 0 ? NULL : (void *)(uintptr_t)answer.result;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    unsigned char *large;
    (void)argc, (void)argv;
    calls = window("calls", 8);
    last = window("last", 1000);
    if (calls == NULL || last == NULL || window("calls", 8) != calls || window("calls", 9) != NULL) abort();
    if (*calls != 0 || window("too large", (4 << 20) - 1000) != NULL || window("", 8) != NULL || window("none", 0) != NULL) abort();
    large = window("large", 3 << 20);
    if (large == NULL) abort();
    for (size_t i = 0; i < 3 << 20; i++)
        if (large[i] != 0) abort();
    large[0] = 1, large[(3 << 20) - 1] = 2;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ++*calls;
    memset(last, 0, 1000);
    memcpy(last, data, size < 1000 ? size : 1000);
    if (size > 0 && data[0] == 'a') abort();
    if (size > 0 && data[0] == 'w' && (window("late", 8) != NULL || window("calls", 8) != calls)) abort();
    return 0;
}
