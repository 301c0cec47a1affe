/* The stack: large frames, deep calls and alloca, up to three quarters of the usual eight MiB. */
#include "../check.h"
#include <alloca.h>

static __attribute__((noinline)) uint32_t deep(uint32_t depth) {
    volatile unsigned char room[1000];
    for (unsigned i = 0; i < sizeof room; i += 100) room[i] = (unsigned char)(depth + i);
    uint32_t below = depth ? deep(depth - 1) : 0;
    return below + room[900] + room[depth % 10 * 100];
}
static __attribute__((noinline)) uint32_t wide(size_t size) {
    unsigned char *room = alloca(size);
    memset(room, (int)size, size);
    return checksum(CHECKSUM_START, room, size);
}

int main(void) {
    printf("%u\n", deep(5500));
    for (size_t size = 1; size <= 4 << 20; size *= 4) printf("%zu %08x\n", size, wide(size));
    printf("%u\n", deep(10));
    return 0;
}
