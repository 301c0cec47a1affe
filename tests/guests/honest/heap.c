/* malloc in the patterns of ordinary programs: small and large, grown, shrunk, aligned, freed in another order. */
#include "../check.h"
#include <malloc.h>
#include <unistd.h>

enum { SLOTS = 512 };

int main(void) {
    static struct { unsigned char *bytes; size_t size; unsigned char fill; } slot[SLOTS];
    uint32_t state = 42, sum = CHECKSUM_START;
    for (int round = 0; round < 20000; round++) {
        uint32_t at = next_number(&state) % SLOTS;
        size_t size = 1 + next_number(&state) % (next_number(&state) % 16 ? 256 : 40000);
        for (size_t i = 0; i < slot[at].size; i++)
            if (slot[at].bytes[i] != slot[at].fill) return printf("FAILED: slot %u was overwritten\n", at), 1;
        switch (next_number(&state) % 3) {
        case 0:
            free(slot[at].bytes);
            slot[at].bytes = malloc(size);
            break;
        case 1:
            slot[at].bytes = realloc(slot[at].bytes, size);
            for (size_t i = 0; i < size && i < slot[at].size; i++)
                if (slot[at].bytes[i] != slot[at].fill) return printf("FAILED: realloc lost bytes\n"), 1;
            break;
        default:
            free(slot[at].bytes);
            slot[at].bytes = calloc(1, size);
            for (size_t i = 0; i < size; i++)
                if (slot[at].bytes[i]) return printf("FAILED: calloc was not zero\n"), 1;
        }
        if (!slot[at].bytes) return printf("FAILED: out of memory\n"), 1;
        slot[at].size = size, slot[at].fill = (unsigned char)round;
        memset(slot[at].bytes, slot[at].fill, size);
    }
    for (int i = 0; i < SLOTS; i++) sum = checksum(sum, slot[i].bytes, slot[i].size), free(slot[i].bytes);
    printf("sum %08x\n", sum);

    /* Beyond the threshold above which malloc maps, and grown from there. */
    size_t size = 1 << 20;
    unsigned char *large = malloc(size);
    CHECK(large != NULL);
    memset(large, 0x5a, size);
    for (; size < 16u << 20; size *= 2) {
        large = realloc(large, size * 2);
        if (!large || large[0] != 0x5a || large[size - 1] != 0x5a) return printf("FAILED: growth\n"), 1;
        memset(large + size, 0x5a, size);
    }
    CHECK(checksum(CHECKSUM_START, large, size) == checksum(CHECKSUM_START, large, size));
    large = realloc(large, 100);
    CHECK(large != NULL && large[99] == 0x5a);
    free(large);
    for (size_t alignment = 16; alignment <= 1 << 16; alignment *= 2) {
        void *aligned = aligned_alloc(alignment, alignment * 3);
        if (!aligned || (uintptr_t)aligned % alignment) return printf("FAILED: alignment %zu\n", alignment), 1;
        memset(aligned, 1, alignment * 3);
        free(aligned);
    }
    volatile size_t absurd = (size_t)1 << 40;
    CHECK(malloc(absurd << 22) == NULL);
    CHECK(calloc(absurd, absurd) == NULL);

    /* Freed memory is given back: far more than any limit allows at once passes through. */
    for (int i = 0; i < 200; i++) {
        char *block = malloc(4 << 20);
        if (!block) return printf("FAILED: round %d found no memory\n", i), 1;
        for (size_t page = 0; page < 4 << 20; page += 4096) block[page] = (char)i;
        free(block);
    }
    puts("800 MiB passed through");
    return 0;
}
