/* guest: flags=-O1
 * Calls and replies that no honest plugin makes: see raw.h. With an argument it misbehaves when it attaches. It needs the host's function
 * `lookup`, which returns its input, and a region named `shared`. `bomb` returns a sequence that says that it is endless. */
#include "raw.h"

AMPOULE_NOTE("1", "misbehave(bytes) -> bytes");
AMPOULE_NOTE("1", "bomb() -> [string]");
AMPOULE_NOTE("2", "lookup(bytes) -> bytes");

#define NEXT AMPOULE_CALL_NEXT
#define IMPORT AMPOULE_CALL_IMPORT
#define FETCH AMPOULE_CALL_FETCH
#define LOG AMPOULE_CALL_LOG
#define REGION AMPOULE_CALL_REGION
#define PARK AMPOULE_CALL_PARK
#define RETURNED AMPOULE_OUTCOME_RETURNED
#define KERNEL_HALF 0xffff800000000000
#define HUGE_LENGTH (1ull << 63)

static const unsigned char constant[4096] = {1};
static const char table[] = "export misbehave\nexport bomb\nimport lookup\n";

/* ---- calls that are answered ------------------------------------------------------------------------------------- */

static int unknown_numbers(void) {
    EXPECT(-AMPOULE_ENOSYS, AMPOULE_CALL_PARK + 1, 0, 0, 0, 0, 0);
    EXPECT(-AMPOULE_ENOSYS, 0x1fffffff, 1, 2, 3, 4, 5);
    EXPECT(-AMPOULE_ENOSYS, 0x7fffffffffffffff, -1, -1, -1, -1, -1);
    EXPECT(-AMPOULE_ENOSYS, -1, 0, 0, 0, 0, 0);
    return 0;
}

static int import_ordinals(void) {
    EXPECT(-AMPOULE_ENOENT, IMPORT, 1, AT("x"), 1, AT(buffer), 100);
    EXPECT(-AMPOULE_ENOENT, IMPORT, 1ull << 32, AT("x"), 1, AT(buffer), 100);
    EXPECT(-AMPOULE_ENOENT, IMPORT, -1, AT("x"), 1, AT(buffer), 100);
    EXPECT(1, IMPORT, 0, AT("x"), 1, AT(buffer), 100);
    return 0;
}

static int import_pointers(void) {
    const uint64_t bad[] = {0, 8, nowhere(), edge(), KERNEL_HALF, -8ull, 0x0000800000000000, AMPOULE_RING_ADDRESS - 8};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT(-AMPOULE_EFAULT, IMPORT, 0, bad[i], 16, AT(buffer), 100);
        EXPECT(-AMPOULE_EFAULT, IMPORT, 0, AT(constant), 16, bad[i], 100);
    }
    EXPECT(-AMPOULE_EFAULT, IMPORT, 0, AT(constant), 16, AT(constant), 100);
    EXPECT(-AMPOULE_EFAULT, IMPORT, 0, AT(constant), 16, AT(pages(4096, PROT_NONE)), 100);
    EXPECT(16, IMPORT, 0, AT(constant), 16, AT(buffer), 100);
    EXPECT(0, IMPORT, 0, nowhere(), 0, nowhere(), 0);
    return 0;
}

/* Longer than any message: the function is not called, and the reason can be fetched. */
static int import_lengths(void) {
    const uint64_t lengths[] = {HUGE_LENGTH, -1ull, -1ull - AT(buffer), 1ull << 40};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct answer answer = raw(IMPORT, 0, AT(buffer), lengths[i], AT(buffer), 100);
        expect(__LINE__, -AMPOULE_EREMOTEIO, answer);
        EXPECT((int64_t)answer.rsi, FETCH, AT(buffer), sizeof buffer, 0, 0, 0);
    }
    return 0;
}

static int fetch_nothing(void) {
    raw(FETCH, AT(buffer), sizeof buffer, 0, 0, 0); /* what an earlier misbehaviour left */
    EXPECT(-AMPOULE_ENOMSG, FETCH, AT(buffer), sizeof buffer, 0, 0, 0);
    EXPECT(-AMPOULE_ENOMSG, FETCH, 0, -1, 0, 0, 0);
    return 0;
}

static int fetch_too_small(void) {
    EXPECT(-AMPOULE_EMSGSIZE, IMPORT, 0, AT(constant), 4096, AT(buffer), 4095);
    for (int i = 0; i < 1000; i++) {
        struct answer answer = raw(FETCH, AT(buffer), 4095 - i, 0, 0, 0);
        expect(__LINE__, -AMPOULE_EMSGSIZE, answer);
        REQUIRE(answer.rsi == 4096);
    }
    EXPECT(4096, FETCH, AT(buffer), 4096, 0, 0, 0);
    REQUIRE(memcmp(buffer, constant, 4096) == 0);
    EXPECT(-AMPOULE_ENOMSG, FETCH, AT(buffer), 4096, 0, 0, 0);
    return 0;
}

static int fetch_nowhere(void) {
    const uint64_t bad[] = {0, nowhere(), AT(constant), KERNEL_HALF, -4096ull};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT(-AMPOULE_EMSGSIZE, IMPORT, 0, AT(constant), 4096, 0, 0);
        EXPECT(-AMPOULE_EFAULT, FETCH, bad[i], 4096, 0, 0, 0);
    }
    return 0;
}

/* Every one leaves a message behind: the host keeps one. */
static int never_fetch(void) {
    for (int i = 0; i < 1000; i++) EXPECT(-AMPOULE_EMSGSIZE, IMPORT, 0, AT(buffer), sizeof buffer, 0, 0);
    return 0;
}

static int log_flood(void) {
    static const char record[] = "target\0\xff\xfe\x1b[2J\xc3(\xf0\x9f\0\r\n\0";
    for (int i = 0; i < 100000; i++) EXPECT(0, LOG, 1 + i % 5, AT(record), sizeof record, 0, 0);
    return 0;
}

static int log_levels(void) {
    const uint64_t levels[] = {0, 6, 255, 1ull << 32, HUGE_LENGTH, -1ull};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) EXPECT(0, LOG, levels[i], AT("t\0m"), 3, 0, 0);
    return 0;
}

/* What is dropped anyway is not read: both answers are right for a bad address. */
static int log_records(void) {
    const uint64_t records[][2] = {{0, 10}, {nowhere(), 10}, {edge(), 16}, {KERNEL_HALF, 1},
                                   {AT(buffer), HUGE_LENGTH}, {AT(buffer), -1ull}, {-1ull, 2}};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        int64_t result = raw(LOG, 1, records[i][0], records[i][1], 0, 0).rax;
        REQUIRE(result == 0 || result == -AMPOULE_EFAULT);
    }
    EXPECT(0, LOG, 1, 0, 0, 0, 0);
    EXPECT(0, LOG, 1, AT("no NUL"), 6, 0, 0);
    return 0;
}

static int region_names(void) {
    EXPECT(-AMPOULE_ENOENT, REGION, AT(""), 0, 0, 0, 0);
    EXPECT(-AMPOULE_ENOENT, REGION, AT("shared"), 7, 0, 0, 0);
    EXPECT(-AMPOULE_ENOENT, REGION, AT("shared"), 5, 0, 0, 0);
    EXPECT(-AMPOULE_ENOENT, REGION, AT("\xff\xfe"), 2, 0, 0, 0);
    EXPECT(-AMPOULE_ENOENT, REGION, AT(buffer), 256, 0, 0, 0);
    EXPECT(-AMPOULE_ENOENT, REGION, AT(buffer), HUGE_LENGTH, 0, 0, 0);
    EXPECT(-AMPOULE_EFAULT, REGION, 0, 6, 0, 0, 0);
    EXPECT(-AMPOULE_EFAULT, REGION, edge(), 16, 0, 0, 0);
    return 0;
}

static int park_outside(void) {
    EXPECT(-AMPOULE_EINVAL, PARK, 0, 0, 0, 0, 0);
    return 0;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

#define ANSWERS(name, ...)                                                                                                      \
    static int name(void) {                                                                                                     \
        reply(__VA_ARGS__);                                                                                                     \
        return 1;                                                                                                               \
    }

ANSWERS(reply_null, RETURNED, 0, 16)
ANSWERS(reply_nowhere, RETURNED, nowhere(), 16)
ANSWERS(reply_over_the_edge, RETURNED, edge(), 16)
ANSWERS(reply_kernel_half, RETURNED, KERNEL_HALF, 16)
ANSWERS(reply_wraps, RETURNED, -8ull, 16)
ANSWERS(reply_not_canonical, RETURNED, 0x0000900000000000, 16)
ANSWERS(reply_gate_and_beyond, RETURNED, AMPOULE_GATE_ADDRESS, 8192)
ANSWERS(reply_huge, RETURNED, AT(buffer), HUGE_LENGTH)
ANSWERS(reply_longest, RETURNED, AT(buffer), -1ull)
ANSWERS(outcome_99, 99, AT("x"), 1)
ANSWERS(outcome_all_ones, -1ull, AT("x"), 1)
ANSWERS(outcome_of_32_bits, 1ull << 32 | RETURNED, AT("x"), 1)
ANSWERS(outcome_none, AMPOULE_OUTCOME_NONE, 0, 0)
ANSWERS(bad_arguments, AMPOULE_OUTCOME_BAD_ARGUMENTS, -1ull, -1ull)
ANSWERS(panic_empty, AMPOULE_OUTCOME_PANICKED, 0, 0)
ANSWERS(panic_without_nul, AMPOULE_OUTCOME_PANICKED, AT("no place"), 8)
ANSWERS(panic_not_utf8, AMPOULE_OUTCOME_PANICKED, AT("\xff\xfe\x1b[2J\0\xc3(\0\0\xf0"), 12)
ANSWERS(reply_host_pages, RETURNED, AMPOULE_INFO_ADDRESS, 4096)

/* It says "ok" now, and has no place for what comes next. */
static int with_room(uint64_t address, uint64_t size) {
    room = address, room_size = size;
    answer_with_report();
    room = AT(buffer), room_size = sizeof buffer;
    return 1;
}
static int room_of_nothing(void) { return with_room(0, 0); }
static int room_nowhere(void) { return with_room(nowhere(), 4096); }
static int room_read_only(void) { return with_room(AT(constant), sizeof constant); }
static int room_null(void) { return with_room(0, 4096); }
static int room_kernel_half(void) { return with_room(KERNEL_HALF, 4096); }
static int room_wraps(void) { return with_room(-1ull, 4096); }

/* What a second serve loop inside a function does. */
static int serve_inside(void) {
    reply(AMPOULE_OUTCOME_NONE, 0, 0);
    return 1;
}

/* It answers as if it knew what comes. */
static int answer_twice(void) {
    answer_with_report();
    reply(RETURNED, AT("again"), 5);
    reply(RETURNED, AT("and again"), 9);
    return 1;
}

static int attach_again(void) {
    EXPECT(-AMPOULE_EBUSY, AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(table), sizeof table - 1, 0, 0);
    return 0;
}

static const struct misbehaviour misbehaviours[] = {
    {"unknown numbers", "answered", unknown_numbers},
    {"import ordinals", "answered", import_ordinals},
    {"import pointers", "answered", import_pointers},
    {"import lengths", "answered", import_lengths},
    {"fetch nothing", "answered", fetch_nothing},
    {"fetch too small", "answered", fetch_too_small},
    {"fetch nowhere", "answered", fetch_nowhere},
    {"never fetch", "answered", never_fetch},
    {"log flood", "answered", log_flood},
    {"log levels", "answered", log_levels},
    {"log records", "answered", log_records},
    {"region names", "answered", region_names},
    {"park outside the ring", "answered", park_outside},
    {"room of nothing", "answered", room_of_nothing},
    {"reply null", "protocol", reply_null},
    {"reply nowhere", "protocol", reply_nowhere},
    {"reply over the edge", "protocol", reply_over_the_edge},
    {"reply kernel half", "protocol", reply_kernel_half},
    {"reply wraps", "protocol", reply_wraps},
    {"reply not canonical", "protocol", reply_not_canonical},
    {"reply gate and beyond", "protocol", reply_gate_and_beyond},
    {"reply host pages", "protocol or went on", reply_host_pages},
    {"reply huge", "too long", reply_huge},
    {"reply longest", "too long", reply_longest},
    {"outcome 99", "protocol", outcome_99},
    {"outcome all ones", "protocol", outcome_all_ones},
    {"outcome of 32 bits", "protocol", outcome_of_32_bits},
    {"outcome none", "protocol", outcome_none},
    {"serve inside", "protocol", serve_inside},
    {"attach again", "protocol", attach_again},
    {"bad arguments", "arguments", bad_arguments},
    {"panic empty", "guest", panic_empty},
    {"panic without nul", "guest", panic_without_nul},
    {"panic not utf-8", "guest", panic_not_utf8},
    {"room nowhere", "next call", room_nowhere},
    {"room read-only", "next call", room_read_only},
    {"room null", "next call", room_null},
    {"room kernel half", "next call", room_kernel_half},
    {"room wraps", "next call", room_wraps},
    /* The two calls after it are answered without being looked at. */
    {"answer twice", "went on", answer_twice},
    {NULL, NULL, NULL},
};

/* ---- when it attaches: `PROGRAM list-arguments` prints the names; all end it as a broken protocol but those that say otherwise ------------ */

static int chosen(const char *name, const char *label) {
    if (name == NULL) puts(label);
    return name != NULL && strcmp(name, label) == 0;
}

static int tell(const char *name, struct answer answer) {
    fprintf(stderr, "%s: answered %ld\n", name, (long)answer.rax);
    return answer.rax == -AMPOULE_ENOSYS ? 2 : 1;
}

static int attaching(const char *name) {
    static char text[70000];
    uint64_t at = AT(text), size = 0, version = AMPOULE_ABI_MAJOR << 16;
    strcpy(text, table);
    size = strlen(text);
#define CASE(label) else if (chosen(name, label))
    if (chosen(name, "next first")) return tell(name, raw(NEXT, AMPOULE_OUTCOME_NONE, 0, 0, AT(buffer), sizeof buffer));
    CASE("answer first") {
        attach(table, 0);
        return tell(name, raw(NEXT, RETURNED, AT("x"), 1, AT(buffer), sizeof buffer));
    }
    CASE("attach twice") attach(table, 0);
    /* Ends as exited, with 3. */
    CASE("exit at once") {
        attach(table, 0);
        return 3;
    }
    /* A limit. */
    CASE("never serve") {
        attach(table, 0);
        for (;;) raw(LOG, 9, 0, 0, 0, 0);
    }
    CASE("table null") at = 0;
    CASE("table nowhere") at = nowhere();
    CASE("table over the edge") at = edge();
    CASE("table kernel half") at = KERNEL_HALF;
    CASE("table wraps") at = -8ull;
    CASE("table of 2^63") size = HUGE_LENGTH;
    CASE("table of 64 KiB + 1") {
        size = 0;
        for (int i = 0; size + 20 < AMPOULE_TABLE_MAX_BYTES + 1; i++) size += (uint64_t)sprintf(text + size, "export f%d\n", i);
        memset(text + size, 'x', AMPOULE_TABLE_MAX_BYTES + 1 - size);
        memcpy(text + size, "export ", 7);
        size = AMPOULE_TABLE_MAX_BYTES + 1;
        text[size - 1] = '\n';
    }
    CASE("no newline at the end") size--;
    CASE("empty line") size = strlen(strcat(text, "\n"));
    CASE("carriage returns") size = strlen(strcpy(text, "export misbehave\r\n"));
    CASE("duplicate exports") size = strlen(strcat(text, "export misbehave\n"));
    CASE("duplicate imports") size = strlen(strcat(text, "import lookup\n"));
    CASE("name with a space") size = strlen(strcat(text, "export two words\n"));
    CASE("name with a parenthesis") size = strlen(strcat(text, "export call(\n"));
    CASE("name with a nul") size = strlen(strcat(text, "export x")) + 1, text[size++] = '\n';
    CASE("name not ascii") size = strlen(strcat(text, "export \xc3\xa4\n"));
    CASE("name empty") size = strlen(strcat(text, "export \n"));
    CASE("name of 256") {
        strcat(text, "export ");
        memset(text + size + 7, 'x', 256);
        size += 7 + 256;
        text[size++] = '\n';
    }
    CASE("unknown kind") size = strlen(strcat(text, "expert x\n"));
    CASE("only zeros") memset(text, 0, sizeof text), size = 4096;
    CASE("import nobody offers") size = strlen(strcat(text, "import nobody_offers_this\n"));
    CASE("less than the note") size = strlen(strcpy(text, "export other\n"));
    CASE("version 0") version = 0;
    CASE("version 2") version = 2 << 16;
    CASE("version all ones") version = -1ull;
    CASE("version above 32 bits") version = 1ull << 32 | AMPOULE_ABI_MAJOR << 16;
    else return name == NULL ? 0 : (fprintf(stderr, "no such misbehaviour: %s\n", name), 1);
    return tell(name, raw(AMPOULE_CALL_ATTACH, version, at, size, 0, 0));
}

/* A sequence of so many strings as a count can say, the first of them as long. */
static void bomb(void) {
    memset(buffer, 0xff, sizeof buffer);
    buffer[9] = buffer[19] = 1;
    reply(RETURNED, AT(buffer), 4096);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "list") == 0) return list(misbehaviours);
    if (argc > 1) return attaching(strcmp(argv[1], "list-arguments") == 0 ? NULL : argv[1]);
    attach(table, 0);
    serve(misbehaviours, bomb);
}
