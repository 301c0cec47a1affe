/* The names by which programs allocate, in the place of the C library's. What stands behind them is `heap_allocate`, `heap_free` and `heap_size`. */
#ifndef AMPOULE_FUZZ_ALLOCATOR_H
#define AMPOULE_FUZZ_ALLOCATOR_H
#include <errno.h>

#include "base.h"

#define CALLER __builtin_frame_address(0)

OWN inline void *or_no_memory(void *at) {
    if (UNLIKELY(at == NULL)) errno = ENOMEM;
    return at;
}

#ifdef __cplusplus
extern "C" {
#define NO_THROW throw()
#else
#define NO_THROW
#endif

PUBLIC void *malloc(size_t size) NO_THROW {
    int fresh;
    return or_no_memory(heap_allocate(size, 16, CALLER, &fresh));
}

PUBLIC void free(void *at) NO_THROW {
    if (at != NULL) heap_free(at, CALLER);
}

PUBLIC void *calloc(size_t count, size_t each) NO_THROW {
    size_t size;
    int fresh = 0;
    void *at = __builtin_mul_overflow(count, each, &size) ? NULL : heap_allocate(size, 16, CALLER, &fresh);
    if (at != NULL && !fresh) __builtin_memset(at, 0, size);
    return or_no_memory(at);
}

/* Always moves, so that a use of the old block is found. */
PUBLIC void *realloc(void *at, size_t size) NO_THROW {
    int fresh;
    size_t had = at == NULL ? 0 : heap_size(at);
    void *moved = NULL;
    if (at == NULL || size != 0) {
        moved = heap_allocate(size, 16, CALLER, &fresh);
        if (moved == NULL) return or_no_memory(moved);
        if (at != NULL) __builtin_memcpy(moved, at, had < size ? had : size);
    }
    if (at != NULL) heap_free(at, CALLER);
    return moved;
}

PUBLIC void *reallocarray(void *at, size_t count, size_t each) NO_THROW {
    size_t size;
    return __builtin_mul_overflow(count, each, &size) ? or_no_memory(NULL) : realloc(at, size);
}

PUBLIC void *memalign(size_t align, size_t size) NO_THROW {
    int fresh;
    if (align == 0 || (align & (align - 1)) != 0 || align > (size_t)1 << 30) {
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(heap_allocate(size, align, CALLER, &fresh));
}

PUBLIC void *aligned_alloc(size_t align, size_t size) NO_THROW { return memalign(align, size); }

PUBLIC int posix_memalign(void **to, size_t align, size_t size) NO_THROW {
    int fresh;
    void *at;
    if (align < sizeof(void *) || (align & (align - 1)) != 0 || align > (size_t)1 << 30) return EINVAL;
    at = heap_allocate(size, align, CALLER, &fresh);
    if (at == NULL) return ENOMEM;
    *to = at;
    return 0;
}

PUBLIC void *valloc(size_t size) NO_THROW { return memalign(PAGE_BYTES, size); }

PUBLIC void *pvalloc(size_t size) NO_THROW {
    return __builtin_add_overflow(size, PAGE_BYTES - 1, &size) ? or_no_memory(NULL) : memalign(PAGE_BYTES, size / PAGE_BYTES * PAGE_BYTES);
}

PUBLIC size_t malloc_usable_size(void *at) NO_THROW { return at == NULL ? 0 : heap_size(at); }

#ifdef __cplusplus
}
#endif
#endif
