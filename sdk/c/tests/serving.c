/* The library against a host that checks every answer: calls by exits, and the same calls through the ring. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define AMPOULE_TEST_HOST "tests/host.h"
#include "../ampoule.c"

static int echo(const void *input, size_t size, struct ampoule_reply *to) { return ampoule_reply_set(to, input, size); }
AMPOULE_EXPORT(echo);

static int twice(const void *input, size_t size, struct ampoule_reply *to) {
    unsigned char *room = ampoule_reply_reserve(to, size);
    memcpy(room, input, size);
    room = ampoule_reply_reserve(to, 2 * size);
    memcpy(room + size, input, size);
    return AMPOULE_OK;
}
AMPOULE_EXPORT(twice);

static int refuses(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input;
    if (size == 0) return AMPOULE_BAD_ARGUMENTS;
    if (size == 1) return -2147483647 - 1;
    return ampoule_fail(to, "never");
}
AMPOULE_EXPORT(refuses);
enum { EXPORTED_AT = __LINE__ - 1, FAILED_AT = __LINE__ - 3 };

static int nests(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size;
    CHECK(ampoule_run() == -AMPOULE_EBUSY && ampoule_attach() == -AMPOULE_EBUSY);
    return ampoule_reply_borrow(to, "refused", 7);
}
AMPOULE_EXPORT(nests);

AMPOULE_IMPORT(lookup);
static struct ampoule_import absent = {"absent", 77, 0};

/* Asks the host with every size of buffer that makes a difference. */
static int asks(const void *input, size_t size, struct ampoule_reply *to) {
    static unsigned char room[4 << 20];
    long got = ampoule_import(&lookup, input, size, room, sizeof room);
    if (got == -AMPOULE_EREMOTEIO) {
        CHECK(ampoule_fetch_size() == size - 1);
        CHECK(ampoule_fetch(room, sizeof room) == (long)size - 1 && memcmp(room, (const char *)input + 1, size - 1) == 0);
        CHECK(ampoule_fetch(room, sizeof room) == -AMPOULE_ENOMSG);
        return ampoule_reply_set(to, "failed", 6);
    }
    CHECK(got == (long)size && memcmp(room, input, size) == 0 && ampoule_fetch_size() == 0);
    if (size != 0) {
        memset(room, 0, size);
        CHECK(ampoule_import(&lookup, input, size, room, size - 1) == -AMPOULE_EMSGSIZE && ampoule_fetch_size() == size);
        CHECK(ampoule_fetch(room, size - 1) == -AMPOULE_EMSGSIZE && ampoule_fetch_size() == size && room[0] == 0);
        CHECK(ampoule_fetch(room, size) == (long)size && memcmp(room, input, size) == 0);
        CHECK(ampoule_fetch(room, size) == -AMPOULE_ENOMSG);
    }
    CHECK(ampoule_import(&absent, input, size, room, sizeof room) == -AMPOULE_ENOENT);
    return ampoule_reply_set(to, room, size);
}
AMPOULE_EXPORT(asks);

/* ---- what is asked: sizes around everything that has a size ------------------------------------------------------ */

static unsigned char data[3 << 20];
static struct step steps[256];

static struct step *add(struct step *at, const char *name, size_t size) {
    struct step step = {name, data, size, AMPOULE_OUTCOME_RETURNED, data, size};
    *at = step;
    return at + 1;
}

static struct step *add_reply(struct step *at, const char *name, const char *input, size_t size, uint64_t outcome, const char *text,
                              size_t length) {
    struct step step = {name, (const unsigned char *)input, size, outcome, (const unsigned char *)text, length};
    *at = step;
    return at + 1;
}
#define REPLY(at, name, input, outcome, text) add_reply(at, name, input, sizeof input - 1, outcome, text, sizeof text - 1)

static const size_t sizes[] = {0, 1, 31, 32, 33, 100, 65535, 65536, 65537, 0x77fff, 0x78000, 0x78001, 0xf0000, 0xf0001, 1500000, 3 << 20};

static struct step *add_calls(struct step *at) {
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        at = add(at, "echo", sizes[i]);
        at = add(at, "asks", sizes[i]);
    }
    for (size_t i = 0; i < 70; i++) at = add(at, "echo", i);
    at = REPLY(at, "twice", "abc", AMPOULE_OUTCOME_RETURNED, "abcabc");
    at = REPLY(at, "refuses", "", AMPOULE_OUTCOME_BAD_ARGUMENTS, "");
    static char texts[2][100];
    int first = sprintf(texts[0], "the function returned -2147483648%c%s:%d", 0, __FILE__, EXPORTED_AT);
    int second = sprintf(texts[1], "never%c%s:%d", 0, __FILE__, FAILED_AT);
    at = add_reply(at, "refuses", "1", 1, AMPOULE_OUTCOME_PANICKED, texts[0], (size_t)first);
    at = add_reply(at, "refuses", "12", 2, AMPOULE_OUTCOME_PANICKED, texts[1], (size_t)second);
    at = REPLY(at, "nests", "", AMPOULE_OUTCOME_RETURNED, "refused");
    at = REPLY(at, "asks", "!no such key", AMPOULE_OUTCOME_RETURNED, "failed");
    return at;
}

/* ---- the other side of the ring ---------------------------------------------------------------------------------- */

static uint64_t host_sent, host_received;

static void host_send(uint8_t kind, uint8_t outcome, uint32_t ordinal, uint32_t number, const unsigned char *bytes, size_t size) {
    size_t left = size;
    do {
        size_t piece = left < 0x78000 ? left : 0x78000;
        unsigned char *cell = ring_memory + 0x1000 + host_sent % 64 * 64;
        while (host_sent - __atomic_load_n((uint64_t *)ring_memory, __ATOMIC_ACQUIRE) >= (piece > 32 ? 2u : 64u)) sched_yield();
        if (piece != 0) memcpy(piece > 32 ? ring_memory + 0x10000 + host_sent % 2 * 0x78000 : cell + 32, bytes, piece);
        uint64_t words[3] = {kind | (uint64_t)outcome << 8 | (uint64_t)ordinal << 32, piece | (uint64_t)number << 32, size};
        memcpy(cell + 8, words, sizeof words);
        __atomic_store_n((uint64_t *)cell, ++host_sent, __ATOMIC_RELEASE);
        left -= piece;
        if (left != 0) bytes += piece;
    } while (left != 0);
}

/* Receives a message that must have this number; its kind, with its other parts. */
static uint8_t host_receive(uint32_t number, uint8_t *outcome, uint32_t *ordinal, size_t *size) {
    size_t done = 0;
    for (;;) {
        unsigned char *cell = ring_memory + 0x2000 + host_received % 64 * 64;
        while (__atomic_load_n((uint64_t *)cell, __ATOMIC_ACQUIRE) != host_received + 1) sched_yield();
        uint64_t words[3];
        memcpy(words, cell + 8, sizeof words);
        size_t piece = (uint32_t)words[1], left = words[2] - done;
        CHECK(words[1] >> 32 == number && piece == (left < 0x78000 ? left : 0x78000));
        memcpy(message + done, piece > 32 ? ring_memory + 0x100000 + host_received % 2 * 0x78000 : cell + 32, piece);
        done += piece;
        __atomic_store_n((uint64_t *)(ring_memory + 0x40), ++host_received, __ATOMIC_RELEASE);
        if (done < words[2]) continue;
        *outcome = (uint8_t)(words[0] >> 8), *ordinal = (uint32_t)(words[0] >> 32), *size = done;
        return (uint8_t)words[0];
    }
}

static void *play_ring(void *unused) {
    static struct step ring_steps[256];
    add_calls(ring_steps);
    host_sent = host_received = 0;
    for (uint32_t number = 1; ring_steps[number - 1].name != NULL; number++) {
        const struct step *step = &ring_steps[number - 1];
        uint8_t kind, outcome;
        uint32_t ordinal;
        size_t size;
        host_send(AMPOULE_RING_CALL, 0, ordinal_of("export", step->name), number, step->input, step->size);
        while ((kind = host_receive(number, &outcome, &ordinal, &size)) == AMPOULE_RING_IMPORT) {
            static unsigned char asked[sizeof message];
            memcpy(asked, message, size);
            if (ordinal != ordinal_of("import", "lookup"))
                host_send(AMPOULE_RING_IMPORT_REPLY, AMPOULE_ENOENT, ordinal, number, NULL, 0);
            else if (size != 0 && asked[0] == '!')
                host_send(AMPOULE_RING_IMPORT_REPLY, AMPOULE_EREMOTEIO, ordinal, number, asked + 1, size - 1);
            else
                host_send(AMPOULE_RING_IMPORT_REPLY, 0, ordinal, number, asked, size);
        }
        CHECK(kind == AMPOULE_RING_REPLY);
        check_answer(step, outcome, message, size);
    }
    host_send(AMPOULE_RING_LEAVE, 0, 0, 0, NULL, 0);
    return unused;
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void every_call_is_answered(uint64_t ticks, uint64_t idle) {
    memset(steps, 0, sizeof steps);
    struct step *at = add_calls(steps);
    uint64_t calls = (uint64_t)(at - steps);
    at = add(at, ENTER_RING, 0);
    at = add(at, "echo", 33);
    at = add(at, ENTER_RING, 0);
    at = add(at, ENTER_RING, 0);
    script = steps, script_at = 0, answered = 0;
    memcpy(info_page + AMPOULE_INFO_TICKS, &ticks, 8);
    memcpy(info_page + AMPOULE_INFO_IDLE, &idle, 8);
    CHECK(ampoule_run() == END_OF_SCRIPT);
    CHECK(answered == 4 * calls + 1);
}

static void a_broken_ring_is_left(void) {
    memset(ring_memory, 0, sizeof ring_memory);
    host_sent = 0, host_send(AMPOULE_RING_REPLY, 0, 0, 1, NULL, 0);
    CHECK(ring_run() == -AMPOULE_EPROTO);
    memset(ring_memory, 0, sizeof ring_memory);
    host_sent = 0, host_send(AMPOULE_RING_CALL, 0, 99, 1, NULL, 0);
    CHECK(ring_run() == -AMPOULE_EPROTO);
    memset(ring_memory, 0, sizeof ring_memory);
    host_sent = 0, host_send(AMPOULE_RING_CALL, 0, 0, 1, data, 40);
    ring_memory[0x1000 + 16] = 39;
    CHECK(ring_run() == -AMPOULE_EPROTO);
    CHECK(!ring.active);
}

static void the_host_can_be_told_and_asked(void) {
    static char long_message[AMPOULE_LOG_MAX_BYTES + 10];
    unsigned char seed[32];
    size_t size;
    uint64_t level = 3, generation = 42, deadline = UINT64_MAX, listens = 1;
    memcpy(info_page + AMPOULE_INFO_LOG_LEVEL, &level, 8);
    memcpy(info_page + AMPOULE_INFO_GENERATION, &generation, 8);
    memcpy(info_page + AMPOULE_INFO_DEADLINE, &deadline, 8);
    memcpy(info_page + AMPOULE_INFO_SEED, data, 32);
    CHECK(ampoule_log(4, "plugin", "too quiet") == 0 && logged_size == 0);
    CHECK(ampoule_log(3, "plugin", "hello") == 0 && logged_size == 12 && memcmp(logged, "plugin\0hello", 12) == 0);
    for (size_t i = 0; i < sizeof long_message - 1; i++) long_message[i] = i % 2 ? '\xa4' : '\xc3';
    CHECK(ampoule_log(1, "", long_message) == 0 && logged_size == AMPOULE_LOG_MAX_BYTES - 1 && logged[logged_size - 1] == '\xa4');
    CHECK(ampoule_log(1, "a", long_message) == 0 && logged_size == AMPOULE_LOG_MAX_BYTES && logged[logged_size - 1] == '\xa4');
    CHECK(ampoule_event(511, 7) == -AMPOULE_ENOSYS && event_page[511] == 0);
    memcpy(info_page + AMPOULE_INFO_EVENTS, &listens, 8);
    CHECK(ampoule_event(511, 7) == 0 && event_page[511] == 7 && ampoule_event(512, 7) == -AMPOULE_EINVAL);
    CHECK(ampoule_generation() == 42 && ampoule_entropy(seed) == 42 && memcmp(seed, data, 32) == 0);
    CHECK(ampoule_remaining_ns() == UINT64_MAX);
    deadline = 1, memcpy(info_page + AMPOULE_INFO_DEADLINE, &deadline, 8);
    CHECK(ampoule_remaining_ns() == 0);
    deadline = UINT64_MAX - 1, memcpy(info_page + AMPOULE_INFO_DEADLINE, &deadline, 8);
    CHECK(ampoule_remaining_ns() > UINT64_MAX / 2 && ampoule_remaining_ns() < UINT64_MAX);
    CHECK(ampoule_region("shared", &size) == (const volatile void *)0x7f8000000000 && size == 4096);
    CHECK(ampoule_region("other", &size) == NULL && size == 0);
}

int main(void) {
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 251);
    CHECK(ampoule_attach() == 0 && ampoule_attach() == -AMPOULE_EBUSY);
    CHECK(strcmp(table, "export echo\nexport twice\nexport refuses\nexport nests\nexport asks\nimport lookup\n") == 0);
    every_call_is_answered(0, 0);
    every_call_is_answered(1, 0);
    CHECK(parked != 0);
    every_call_is_answered(1000, 1000000000);
    a_broken_ring_is_left();
    the_host_can_be_told_and_asked();
    printf("serving: %d checks passed\n", checks);
    return 0;
}
