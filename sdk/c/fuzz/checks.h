/* What compiled code calls for each access (docs: "-fsanitize=kernel-address", with calls in the place of inline checks), and around variables and globals. */
#ifndef AMPOULE_FUZZ_CHECKS_H
#define AMPOULE_FUZZ_CHECKS_H
#include "heap.h"
#include "names.h"
#include "shadow.h"

/* ---- errors --------------------------------------------------------------------------------------------------------------------- */

/* The first byte that may not be touched, or 0. */
OWN uintptr_t first_bad(uintptr_t at, size_t size) {
    uintptr_t end = at + size;
    while (at < end) {
        int8_t shadow = *shadow_of(at);
        if (shadow != 0 && (int8_t)(at & 7) >= shadow) return at;
        at = shadow == 0 ? (at | 7) + 1 : at + 1;
    }
    return 0;
}

OWN uint64_t kind_of(int shadow) {
    switch (shadow) {
    case STACK_LEFT:
    case STACK_MIDDLE:
    case STACK_RIGHT:
    case STACK_AFTER_RETURN:
    case ALLOCA_LEFT:
    case ALLOCA_RIGHT: return AMPOULE_STACK_OVERFLOW;
    case STACK_AFTER_SCOPE: return AMPOULE_USE_AFTER_SCOPE;
    case GLOBAL_REDZONE: return AMPOULE_GLOBAL_OVERFLOW;
    case HEAP_REDZONE: return AMPOULE_HEAP_OVERFLOW;
    case HEAP_FREED: return AMPOULE_USE_AFTER_FREE;
    case INPUT_REDZONE: return AMPOULE_INPUT_OVERFLOW;
    default: return AMPOULE_INVALID_ACCESS;
    }
}

OWN __attribute__((noinline, cold, noreturn)) void report_access(uintptr_t at, size_t size, int access) {
    struct finding finding = {0, 0, 0, 0, 0, 0, NULL, NULL, NULL};
    uintptr_t bad = first_bad(at, size);
    int8_t shadow = *shadow_of(bad == 0 ? at : bad);
    open_stack_below();
    /* The part of 8 bytes that may be touched is a variable's end; what lies behind it says whose. */
    if (shadow > 0) shadow = *shadow_of(bad + 8);
    finding.kind = kind_of(shadow);
    finding.access = (uint64_t)access;
    finding.address = bad == 0 ? at : bad;
    finding.size = size;
    switch (finding.kind) {
    case AMPOULE_HEAP_OVERFLOW:
    case AMPOULE_USE_AFTER_FREE: describe_block(&finding, block_near(finding.address)); break;
    case AMPOULE_STACK_OVERFLOW:
    case AMPOULE_USE_AFTER_SCOPE: describe_variable(&finding); break;
    case AMPOULE_GLOBAL_OVERFLOW: describe_global(&finding); break;
    case AMPOULE_INPUT_OVERFLOW:
        finding.block = checked_input;
        finding.block_size = checked_input_size;
        break;
    default: break;
    }
    report(&finding);
}

/* ---- accesses ------------------------------------------------------------------------------------------------------------------- */

/* What no program can have at all is left to the processor, which says it better. */
OWN inline int no_address(uintptr_t at) { return at >> 47 != 0; }

OWN inline __attribute__((always_inline)) void check(uintptr_t at, size_t size, int access) {
    uintptr_t last = at + size - 1;
    int8_t shadow;
    if (UNLIKELY(no_address(at))) return;
    shadow = *shadow_of(at);
    if (LIKELY((at & 7) + size <= 8)) {
        if (LIKELY(shadow == 0) || (int8_t)(last & 7) < shadow) return;
    } else if (shadow == 0) {
        if (size == 16 && *shadow_of(at + 8) != 0) report_access(at, size, access);
        shadow = *shadow_of(last);
        if (LIKELY(shadow == 0) || (int8_t)(last & 7) < shadow) return;
    }
    report_access(at, size, access);
}

OWN inline void check_range(uintptr_t at, size_t size, int access) {
    const int8_t *shadow, *last;
    if (size == 0 || no_address(at) || no_address(at + size) || at + size < at || !shadow_ready) return;
    shadow = shadow_of(at);
    last = shadow_of(at + size - 1);
    for (; last - shadow >= 8; shadow += 8) {
        uint64_t word;
        __builtin_memcpy(&word, shadow, 8);
        if (word != 0) report_access(at, size, access);
    }
    for (; shadow < last; shadow++)
        if (*shadow != 0) report_access(at, size, access);
    if (*last != 0 && (int8_t)((at + size - 1) & 7) >= *last) report_access(at, size, access);
}

#ifdef __cplusplus
extern "C" {
#endif

#define CHECKS(name, access)                                                                            \
    CHECK_OF(name, 1, access)                                                                           \
    CHECK_OF(name, 2, access)                                                                           \
    CHECK_OF(name, 4, access)                                                                           \
    CHECK_OF(name, 8, access)                                                                           \
    CHECK_OF(name, 16, access)                                                                          \
    PUBLIC void __asan_##name##N(uintptr_t at, size_t size) { check_range(at, size, access); }          \
    PUBLIC void __asan_##name##N_noabort(uintptr_t at, size_t size) { check_range(at, size, access); }  \
    PUBLIC void __asan_report_##name##_n(uintptr_t at, size_t size) { report_access(at, size, access); } \
    PUBLIC void __asan_report_##name##_n_noabort(uintptr_t at, size_t size) { report_access(at, size, access); }
#define CHECK_OF(name, bytes, access)                                                                    \
    PUBLIC void __asan_##name##bytes(uintptr_t at) { check(at, bytes, access); }                         \
    PUBLIC void __asan_##name##bytes##_noabort(uintptr_t at) { check(at, bytes, access); }               \
    PUBLIC void __asan_report_##name##bytes(uintptr_t at) { report_access(at, bytes, access); }          \
    PUBLIC void __asan_report_##name##bytes##_noabort(uintptr_t at) { report_access(at, bytes, access); }

CHECKS(load, READ)
CHECKS(store, WRITTEN)

/* ---- variables, as compiled code poisons them ----------------------------------------------------------------------------------- */

int __asan_option_detect_stack_use_after_return = 0;

PUBLIC void __asan_init(void) { reserve_shadow(); }
PUBLIC void __asan_version_mismatch_check_v8(void) {}

/* The frames below will not be left by returning from them: their variables are gone. */
PUBLIC void __asan_handle_no_return(void) {
    uintptr_t here = address(__builtin_frame_address(0)) & ~(uintptr_t)7;
    if (shadow_ready && here < stack_top && stack_top - here < (8 << 20)) set_shadow(here, stack_top - here, 0);
}

#define SET_SHADOW(name, value) \
    PUBLIC void __asan_set_shadow_##name(uintptr_t shadow, size_t size) { set_shadow((shadow - SHADOW_OFFSET) << 3, size << 3, value); }
SET_SHADOW(00, 0)
SET_SHADOW(01, 1)
SET_SHADOW(02, 2)
SET_SHADOW(03, 3)
SET_SHADOW(04, 4)
SET_SHADOW(05, 5)
SET_SHADOW(06, 6)
SET_SHADOW(07, 7)
SET_SHADOW(f1, STACK_LEFT)
SET_SHADOW(f2, STACK_MIDDLE)
SET_SHADOW(f3, STACK_RIGHT)
SET_SHADOW(f5, STACK_AFTER_RETURN)
SET_SHADOW(f8, STACK_AFTER_SCOPE)

PUBLIC void __asan_poison_stack_memory(uintptr_t at, size_t size) { set_shadow(at, (size + 7) & ~(size_t)7, STACK_AFTER_SCOPE); }
PUBLIC void __asan_unpoison_stack_memory(uintptr_t at, size_t size) { unpoison(at, size); }

/* 32 bytes before, and as many from the next multiple of 32 behind. */
PUBLIC void __asan_alloca_poison(uintptr_t at, size_t size) {
    uintptr_t end = at + size, right = (end + 31) & ~(uintptr_t)31;
    set_shadow(at - 32, 32, ALLOCA_LEFT);
    set_shadow(end & ~(uintptr_t)7, right + 32 - (end & ~(uintptr_t)7), ALLOCA_RIGHT);
    if (end % 8 != 0) *shadow_of(end) = (int8_t)(end % 8);
}

PUBLIC void __asan_allocas_unpoison(uintptr_t top, uintptr_t bottom) {
    if (top != 0 && top <= bottom) set_shadow(top, bottom - top, 0);
}

PUBLIC void __asan_register_globals(const struct global *globals, size_t count) {
    size_t i;
    reserve_shadow();
    for (i = 0; i < count; i++) {
        size_t whole = (globals[i].size + 7) & ~(size_t)7;
        set_shadow(globals[i].at + whole, globals[i].size_with_redzone - whole, GLOBAL_REDZONE);
        if (globals[i].size % 8 != 0) *shadow_of(globals[i].at + globals[i].size) = (int8_t)(globals[i].size % 8);
    }
    if (global_table_count < GLOBAL_TABLES_MAX) {
        global_tables[global_table_count].globals = globals;
        global_tables[global_table_count++].count = count;
    }
}

/* At exit, where destructors of other files may still use them. */
PUBLIC void __asan_unregister_globals(const struct global *globals, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) set_shadow(globals[i].at, globals[i].size_with_redzone, 0);
}

/* ---- what a target says by itself ------------------------------------------------------------------------------------------------ */

PUBLIC void __asan_poison_memory_region(const volatile void *at, size_t size) {
    uintptr_t begin = (address(at) + 7) & ~(uintptr_t)7, end = (address(at) + size) & ~(uintptr_t)7;
    if (shadow_ready && begin < end) set_shadow(begin, end - begin, BY_THE_TARGET);
}

PUBLIC void __asan_unpoison_memory_region(const volatile void *at, size_t size) {
    uintptr_t begin = address(at) & ~(uintptr_t)7, end = address(at) + size;
    int8_t *last = shadow_of(end), open = (int8_t)(end & 7);
    if (!shadow_ready || size == 0) return;
    set_shadow(begin, (end & ~(uintptr_t)7) - begin, 0);
    /* What was open behind the end stays open. */
    if (*last != 0 && *last < open) *last = open;
}
#ifdef __cplusplus
}
#endif
#endif
