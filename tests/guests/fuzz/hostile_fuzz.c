/* A target that means harm. What it does before the first input its argument says, and what it does in an input the input: each a name out of a list, which
 * `list` and `list-inputs` print. */
#include "../../../sdk/c/ampoule_gate.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WINDOWS 0x7ffffdc00000u
#define WINDOWS_BYTES 0x1000000u
#define PLAN 0x7ffffec00000u
#define OWN 0xc00000u
#define GATES 0x7fffffffd000u
#define AT(pointer) ((uint64_t)(uintptr_t)(pointer))
#define MEMORY(address) ((volatile unsigned char *)(uintptr_t)(address))

static struct answer raw(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) { return call_by_syscall(number, a, b, c, d, e); }
static struct answer fuzz(uint64_t what, uint64_t a, uint64_t b, uint64_t c) { return raw(AMPOULE_CALL_FUZZ, what, a, b, c, 0); }

static unsigned char *map(size_t size, int protection) { return mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static uint64_t nowhere(void) {
    unsigned char *at = map(4096, PROT_READ);
    munmap(at, 4096);
    return AT(at);
}

static const uint64_t addresses[] = {0, 1, 8, 4095, 0x400000, 0x7ffffffff000, 0x7fffffffffff, 0x7ffffffffff8, 0x800000000000, 0xffff800000000000,
    0x8000000000000000, 0xfffffffffffff000, 0xfffffffffffffff8, UINT64_MAX, WINDOWS, PLAN, GATES};
static const uint64_t sizes[] = {0, 1, 15, 16, 17, 4096, 1 << 20, 4 << 20, (4 << 20) + 1, 1u << 31, (uint64_t)1 << 47, (uint64_t)1 << 63, UINT64_MAX};
#define COUNT(of) (sizeof(of) / sizeof *(of))

static void everywhere(uint64_t what) {
    for (unsigned i = 0; i < COUNT(addresses); i++)
        for (unsigned j = 0; j < COUNT(sizes); j++) fuzz(what, addresses[i], sizes[j], sizes[(i + j) % COUNT(sizes)]);
}

/* ---- before the first input ------------------------------------------------------------------------------------------------------ */

static void counters_anywhere(void) { everywhere(AMPOULE_FUZZ_COUNTERS); }
static void tables_anywhere(void) { everywhere(AMPOULE_FUZZ_PROGRAM_COUNTERS); }
static void windows_anywhere(void) { everywhere(AMPOULE_FUZZ_WINDOW); }
static void counters_nowhere(void) { fuzz(AMPOULE_FUZZ_COUNTERS, nowhere(), 5000, 0); }
static void counters_unmapped(void) {
    unsigned char *at = map(8192, PROT_READ | PROT_WRITE);
    memset(at, 7, 8192);
    fuzz(AMPOULE_FUZZ_COUNTERS, AT(at), 8192, 0);
    munmap(at + 4096, 4096);
}
static void counters_read_only(void) {
    unsigned char *at = map(8192, PROT_READ | PROT_WRITE);
    memset(at, 7, 8192);
    fuzz(AMPOULE_FUZZ_COUNTERS, AT(at), 8192, 0);
    mprotect(at, 8192, PROT_READ);
}
static void counters_of_text(void) { fuzz(AMPOULE_FUZZ_COUNTERS, AT(&raw) & ~(uint64_t)4095, 4096, 0); }
static void counters_reserved(void) {
    unsigned char *at = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fuzz(AMPOULE_FUZZ_COUNTERS, AT(at), 3 << 20, 0);
}
static void many_counters(void) {
    static unsigned char counters[100000];
    for (unsigned i = 0; i < 10000; i++) fuzz(AMPOULE_FUZZ_COUNTERS, AT(counters + i * 10), 3 + i % 12, 0);
}
static void many_tables(void) {
    static uint64_t table[20000];
    for (unsigned i = 0; i < 10000; i++) fuzz(AMPOULE_FUZZ_PROGRAM_COUNTERS, AT(table + i), 16, 0);
}
static void wild_table(void) {
    static uint64_t table[64];
    memset(table, 0xff, sizeof table);
    fuzz(AMPOULE_FUZZ_PROGRAM_COUNTERS, AT(table) + 3, sizeof table - 5, 0);
}
static void names_of_windows(void) {
    static unsigned char name[1024];
    for (unsigned first = 0; first < 256; first++) {
        memset(name, (int)first, sizeof name);
        for (unsigned size = 0; size < 300; size += 51) fuzz(AMPOULE_FUZZ_WINDOW, AT(name), size, 64);
    }
}
static void many_windows(void) {
    char name[32];
    for (unsigned i = 0; i < 5000; i++) fuzz(AMPOULE_FUZZ_WINDOW, AT(name), (uint64_t)snprintf(name, sizeof name, "w%u", i), 1 + i % 100);
}
static void finding_early(void) { fuzz(AMPOULE_FUZZ_FINDING, 8, 0, 0); }
static void start_early(void) { fuzz(AMPOULE_FUZZ_START, 0, 0, 0); }
static void start_twice(void) {
    fuzz(AMPOULE_FUZZ_START, 0, 0, 0);
    fuzz(AMPOULE_FUZZ_START, 0, 0, 0);
}
static void unknown(void) {
    for (uint64_t i = 0; i < 64; i++)
        if (i < AMPOULE_FUZZ_START || i > AMPOULE_FUZZ_FINDING) fuzz((uint64_t)1 << i | 64, i, i, i);
}
static void next_early(void) { raw(AMPOULE_CALL_NEXT, 0, 0, 0, 0, 0); }
static void gate_early(void) { call_by_jump(AMPOULE_BATCH_GATE_ADDRESS, AMPOULE_CALL_NEXT, 1, 0, 0, 0, 0); }

/* Serves by itself, with a buffer anywhere. */
static void serve(uint64_t buffer, uint64_t size) {
    static const char table[] = "export LLVMFuzzerTestOneInput\n";
    uint64_t outcome = AMPOULE_OUTCOME_NONE;
    raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(table), sizeof table - 1, 0, 0);
    for (;;) {
        call_by_jump(AMPOULE_BATCH_GATE_ADDRESS, AMPOULE_CALL_NEXT, outcome, 0, 0, buffer, size);
        outcome = AMPOULE_OUTCOME_RETURNED;
    }
}
static void attach_badly(void) { raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, 8, 100, 0, 0); }
static void buffer_nowhere(void) { serve(nowhere(), 1 << 20); }
static void buffer_at_null(void) { serve(0, UINT64_MAX); }
static void buffer_at_the_top(void) { serve(UINT64_MAX - 7, UINT64_MAX); }
static void buffer_in_the_gates(void) { serve(GATES, 4096); }
static void buffer_in_the_windows(void) { serve(WINDOWS, WINDOWS_BYTES); }
static void buffer_in_the_plan(void) { serve(PLAN, 4096); }
static void buffer_of_text(void) { serve(AT(&raw) & ~(uint64_t)4095, 4096); }
static void buffer_of_nothing(void) { serve(AT(map(4096, PROT_READ | PROT_WRITE)), 0); }
static void buffer_that_ends(void) {
    unsigned char *at = map(8192, PROT_READ | PROT_WRITE);
    munmap(at + 4096, 4096);
    serve(AT(at), 8192);
}
static void buffer_of_the_stack(void) {
    volatile unsigned char here = 0;
    serve(AT(&here) - 128, 4096);
}
static void thousands_of_exports(void) {
    static char table[65536];
    size_t size = 0;
    for (unsigned i = 0; i < 4000; i++) size += (size_t)snprintf(table + size, sizeof table - size, "export f%u\n", i);
    size += (size_t)snprintf(table + size, sizeof table - size, "export LLVMFuzzerTestOneInput\n");
    raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(table), size, 0, 0);
    serve(AT(map(4096, PROT_READ | PROT_WRITE)), 4096);
}
static void other_exports(void) {
    static const char table[] = "export one\nexport two\n";
    raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(table), sizeof table - 1, 0, 0);
    raw(AMPOULE_CALL_NEXT, 0, 0, 0, AT(table), 8);
}
static void steps_early(void) {
    /* Stands in its first NEXT with the trap flag set. */
    static const char table[] = "export LLVMFuzzerTestOneInput\n";
    signal(SIGTRAP, SIG_IGN);
    raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(table), sizeof table - 1, 0, 0);
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" : : : "cc", "memory");
    for (;;) raw(AMPOULE_CALL_NEXT, 0, 0, 0, AT(map(4096, PROT_READ | PROT_WRITE)), 4096);
}

/* ---- in an input ---------------------------------------------------------------------------------------------------------------- */

static struct {
    uint64_t words[AMPOULE_FINDING_BYTES / 8];
} record;

static void garbage(unsigned char byte) {
    for (uint64_t i = 0; i < WINDOWS_BYTES; i += 8) *(volatile uint64_t *)MEMORY(WINDOWS + i) = 0x0101010101010101u * byte;
}
static void windows_of_ones(void) { garbage(0xff); }
static void windows_of_zeros(void) { garbage(0); }
static void windows_of_addresses(void) {
    for (uint64_t i = 0; i < WINDOWS_BYTES; i += 8) *(volatile uint64_t *)MEMORY(WINDOWS + i) = WINDOWS + i;
}
static void index_of_nothing(void) { *(volatile uint64_t *)MEMORY(WINDOWS) = 0; }
static void index_beyond(void) { *(volatile uint64_t *)MEMORY(WINDOWS) = UINT64_MAX; }
static void input_in_the_gates(void) { *(volatile uint64_t *)MEMORY(WINDOWS + 8) = GATES; }
static void input_is_forged(void) {
    static uint64_t entry[2] = {0, UINT64_MAX};
    *(volatile uint64_t *)MEMORY(WINDOWS + 8) = AT(entry);
}
static void writes_the_plan(void) { *MEMORY(PLAN) = 1; }
static void writes_the_gates(void) { *MEMORY(GATES + 0x400) = 0xc3; }
static void protects_the_windows(void) {
    mprotect((void *)(uintptr_t)WINDOWS, 4096, PROT_NONE);
    munmap((void *)(uintptr_t)WINDOWS, WINDOWS_BYTES);
    munmap((void *)(uintptr_t)PLAN, WINDOWS_BYTES);
    mmap((void *)(uintptr_t)WINDOWS, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
static void finding_at_null(void) { fuzz(AMPOULE_FUZZ_FINDING, 0, 0, 0); }
static void finding_at_the_top(void) { fuzz(AMPOULE_FUZZ_FINDING, UINT64_MAX - 8, 0, 0); }
static void finding_of_ones(void) {
    memset(&record, 0xff, sizeof record);
    fuzz(AMPOULE_FUZZ_FINDING, AT(&record), 0, 0);
}
static void finding_of_zeros(void) {
    memset(&record, 0, sizeof record);
    fuzz(AMPOULE_FUZZ_FINDING, AT(&record), 0, 0);
}
static void finding_with_controls(void) {
    static char text[4096];
    memset(&record, 1, sizeof record);
    memset(text, 27, sizeof text);
    memset(text + 100, 0xff, 10);
    record.words[AMPOULE_FINDING_TEXT / 8] = AT(text);
    record.words[AMPOULE_FINDING_TEXT_SIZE / 8] = UINT64_MAX;
    fuzz(AMPOULE_FUZZ_FINDING, AT(&record), 0, 0);
}
static void finding_that_ends(void) {
    unsigned char *at = map(8192, PROT_READ | PROT_WRITE);
    munmap(at + 4096, 4096);
    fuzz(AMPOULE_FUZZ_FINDING, AT(at + 4096 - 8), 0, 0);
}
static void answers(uint64_t outcome, uint64_t reply, uint64_t size, uint64_t buffer, uint64_t length) {
    raw(AMPOULE_CALL_NEXT, outcome, reply, size, buffer, length);
}
static void answers_nothing(void) { answers(AMPOULE_OUTCOME_NONE, 0, 0, 0, 0); }
static void answers_99(void) { answers(99, 0, 0, 0, 0); }
static void panics_at_null(void) { answers(AMPOULE_OUTCOME_PANICKED, 0, 100, 0, 0); }
static void panics_with_garbage(void) { answers(AMPOULE_OUTCOME_PANICKED, AT(&raw), 100, 0, 0); }
static void replies_without_end(void) { answers(AMPOULE_OUTCOME_RETURNED, AT(&raw), UINT64_MAX, 0, 0); }
static void replies_from_nowhere(void) { answers(AMPOULE_OUTCOME_RETURNED, UINT64_MAX, 8, 0, 0); }
static void bad_arguments(void) { answers(AMPOULE_OUTCOME_BAD_ARGUMENTS, 0, 0, 0, 0); }
static void other_buffer(void) { answers(AMPOULE_OUTCOME_RETURNED, 0, 0, AT(map(4096, PROT_READ | PROT_WRITE)), 4096); }
static void attaches_again(void) { raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, 0, 0, 0, 0); }
static void starts(void) { fuzz(AMPOULE_FUZZ_START, 0, 0, 0); }
static void late_windows(void) { many_windows(); }
static void late_counters(void) { many_counters(), counters_anywhere(), tables_anywhere(); }
static void other_calls(void) {
    for (uint64_t call = AMPOULE_CALL_IMPORT; call < AMPOULE_CALL_FUZZ; call++)
        for (unsigned i = 0; i < COUNT(addresses); i++) raw(call, i, addresses[i], sizes[i % COUNT(sizes)], addresses[i], 8);
    for (uint64_t call = AMPOULE_CALL_FUZZ + 1; call < AMPOULE_CALL_FUZZ + 100; call++) raw(call, 1, 2, 3, 4, 5);
}
static void events(void) { *(volatile uint64_t *)MEMORY(AMPOULE_EVENTS_ADDRESS) = 1; }
static void ring(void) { *(volatile uint64_t *)MEMORY(AMPOULE_RING_ADDRESS) = 1; }
static void unmaps_all(void) { munmap(NULL, 0x7fff00000000u); }
static void protects_all(void) { mprotect((void *)(uintptr_t)(AT(&record) & ~(uint64_t)4095), 1 << 20, PROT_NONE); }
static void traps_and_returns(void) {
    signal(SIGTRAP, SIG_IGN);
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" : : : "cc", "memory");
}
static void fills_memory(void) {
    while (map(1 << 20, PROT_READ | PROT_WRITE) != MAP_FAILED) continue;
}
static void handle(int signal) { (void)signal; }
static void faults_for_ever(void) {
    signal(SIGSEGV, handle);
    *MEMORY(8) = 1;
}
static void closes_all(void) {
    for (uint64_t i = 0; i < 256; i++) raw(3, i, 0, 0, 0, 0);
}

#define ALL(...) {__VA_ARGS__, {NULL, NULL}}
#define IT(name) {#name, name}
static const struct misbehaviour {
    const char *name;
    void (*run)(void);
} early[] = ALL(IT(counters_anywhere), IT(tables_anywhere), IT(windows_anywhere), IT(counters_nowhere), IT(counters_unmapped), IT(counters_read_only),
    IT(counters_of_text), IT(counters_reserved), IT(many_counters), IT(many_tables), IT(wild_table), IT(names_of_windows), IT(many_windows), IT(finding_early),
    IT(start_early), IT(start_twice), IT(unknown), IT(next_early), IT(gate_early), IT(attach_badly), IT(buffer_nowhere), IT(buffer_at_null),
    IT(buffer_at_the_top), IT(buffer_in_the_gates), IT(buffer_in_the_windows), IT(buffer_in_the_plan), IT(buffer_of_text), IT(buffer_of_nothing),
    IT(buffer_that_ends), IT(buffer_of_the_stack), IT(thousands_of_exports), IT(other_exports), IT(steps_early)),
  late[] = ALL(IT(windows_of_ones), IT(windows_of_zeros), IT(windows_of_addresses), IT(index_of_nothing), IT(index_beyond), IT(input_in_the_gates),
    IT(input_is_forged), IT(writes_the_plan), IT(writes_the_gates), IT(protects_the_windows), IT(finding_at_null), IT(finding_at_the_top),
    IT(finding_of_ones), IT(finding_of_zeros), IT(finding_with_controls), IT(finding_that_ends), IT(answers_nothing), IT(answers_99), IT(panics_at_null),
    IT(panics_with_garbage), IT(replies_without_end), IT(replies_from_nowhere), IT(bad_arguments), IT(other_buffer), IT(attaches_again), IT(starts),
    IT(late_windows), IT(late_counters), IT(other_calls), IT(events), IT(ring), IT(unmaps_all), IT(protects_all), IT(traps_and_returns), IT(fills_memory),
    IT(faults_for_ever), IT(closes_all), IT(counters_unmapped), IT(unknown), IT(next_early));

static const struct misbehaviour *find(const struct misbehaviour *all, const void *name, size_t size) {
    for (; all->name != NULL; all++)
        if (strlen(all->name) == size && memcmp(all->name, name, size) == 0) return all;
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *name = *argc > 1 ? (*argv)[1] : "";
    const struct misbehaviour *all = strcmp(name, "list") == 0 ? early : strcmp(name, "list-inputs") == 0 ? late : NULL, *it;
    if (all != NULL) {
        for (; all->name != NULL; all++) puts(all->name);
        exit(0);
    }
    it = find(early, name, strlen(name));
    if (it != NULL) it->run();
    return 0;
}

static volatile unsigned calls;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct misbehaviour *it;
    if (calls++ != 0) abort();
    /* "J" and an offset: a jump into the gates' page, with registers as the batch gate expects them. */
    if (size == 3 && data[0] == 'J') {
        call_by_jump(GATES + (data[1] | (uint64_t)data[2] << 8), AMPOULE_CALL_NEXT, AMPOULE_OUTCOME_RETURNED, 0, 0, AT(&record), 8);
        return 0;
    }
    it = find(late, data, size);
    if (it != NULL) it->run();
    return 0;
}
