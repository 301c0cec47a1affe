/* guest: variants=memory,guard
 * The input's first byte chooses an error of memory, which the checks must name, and its second how far it goes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What the compiler may know of a pointer would let it leave the error out. */
#define HIDE(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

static char small_table[10];
static volatile char sink;

static __attribute__((noinline)) unsigned char *make(size_t size) {
    unsigned char *block = malloc(size);
    memset(block, 1, size);
    HIDE(block);
    return block;
}

static __attribute__((noinline)) unsigned char *resize(unsigned char *block, size_t size) { return realloc(block, size); }

static __attribute__((noinline)) void drop(void *block) { free(block); }

static __attribute__((noinline)) void behind_a_variable(size_t at) {
    char variable[16];
    char *hidden = variable;
    HIDE(hidden);
    hidden[at] = 1;
    sink = hidden[0];
}

static __attribute__((noinline)) void behind_its_scope(void) {
    char *kept;
    {
        char gone[24];
        kept = gone;
        HIDE(kept);
        kept[0] = 1;
    }
    HIDE(kept);
    sink = kept[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned char *block, *other;
    char *table = small_table;
    size_t far = size > 1 ? data[1] : 0;
    if (size == 0) return 0;
    HIDE(table);
    HIDE(data);
    switch (data[0]) {
    case 'h': block = make(24), block[24 + far] = 1, sink = (char)block[0], drop(block); break;
    case 'l': block = make(24), sink = (char)block[-1 - (long)far], drop(block); break;
    case 'f': block = make(24), drop(block), sink = (char)block[far]; break;
    case 'r': block = make(24), other = resize(block, 100), sink = (char)block[far], drop(other); break;
    case 'd': block = make(24), drop(block), drop(block); break;
    case 'b': block = make(64), drop(block + 16); break;
    case 's': behind_a_variable(16 + far); break;
    case 'g': table[10 + far] = 1; break;
    case 'c': behind_its_scope(); break;
    case 'i': sink = (char)data[size + far]; break;
    case 'm': block = make(24), memcpy(block + 16, table, 9), drop(block); break;
    case 'z': block = make(24), sink = (char)strlen((char *)block), drop(block); break;
    /* Beyond what a slot of the guarded heap holds. */
    case 'H': block = make(100000), block[100000 + far] = 1, drop(block); break;
    case 'F': block = make(100000), drop(block), sink = (char)block[far]; break;
    case 'D': block = make(100000), drop(block), drop(block); break;
    /* None of these is one. */
    case 'o':
        for (size_t i = 1; i < 3000; i = i * 3 / 2 + 1) {
            block = make(i);
            block = resize(block, i + i / 2);
            memset(block, 2, i + i / 2);
            other = calloc(i, 3);
            if (other[i * 3 - 1] != 0) abort();
            memcpy(other, block, i);
            drop(block), drop(other);
        }
        if (posix_memalign((void **)&block, 256, 100) != 0 || (uintptr_t)block % 256 != 0) abort();
        memset(block, 1, 100);
        drop(block);
        behind_a_variable(15);
        table[9] = 1;
        break;
    default: break;
    }
    return 0;
}
