/* guest: flags=-O1
 * Accesses to the host's pages that no honest plugin makes, and calls that do not come back: see raw.h. It needs the host's function
 * `lookup`, which returns its input, a region named `shared`, and a host that listens to events. */
#include "raw.h"

AMPOULE_NOTE("1", "misbehave(bytes) -> bytes");
AMPOULE_NOTE("2", "lookup(bytes) -> bytes");

#define IMPORT AMPOULE_CALL_IMPORT
#define FETCH AMPOULE_CALL_FETCH
#define LOG AMPOULE_CALL_LOG
#define REGION AMPOULE_CALL_REGION

static const unsigned char constant[4096] = {1};

#define EVENT(type, offset) (*(volatile type *)(AMPOULE_EVENTS_ADDRESS + (offset)))

static int event_of_1(void) { return EVENT(uint8_t, 0) = 1, 0; }
static int event_of_2(void) { return EVENT(uint16_t, 8) = 1, 0; }
static int event_of_4(void) { return EVENT(uint32_t, 16) = 1, 0; }
static int event_misaligned(void) { return EVENT(uint64_t, 4) = 1, 0; }
static int event_over_the_edge(void) { return EVENT(uint64_t, 4092) = 1, 0; }
static int event_load(void) { return EVENT(uint64_t, 0) == 1; }
static int event_of_16(void) {
    __asm__ volatile("movups %%xmm0, (%0)" : : "r"(AMPOULE_EVENTS_ADDRESS) : "memory");
    return 0;
}
static int event_of_16_misaligned(void) {
    __asm__ volatile("movups %%xmm0, (%0)" : : "r"(AMPOULE_EVENTS_ADDRESS + 3) : "memory");
    return 0;
}
static int event_exchange(void) {
    uint64_t value = 1;
    __asm__ volatile("xchgq %0, (%1)" : "+r"(value) : "r"(AMPOULE_EVENTS_ADDRESS) : "memory");
    return 0;
}
static int event_add(void) {
    __asm__ volatile("lock addq $1, (%0)" : : "r"(AMPOULE_EVENTS_ADDRESS) : "memory");
    return 0;
}
static int event_string(void) {
    uint64_t to = AMPOULE_EVENTS_ADDRESS, from = AT(buffer), count = 100;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    return 0;
}
static int event_flood(void) {
    for (uint64_t i = 0; i < 100000; i++) EVENT(uint64_t, i % 512 * 8) = i;
    return 0;
}
static int event_execute(void) { return ((int (*)(void))AMPOULE_EVENTS_ADDRESS)(); }
static int info_store(void) { return *(volatile uint64_t *)AMPOULE_INFO_ADDRESS = 1, 0; }
static int info_execute(void) { return ((int (*)(void))AMPOULE_INFO_ADDRESS)(); }
static int gate_store(void) { return *(volatile uint64_t *)AMPOULE_GATE_ADDRESS = 1, 0; }
static int gate_middle(void) { return ((int (*)(void))(AMPOULE_GATE_ADDRESS + 100))(); }
static int between_pages(void) { return *(volatile uint64_t *)(AMPOULE_INFO_ADDRESS + 4096) == 1; }
static int ring_unopened(void) { return *(volatile uint64_t *)AMPOULE_RING_ADDRESS = 1, 0; }

static int region_store(void) {
    struct answer region = raw(REGION, AT("shared"), 6, 0, 0, 0);
    REQUIRE(region.rax > 0);
    if (region.rax > 0) *(volatile unsigned char *)(uintptr_t)region.rdi = 1;
    return 0;
}
/* What lies at the host's addresses is nothing that system calls change. */
static int remap(void) {
    const uint64_t addresses[] = {AMPOULE_RING_ADDRESS, AMPOULE_EVENTS_ADDRESS, AMPOULE_INFO_ADDRESS, AMPOULE_GATE_ADDRESS};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        void *at = (void *)(uintptr_t)addresses[i];
        REQUIRE(mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
        REQUIRE(mprotect(at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == -1);
        if (munmap(at, 4096) == 0) EXPECT(1, IMPORT, 0, AT("x"), 1, AT(buffer), 100);
    }
    return 0;
}
static int region_make_writable(void) {
    struct answer region = raw(REGION, AT("shared"), 6, 0, 0, 0);
    REQUIRE(region.rax > 0);
    REQUIRE(mprotect((void *)(uintptr_t)region.rdi, 4096, PROT_READ | PROT_WRITE) == -1);
    EXPECT(-AMPOULE_EFAULT, IMPORT, 0, AT(constant), 16, region.rdi, 16);
    return 0;
}

/* ---- time, and ends ---------------------------------------------------------------------------------------------- */

static int silence(void) {
    volatile uint64_t rounds = 0;
    do rounds = rounds + 1;
    while (rounds != 0);
    return 0;
}
static int import_forever(void) {
    while (raw(IMPORT, 0, AT("x"), 1, AT(buffer), 100).rax != 0) {}
    return 0;
}
static int log_forever(void) {
    while (raw(LOG, 1, AT("t\0m"), 3, 0, 0).rax == 0) {}
    return 0;
}
static int fetch_forever(void) {
    while (raw(FETCH, 0, 0, 0, 0, 0).rax != 0) {}
    return 0;
}
static int leave(void) {
    fflush(NULL);
    _exit(3);
    return 0;
}
static int die(void) { return raise(SIGKILL); }

static const struct misbehaviour misbehaviours[] = {
    {"region make writable", "answered", region_make_writable},
    {"remap the host's pages", "answered", remap},
    {"event of 1", "trap", event_of_1},
    {"event of 2", "trap", event_of_2},
    {"event of 4", "trap", event_of_4},
    {"event of 16", "trap or answered", event_of_16},
    {"event of 16 misaligned", "trap", event_of_16_misaligned},
    {"event misaligned", "trap", event_misaligned},
    {"event over the edge", "trap", event_over_the_edge},
    {"event load", "trap", event_load},
    {"event exchange", "trap", event_exchange},
    {"event add", "trap", event_add},
    {"event string", "trap", event_string},
    {"event execute", "trap", event_execute},
    /* A limit if the host's queue may not drop. */
    {"event flood", "answered or limit", event_flood},
    {"info store", "trap", info_store},
    {"info execute", "trap", info_execute},
    {"gate store", "trap", gate_store},
    {"gate middle", "trap", gate_middle},
    {"between pages", "trap", between_pages},
    {"ring unopened", "trap", ring_unopened},
    {"region store", "trap", region_store},
    {"silence", "limit", silence},
    {"import forever", "limit", import_forever},
    {"log forever", "limit", log_forever},
    {"fetch forever", "limit", fetch_forever},
    {"leave", "exited", leave},
    {"die", "signaled", die},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "list") == 0) return list(misbehaviours);
    attach("export misbehave\nimport lookup\n", 0);
    serve(misbehaviours, NULL);
}
