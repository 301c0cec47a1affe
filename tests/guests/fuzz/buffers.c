/* guest: variants=bare
 * Serves by itself, and waits for each input with another buffer than for the one before. */
#include "../../../sdk/c/ampoule_gate.h"

#include <stdlib.h>

static volatile unsigned char buffers[2][8192];

int main(void) {
    static const char table[] = "export LLVMFuzzerTestOneInput\n", name[] = "none";
    uint64_t outcome = AMPOULE_OUTCOME_NONE;
    if (call_by_syscall(AMPOULE_CALL_FUZZ, AMPOULE_FUZZ_WINDOW, (uint64_t)(uintptr_t)name, 4, 8, 0).result < 0) return 2;
    call_by_syscall(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, (uint64_t)(uintptr_t)table, sizeof table - 1, 0, 0);
    for (unsigned turn = 0;; turn++) {
        volatile unsigned char *buffer = buffers[turn % 2];
        uint64_t size = 4096 * (turn % 2 + 1);
        struct answer asked = call_by_jump(AMPOULE_BATCH_GATE_ADDRESS, AMPOULE_CALL_NEXT, outcome, 0, 0, (uint64_t)(uintptr_t)buffer, size);
        if (asked.result > 0 && buffer[0] == 'a') abort();
        outcome = AMPOULE_OUTCOME_RETURNED;
    }
}
