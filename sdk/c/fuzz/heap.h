/* A heap whose blocks lie apart, with memory between them that nobody may touch, and whose freed blocks rest in a queue before they are used again.
 *
 *     arena ┌────────┬──────────┬───┬────────┬─────────┬─┬────────┬──────┬───────┄      poisoned a little ahead of `top`,
 *           │ header │ block    │   │ header │ block   │ │ header │ …    │ top           never written to before it is used
 *           └────────┴──────────┴───┴────────┴─────────┴─┴────────┴──────┴───────┄
 *           ◄ poisoned ►        ◄ poisoned ►                                       freed: the block is poisoned too
 *
 * A header is what lies between two blocks, so that nothing is spent on it but what is needed anyway. Freeing writes to the header and to the shadow,
 * never to the block. Where a block goes depends on the calls before alone: the same in every run. For one thread. */
#ifndef AMPOULE_FUZZ_HEAP_H
#define AMPOULE_FUZZ_HEAP_H
#include "report.h"
#include "shadow.h"

/* Bytes of freed blocks that rest. */
#ifndef AMPOULE_FUZZ_QUARANTINE_BYTES
#define AMPOULE_FUZZ_QUARANTINE_BYTES (512 << 10)
#endif

/* Far from where programs, their stacks and their mappings are, and always the same. */
#define ARENA_ADDRESS ((uintptr_t)0x200000000000)
/* Only reserved: 64 GiB. */
#define ARENA_BYTES ((size_t)1 << 36)
/* How far behind `top` the arena is poisoned: an access far behind the last block is one, too. */
#define ARENA_AHEAD ((size_t)64 << 10)

#define BLOCK_ALIGN ((size_t)16)
/* Of a block that was freed, so much is poisoned at both ends. */
#define FREED_EDGE_BYTES ((size_t)1 << 20)

struct block {
    /* One of the states below, mixed with its address, so that a copy of a header is none. */
    uint32_t state;
    uint32_t class_of;
    /* Bytes that were asked for, and from this header to the next. */
    size_t size;
    size_t bytes;
    /* The one that was freed next, or the next one to use again. */
    struct block *next;
    struct stack allocated;
    struct stack freed;
};

#define HEADER_BYTES sizeof(struct block)

/* Filler lies in front of a block that is aligned to more. */
enum { LIVE = 0x4c495645, FREED = 0x46524545, FILLER = 0x46494c4c };

/* Sizes in steps of 16 bytes to 1 KiB, and of an eighth beyond. */
#define FINE_CLASSES 64
#define CLASSES (FINE_CLASSES + 8 * 40)

static struct {
    uintptr_t begin;
    uintptr_t end;
    uintptr_t top;
    uintptr_t poisoned;
    struct block *unused[CLASSES];
    struct block *resting_first;
    struct block *resting_last;
    size_t resting;
} heap;

OWN inline uintptr_t content(const struct block *block) { return address(block) + HEADER_BYTES; }

OWN inline uint32_t state_of(const struct block *block, uint32_t state) { return state ^ (uint32_t)(address(block) >> 4); }

OWN int heap_begin(void) {
    if (heap.begin != 0) return 1;
    reserve_shadow();
    heap.begin = map_pages(ARENA_ADDRESS, ARENA_BYTES, LINUX_PROT_READ_WRITE, LINUX_MAP_RESERVED_AT);
    if (heap.begin == 0) heap.begin = map_pages(0, ARENA_BYTES, LINUX_PROT_READ_WRITE, LINUX_MAP_RESERVED);
    heap.top = heap.poisoned = heap.begin;
    heap.end = heap.begin + ARENA_BYTES;
    return heap.begin != 0;
}

/* The bytes of a block of this size with its header, rounded to its class. */
OWN inline size_t block_bytes(size_t size, uint32_t *class_of) {
    size_t units = (size + HEADER_BYTES + (size == 0) + BLOCK_ALIGN - 1) / BLOCK_ALIGN, step;
    unsigned top, shift;
    if (units < FINE_CLASSES) {
        *class_of = (uint32_t)units;
        return units * BLOCK_ALIGN;
    }
    shift = 63u - (unsigned)__builtin_clzll(units) - 3;
    step = (size_t)1 << shift;
    units = (units + step - 1) & ~(step - 1);
    top = 63u - (unsigned)__builtin_clzll(units);
    *class_of = FINE_CLASSES + (top - 6) * 8 + (uint32_t)(units >> (top - 3) & 7);
    return units * BLOCK_ALIGN;
}

/* ---- allocating ----------------------------------------------------------------------------------------------------------------- */

/* Opens `size` bytes of a block; from `clean` on its shadow says already that all may be touched. */
OWN inline void open_block(const struct block *block, size_t size, uintptr_t clean) {
    uintptr_t begin = content(block), end = address(block) + block->bytes, open_end = begin + size / 8 * 8;
    if (begin < clean) set_shadow(begin, (open_end < clean ? open_end : clean) - begin, 0);
    if (open_end < end && size % 8 != 0) {
        *shadow_of(open_end) = (int8_t)(size % 8);
        open_end += 8;
    }
    if (open_end < end) set_shadow(open_end, end - open_end, HEAP_REDZONE);
}

/* Takes bytes at the top, of which the first are a header; `clean` as above. */
OWN uintptr_t take_top(size_t bytes, size_t header, uintptr_t *clean) {
    uintptr_t begin = heap.top, end = begin + bytes;
    if (bytes > heap.end - begin || heap.end - end < ARENA_AHEAD) return 0;
    heap.top = *clean = end;
    if (end + PAGE_BYTES <= heap.poisoned) return begin;
    /* A large block's shadow stays untouched where it is not poisoned yet. */
    if (bytes >= ARENA_AHEAD) {
        if (begin + header > heap.poisoned) {
            set_shadow(heap.poisoned, begin + header - heap.poisoned, HEAP_REDZONE);
            heap.poisoned = begin + header;
        }
        if (heap.poisoned < end) {
            *clean = heap.poisoned;
            heap.poisoned = end;
        }
    }
    set_shadow(heap.poisoned, end + ARENA_AHEAD - heap.poisoned, HEAP_REDZONE);
    heap.poisoned = end + ARENA_AHEAD;
    return begin;
}

/* A block, or NULL; whether it was never used, and is all zeros. */
OWN inline struct block *allocate(size_t size, size_t align, const void *frame, int *fresh) {
    uint32_t class_of;
    size_t bytes;
    struct block *block;
    uintptr_t clean;
    if (UNLIKELY(size > ARENA_BYTES || !heap_begin())) return NULL;
    bytes = block_bytes(size, &class_of);
    block = heap.unused[class_of];
    /* Only the first is looked at: what is asked for in a loop comes back in its order. */
    *fresh = block == NULL || (content(block) & (align - 1)) != 0;
    if (!*fresh) {
        heap.unused[class_of] = block->next;
        clean = address(block) + bytes;
    } else {
        uintptr_t gap = 0, begin;
        if (align > BLOCK_ALIGN)
            for (gap = -(heap.top + HEADER_BYTES) & (align - 1); gap != 0 && gap < HEADER_BYTES;) gap += align;
        begin = take_top(gap + bytes, gap + HEADER_BYTES, &clean);
        if (begin == 0) return NULL;
        if (gap != 0) {
            block = (struct block *)begin;
            block->state = state_of(block, FILLER);
            block->bytes = gap;
            block->size = 0;
        }
        block = (struct block *)(begin + gap);
        block->bytes = bytes;
        block->class_of = class_of;
    }
    block->state = state_of(block, LIVE);
    block->size = size;
    walk_stack(&block->allocated, frame);
    open_block(block, size, clean);
    return block;
}

/* ---- looking up ----------------------------------------------------------------------------------------------------------------- */

/* The block that an address of the arena is in, or the nearest to it. From the first one on: only a report needs it. */
OWN struct block *block_near(uintptr_t at) {
    struct block *before = NULL, *block;
    uintptr_t here;
    if (at < heap.begin || at >= heap.end) return NULL;
    for (here = heap.begin; here < heap.top; here += block->bytes) {
        block = (struct block *)here;
        /* Overwritten by what no check sees. */
        if (block->bytes < HEADER_BYTES || block->bytes % BLOCK_ALIGN != 0 || block->bytes > heap.top - here) return before;
        if (block->state == state_of(block, FILLER)) continue;
        if (at < content(block)) {
            uintptr_t end = before == NULL ? 0 : content(before) + before->size;
            return before != NULL && (at < end || at - end <= content(block) - at) ? before : block;
        }
        before = block;
    }
    return before;
}

OWN void describe_block(struct finding *finding, const struct block *block) {
    if (block == NULL) return;
    finding->block = content(block);
    finding->block_size = block->size;
    finding->allocated = &block->allocated;
    if (block->state == state_of(block, FREED)) finding->freed = &block->freed;
}

/* ---- freeing -------------------------------------------------------------------------------------------------------------------- */

OWN __attribute__((noinline, cold, noreturn)) void report_free(uintptr_t at) {
    struct finding finding = {AMPOULE_BAD_FREE, NEITHER, 0, 0, 0, 0, NULL, NULL, NULL};
    const struct block *block = block_near(at);
    open_stack_below();
    finding.address = at;
    describe_block(&finding, block);
    if (block != NULL && content(block) == at && finding.freed != NULL) finding.kind = AMPOULE_DOUBLE_FREE;
    report(&finding);
}

/* The block whose content begins here: anything else is an error of the target's. */
OWN inline struct block *live_block(uintptr_t at) {
    struct block *block = (struct block *)(at - HEADER_BYTES);
    if (UNLIKELY(at % BLOCK_ALIGN != 0 || at < heap.begin + HEADER_BYTES || at >= heap.top || block->state != state_of(block, LIVE))) report_free(at);
    return block;
}

/* The middle of a large block is left as it is: its shadow would be memory that nobody asked for. */
OWN inline void poison_freed(uintptr_t at, size_t size) {
    if (UNLIKELY(size > 2 * FREED_EDGE_BYTES)) {
        set_shadow(at, FREED_EDGE_BYTES, HEAP_FREED);
        at += size - FREED_EDGE_BYTES;
        size = FREED_EDGE_BYTES;
    }
    set_shadow(at, size, HEAP_FREED);
}

OWN inline void release(struct block *block, const void *frame) {
    block->state = state_of(block, FREED);
    block->next = NULL;
    walk_stack(&block->freed, frame);
    poison_freed(content(block), (block->size + 7) / 8 * 8);
    if (heap.resting_first == NULL)
        heap.resting_first = block;
    else
        heap.resting_last->next = block;
    heap.resting_last = block;
    heap.resting += block->bytes;
    while (UNLIKELY(heap.resting > AMPOULE_FUZZ_QUARANTINE_BYTES)) {
        struct block *rested = heap.resting_first;
        heap.resting_first = rested->next;
        heap.resting -= rested->bytes;
        rested->next = heap.unused[rested->class_of];
        heap.unused[rested->class_of] = rested;
    }
}

/* ---- as the allocator's names ask for it ----------------------------------------------------------------------------------------- */

OWN inline void *heap_allocate(size_t size, size_t align, const void *frame, int *fresh) {
    struct block *block = allocate(size, align, frame, fresh);
    return block == NULL ? NULL : (void *)content(block);
}

OWN inline void heap_free(void *at, const void *frame) { release(live_block(address(at)), frame); }

OWN inline size_t heap_size(void *at) { return live_block(address(at))->size; }
#endif
