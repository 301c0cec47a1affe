/* With -fsanitize=kernel-address: the shadow, the heap that keeps it, and the input, which is poisoned but for its own bytes. */
#ifndef AMPOULE_FUZZ_CHECKED_H
#define AMPOULE_FUZZ_CHECKED_H
#include "heap.h"

#include "allocator.h"
#include "checks.h"
#include "libc.h"

/* What is given frames before the first input: the beginning of the arena, and the stack as far as most inputs reach. */
#define TOUCHED_ARENA_BYTES ((size_t)1 << 20)
#define TOUCHED_STACK_BYTES ((size_t)256 << 10)

#ifdef __cplusplus
extern "C" {
#endif
/* The linker's: the end of the program's own data. */
extern char end[] __attribute__((weak));
#ifdef __cplusplus
}
#endif

/* A range and its shadow. */
OWN void touch_both(uintptr_t at, size_t size) {
    touch(at, size);
    touch(address(shadow_of(at)), size / 8);
}

OWN void prepare_memory(const struct input_buffer *input) {
    uintptr_t here = address(__builtin_frame_address(0));
    reserve_shadow();
    touch(address(shadow_of(address(__executable_start))), (size_t)(end - __executable_start) / 8);
    if (heap_begin()) touch_both(heap.begin, TOUCHED_ARENA_BYTES);
    touch_both(here - TOUCHED_STACK_BYTES, TOUCHED_STACK_BYTES + 1);
    if (input != NULL) set_shadow(address(input->bytes) - PAGE_BYTES, input->size + 2 * PAGE_BYTES, INPUT_REDZONE);
}

OWN inline const unsigned char *open_input(const struct input_buffer *input, size_t size) {
    checked_input = address(input->bytes);
    checked_input_size = size;
    unpoison(checked_input, size);
    return input->bytes;
}

OWN inline void close_input(const struct input_buffer *input, size_t size) {
    set_shadow(address(input->bytes), (size + 7) & ~(size_t)7, INPUT_REDZONE);
}

OWN inline void check_read(const void *at, size_t size) { check_range(address(at), size, READ); }
#endif
