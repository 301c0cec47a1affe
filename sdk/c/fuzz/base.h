/* What all parts of fuzz.c stand on: system calls without a library, and functions that no check and no counter is put into.
 *
 * Users name their flags once, for the target and for fuzz.c together. A check in the functions that answer checks would never end, and a counter in
 * them would say nothing, so the flags are switched off here again. */
#ifndef AMPOULE_FUZZ_BASE_H
#define AMPOULE_FUZZ_BASE_H
#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("coverage", "kernel-address", "address", "undefined"))), apply_to = function)
#define AMPOULE_UNCHECKED
#elif __GNUC__ >= 12
#define AMPOULE_UNCHECKED __attribute__((no_sanitize("kernel-address,address,undefined"), no_sanitize_coverage))
#else
#define AMPOULE_UNCHECKED __attribute__((no_sanitize("kernel-address,address,undefined")))
#endif

/* gcc knows what it calls with `void *` in the place of every address. */
#if !defined(__clang__) && !defined(__cplusplus)
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

#include "../ampoule_gate.h"

#ifdef AMPOULE_TEST_HOST
#include AMPOULE_TEST_HOST
#endif

/* A function of fuzz.c's own, which not every program needs; one that the compiler or the target calls by its name; and one of which the target may have its own. */
#define OWN AMPOULE_UNCHECKED __attribute__((unused)) static
#define PUBLIC AMPOULE_UNCHECKED __attribute__((used, visibility("default")))
#define WEAK PUBLIC __attribute__((weak))

#define LIKELY(condition) __builtin_expect((condition) != 0, 1)
#define UNLIKELY(condition) __builtin_expect((condition) != 0, 0)

#define PAGE_BYTES ((size_t)4096)

#define LINUX_READ 0
#define LINUX_WRITE 1
#define LINUX_OPEN 2
#define LINUX_CLOSE 3
#define LINUX_MMAP 9
#define LINUX_MPROTECT 10
#define LINUX_MUNMAP 11

#define LINUX_PROT_NONE 0
#define LINUX_PROT_READ_WRITE 3
/* MAP_PRIVATE | MAP_ANONYMOUS; a reservation, of which only what is touched counts; and one at a place of our choice, unless something is there. */
#define LINUX_MAP_MEMORY 0x22
#define LINUX_MAP_RESERVED 0x4022
#define LINUX_MAP_RESERVED_AT 0x104022

#ifdef __cplusplus
extern "C" {
#endif
void abort(void) __attribute__((noreturn));
#ifdef __cplusplus
}
#endif

OWN inline uintptr_t address(const volatile void *of) { return (uintptr_t)of; }

OWN inline unsigned char *at_address(uintptr_t it) { return (unsigned char *)it; }

/* Pages of zeros; 0 if there are none. */
OWN uintptr_t map_pages(uintptr_t at, size_t size, uint64_t protection, uint64_t flags) {
    struct answer answer = call_by_syscall(LINUX_MMAP, at, size, protection, flags, 0);
    return answer.result < 0 && answer.result >= -4095 ? 0 : (uintptr_t)answer.result;
}

/* ---- a line on stderr, written at once ------------------------------------------------------------------------------------------ */

struct line {
    char text[400];
    size_t size;
};

OWN void put_character(struct line *to, char it) {
    if (to->size < sizeof to->text - 1) to->text[to->size++] = it;
}

OWN void put_text(struct line *to, const char *text) {
    while (*text != 0) put_character(to, *text++);
}

OWN void put_number(struct line *to, uint64_t number, unsigned base) {
    char digits[20];
    size_t count = 0;
    if (base == 16) put_text(to, "0x");
    do digits[count++] = "0123456789abcdef"[number % base];
    while ((number /= base) != 0);
    while (count != 0) put_character(to, digits[--count]);
}

OWN void write_line(struct line *line) {
    line->text[line->size++] = '\n';
    call_by_syscall(LINUX_WRITE, 2, address(line->text), line->size, 0, 0);
    line->size = 0;
}

OWN void say(const char *text) {
    struct line line;
    line.size = 0;
    put_text(&line, text);
    write_line(&line);
}

/* ---- the harness ---------------------------------------------------------------------------------------------------------------- */

/* A FUZZ was answered: somebody fuzzes this. */
static int harness;

OWN struct answer fuzz(uint64_t what, uint64_t a, uint64_t b, uint64_t c) {
    struct answer answer = call_by_syscall(AMPOULE_CALL_FUZZ, what, a, b, c, 0);
    if (answer.result >= 0) harness = 1;
    return answer;
}
#endif
