/* With -DAMPOULE_FUZZ_GUARD_PAGES: a heap for targets that were compiled without checks. Every block ends where a page begins that is not accessible, so that the
 * processor finds an access behind it.
 *
 *     small   ┌──────────┬───────┬──────────┬───────┬───┄     a slot for each block; made once, so that an allocation is no system call
 *             │    block │ guard │    block │ guard │
 *             └──────────┴───────┴──────────┴───────┴───┄
 *     large   ┌────────┬─────────────────┬───────┐            mapped for each block, and unmapped when it is freed, but for its header
 *             │ header │           block │ guard │
 *             └────────┴─────────────────┴───────┘
 *
 * Blocks are aligned to 16 as programs expect, so that up to 15 bytes behind one are not guarded; with -DAMPOULE_FUZZ_GUARD_EXACT they are, and blocks
 * are aligned to nothing. A small block that was freed can still be touched; it is used again only when no slot is left that never was. For one thread. */
#ifndef AMPOULE_FUZZ_GUARD_H
#define AMPOULE_FUZZ_GUARD_H
#include "report.h"

/* Small blocks at once: 16 MiB of them, and twice as many mappings. */
#ifndef AMPOULE_FUZZ_GUARD_SLOTS
#define AMPOULE_FUZZ_GUARD_SLOTS 4096
#endif

#ifdef AMPOULE_FUZZ_GUARD_EXACT
#define GUARD_ALIGN ((size_t)1)
#else
#define GUARD_ALIGN ((size_t)16)
#endif
#define SLOT_BYTES (2 * PAGE_BYTES)
/* From so many bytes on, only what is used of a block counts. */
#define RESERVED_FROM ((size_t)1 << 20)
/* Longest large block. */
#define GUARD_BYTES_MAX ((size_t)1 << 40)

/* Mixed with its address in a large block, so that nothing else looks like one. */
enum { NEVER_USED, LIVE = 0x4c495645, FREED = 0x46524545 };

struct block {
    uint64_t state;
    uintptr_t at;
    size_t size;
    struct block *next;
    struct stack allocated;
    struct stack freed;
};

static struct {
    uintptr_t begin;
    size_t used;
    struct block blocks[AMPOULE_FUZZ_GUARD_SLOTS];
    /* Freed ones, the first to be freed first. */
    struct block *freed_first;
    struct block *freed_last;
} slots;

OWN int slots_begin(void) {
    size_t i;
    if (slots.begin != 0) return 1;
    find_stack();
    slots.begin = map_pages(0, AMPOULE_FUZZ_GUARD_SLOTS * SLOT_BYTES, LINUX_PROT_NONE, LINUX_MAP_RESERVED);
    for (i = 0; i < AMPOULE_FUZZ_GUARD_SLOTS && slots.begin != 0; i++)
        if (call_by_syscall(LINUX_MPROTECT, slots.begin + i * SLOT_BYTES, PAGE_BYTES, LINUX_PROT_READ_WRITE, 0, 0).result != 0) return 0;
    return slots.begin != 0;
}

/* Where a block begins that ends at a page's end, or up to its alignment before. */
OWN inline uintptr_t begin_of(uintptr_t end, size_t size, size_t align) {
    return (end - size) & ~((align > 16 ? align : GUARD_ALIGN) - 1);
}

/* ---- large blocks --------------------------------------------------------------------------------------------------------------- */

OWN inline uint64_t large_state(const struct block *block, uint64_t state) { return state ^ address(block); }

OWN struct block *large_block(size_t size, size_t align) {
    size_t pages = (size + (align > PAGE_BYTES ? align : 0) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    struct block *block;
    uintptr_t at, end;
    if (size > GUARD_BYTES_MAX) return NULL;
    at = map_pages(0, pages + 2 * PAGE_BYTES, LINUX_PROT_READ_WRITE, pages < RESERVED_FROM ? LINUX_MAP_MEMORY : LINUX_MAP_RESERVED);
    if (at == 0) return NULL;
    end = at + PAGE_BYTES + pages;
    call_by_syscall(LINUX_MPROTECT, end, PAGE_BYTES, LINUX_PROT_NONE, 0, 0);
    /* The header is in the page before the one that the block begins in. */
    block = (struct block *)((begin_of(end, size, align) & ~(PAGE_BYTES - 1)) - PAGE_BYTES);
    block->at = begin_of(end, size, align);
    return block;
}

OWN void unmap_large(struct block *block) {
    uintptr_t content = address(block) + PAGE_BYTES, end = (block->at + block->size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    call_by_syscall(LINUX_MUNMAP, content, end + PAGE_BYTES - content, 0, 0, 0);
}

/* ---- the heap ------------------------------------------------------------------------------------------------------------------- */

OWN inline int is_small(uintptr_t at) { return at - slots.begin < AMPOULE_FUZZ_GUARD_SLOTS * SLOT_BYTES; }

OWN inline uintptr_t slot_end(const struct block *block) { return slots.begin + (size_t)(block - slots.blocks) * SLOT_BYTES + PAGE_BYTES; }

OWN struct block *small_block(size_t size, size_t align, int *fresh) {
    struct block *block = slots.freed_first;
    *fresh = slots.used < AMPOULE_FUZZ_GUARD_SLOTS;
    if (*fresh)
        block = &slots.blocks[slots.used++];
    else if (block != NULL)
        slots.freed_first = block->next;
    else
        return NULL;
    block->at = begin_of(slot_end(block), size, align);
    return block;
}

OWN void *heap_allocate(size_t size, size_t align, const void *frame, int *fresh) {
    struct block *block = NULL;
    if (!slots_begin()) return NULL;
    if (size <= PAGE_BYTES && align <= PAGE_BYTES) block = small_block(size + (size == 0), align, fresh);
    if (block != NULL) {
        block->state = LIVE;
    } else {
        block = large_block(size + (size == 0), align);
        if (block == NULL) return NULL;
        *fresh = 1;
        block->state = large_state(block, LIVE);
    }
    block->size = size;
    walk_stack(&block->allocated, frame);
    return at_address(block->at);
}

OWN __attribute__((noinline, cold, noreturn)) void report_free(uintptr_t at, const struct block *block, int is_freed) {
    struct finding finding = {AMPOULE_BAD_FREE, NEITHER, 0, 0, 0, 0, NULL, NULL, NULL};
    finding.address = at;
    if (block != NULL) {
        finding.block = block->at;
        finding.block_size = block->size;
        finding.allocated = &block->allocated;
        if (is_freed) finding.freed = &block->freed;
        if (is_freed && block->at == at) finding.kind = AMPOULE_DOUBLE_FREE;
    }
    report(&finding);
}

/* Where nothing like a header is mapped, looking for one ends the input, too. */
OWN struct block *live_block(uintptr_t at) {
    struct block *block;
    if (is_small(at)) {
        block = &slots.blocks[(at - slots.begin) / SLOT_BYTES];
        if (block->state == NEVER_USED) report_free(at, NULL, 0);
        if (block->state != LIVE || block->at != at) report_free(at, block, block->state == FREED);
        return block;
    }
    block = (struct block *)((at & ~(PAGE_BYTES - 1)) - PAGE_BYTES);
    if (block->state == large_state(block, FREED)) report_free(at, block, 1);
    if (block->state != large_state(block, LIVE)) report_free(at, NULL, 0);
    if (block->at != at) report_free(at, block, 0);
    return block;
}

OWN void heap_free(void *at, const void *frame) {
    struct block *block = live_block(address(at));
    walk_stack(&block->freed, frame);
    if (!is_small(address(at))) {
        block->state = large_state(block, FREED);
        unmap_large(block);
        return;
    }
    block->state = FREED;
    block->next = NULL;
    if (slots.freed_first == NULL)
        slots.freed_first = block;
    else
        slots.freed_last->next = block;
    slots.freed_last = block;
}

OWN size_t heap_size(void *at) { return live_block(address(at))->size; }

#include "allocator.h"

/* ---- the input ------------------------------------------------------------------------------------------------------------------ */

OWN void prepare_memory(const struct input_buffer *input) {
    size_t i;
    (void)input;
    if (!slots_begin()) say("ampoule: no memory for the pages of blocks, see AMPOULE_FUZZ_GUARD_SLOTS");
    for (i = slots.used; i < AMPOULE_FUZZ_GUARD_SLOTS && slots.begin != 0; i++) touch(slots.begin + i * SLOT_BYTES, 1);
}

/* To the end of its buffer, which is a guard's beginning. */
OWN inline const unsigned char *open_input(const struct input_buffer *input, size_t size) {
    unsigned char *at = input->bytes + input->size - size;
    __builtin_memmove(at, input->bytes, size);
    return at;
}

OWN inline void close_input(const struct input_buffer *input, size_t size) {
    (void)input;
    (void)size;
}

/* The processor does. */
OWN inline void check_read(const void *at, size_t size) {
    (void)at;
    (void)size;
}
#endif
