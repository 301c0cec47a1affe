/* Which checks of memory a program has, and where an input lies under each.
 *
 *     -fsanitize=kernel-address     every access is checked: poisoned behind the input's end    checked.h
 *     -DAMPOULE_FUZZ_GUARD_PAGES    a page that is not accessible behind it                     guard.h
 *     neither                       the C library's heap, and nothing behind the input */
#ifndef AMPOULE_FUZZ_MEMORY_H
#define AMPOULE_FUZZ_MEMORY_H
#include "base.h"

#if defined(__SANITIZE_ADDRESS__)
#define AMPOULE_FUZZ_SHADOW
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AMPOULE_FUZZ_SHADOW
#endif
#endif

struct input_buffer {
    unsigned char *bytes;
    size_t size;
};

/* Between two pages that are not accessible. */
OWN int map_input(struct input_buffer *input, size_t size) {
    uintptr_t at = map_pages(0, size + 2 * PAGE_BYTES, LINUX_PROT_READ_WRITE, LINUX_MAP_MEMORY);
    if (at == 0) return 0;
    input->bytes = at_address(at + PAGE_BYTES);
    input->size = size;
    return call_by_syscall(LINUX_MPROTECT, at, PAGE_BYTES, LINUX_PROT_NONE, 0, 0).result == 0 &&
           call_by_syscall(LINUX_MPROTECT, at + PAGE_BYTES + size, PAGE_BYTES, LINUX_PROT_NONE, 0, 0).result == 0;
}

/* Gives every page of a range its frame now: later it would cost each input that is the first to touch it. */
OWN void touch(uintptr_t at, size_t size) {
    uintptr_t page = at & ~(PAGE_BYTES - 1);
    for (; page < at + size; page += PAGE_BYTES) {
        volatile unsigned char *byte = at_address(page);
        *byte = *byte;
    }
}

#if defined(AMPOULE_FUZZ_SHADOW) && defined(AMPOULE_FUZZ_GUARD_PAGES)
#error "-fsanitize=kernel-address and AMPOULE_FUZZ_GUARD_PAGES are two heaps: take one"
#elif defined(AMPOULE_FUZZ_SHADOW)
#include "checked.h"
#elif defined(AMPOULE_FUZZ_GUARD_PAGES)
#include "guard.h"
#else
OWN inline const unsigned char *open_input(const struct input_buffer *input, size_t size) {
    (void)size;
    return input->bytes;
}

OWN inline void close_input(const struct input_buffer *input, size_t size) {
    (void)input;
    (void)size;
}

/* Before the first input; of a program that has no inputs of this kind, with NULL. */
OWN void prepare_memory(const struct input_buffer *input) { (void)input; }

OWN inline void check_read(const void *at, size_t size) {
    (void)at;
    (void)size;
}
#endif
#endif
