/* A plugin in C, with sdk/c: one function for each thing that a guest can do. */
#include "../../../sdk/c/ampoule.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns its input. */
static int echo(const void *input, size_t size, struct ampoule_reply *to) { return ampoule_reply_set(to, input, size); }
AMPOULE_EXPORT(echo);

/* Returns its input from the last byte to the first. */
static int reverse(const void *input, size_t size, struct ampoule_reply *to) {
    const unsigned char *from = input;
    unsigned char *room = ampoule_reply_reserve(to, size);
    if (room == NULL) return ampoule_fail(to, "no memory for the reply");
    for (size_t i = 0; i < size; i++) room[i] = from[size - 1 - i];
    return AMPOULE_OK;
}
AMPOULE_EXPORT(reverse);

static int sum(const void *input, size_t size, struct ampoule_reply *to) {
    struct ampoule_reader from = ampoule_reader_of(input, size);
    unsigned char result[AMPOULE_NUMBER_MAX];
    struct ampoule_writer writer = ampoule_writer_to(result, sizeof result);
    uint64_t total = 0;
    for (uint64_t left = ampoule_read_count(&from); left != 0 && !from.failed; left--) total += ampoule_read_u32(&from);
    if (!ampoule_read_all(&from)) return AMPOULE_BAD_ARGUMENTS;
    ampoule_write_u64(&writer, total);
    return ampoule_reply_set(to, result, writer.size);
}
AMPOULE_EXPORT_TYPED(sum, "(values: [u32]) -> u64");

/* Strings, options and floats. */
static int describe(const void *input, size_t size, struct ampoule_reply *to) {
    struct ampoule_reader from = ampoule_reader_of(input, size);
    size_t length;
    const unsigned char *name = ampoule_read_bytes(&from, &length);
    int has_scale = ampoule_read_option(&from);
    double scale = has_scale ? ampoule_read_f64(&from) : 1;
    int32_t shift = ampoule_read_i32(&from);
    char text[256];
    unsigned char result[sizeof text + AMPOULE_NUMBER_MAX];
    struct ampoule_writer writer = ampoule_writer_to(result, sizeof result);
    int printed;
    if (!ampoule_read_all(&from)) return AMPOULE_BAD_ARGUMENTS;
    printed = snprintf(text, sizeof text, "%.*s * %g + %d", length > 100 ? 100 : (int)length, (const char *)name, scale, (int)shift);
    ampoule_write_bytes(&writer, text, (size_t)printed);
    return ampoule_reply_set(to, result, writer.size);
}
AMPOULE_EXPORT_TYPED(describe, "(name: string, scale: option<f64>, shift: i32) -> string");

AMPOULE_IMPORT(lookup);

/* Asks the host's `lookup` and returns what it said; fails with its reason if that failed. */
static int calls_host(const void *input, size_t size, struct ampoule_reply *to) {
    unsigned char room[16];
    unsigned char *whole;
    size_t waiting;
    long got = ampoule_import(&lookup, input, size, room, sizeof room);
    if (got >= 0) return ampoule_reply_set(to, room, (size_t)got);
    if (got != -AMPOULE_EMSGSIZE && got != -AMPOULE_EREMOTEIO) return ampoule_fail(to, "lookup is not what was expected");
    waiting = ampoule_fetch_size();
    whole = ampoule_reply_reserve(to, waiting + 1);
    if (whole == NULL || ampoule_fetch(whole, waiting) != (long)waiting) return ampoule_fail(to, "the rest could not be fetched");
    if (got == -AMPOULE_EMSGSIZE) return ampoule_reply_reserve(to, waiting) != NULL ? AMPOULE_OK : AMPOULE_FAILED;
    whole[waiting] = 0;
    char *reason = strdup((const char *)whole);
    int failed = ampoule_fail(to, reason != NULL ? reason : "lookup failed");
    free(reason);
    return failed;
}
AMPOULE_EXPORT(calls_host);

static int fails(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input;
    return size == 0 ? ampoule_fail(to, "it always does") : (int)(100 + size);
}
AMPOULE_EXPORT(fails);

/* A number in decimal, as the functions below take it. */
static uint64_t number(const void *input, size_t size) {
    char text[24] = "";
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    return strtoull(text, NULL, 10);
}

/* Posts so many events: event i mod 512 with value i. */
static int events(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t count = number(input, size);
    for (uint64_t i = 0; i < count; i++) ampoule_event((unsigned)(i % 512), i);
    return ampoule_reply_set(to, &count, sizeof count);
}
AMPOULE_EXPORT(events);

/* Says its input at every level. */
static int says(const void *input, size_t size, struct ampoule_reply *to) {
    char text[256] = "";
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    for (int level = 1; level <= 5; level++)
        if (ampoule_log(level, "plugin", text) != 0) return ampoule_fail(to, "not logged");
    return AMPOULE_OK;
}
AMPOULE_EXPORT_NAMED(says, "log", "(bytes) -> bytes");

/* Prints its input, which the host's streams get. */
static int prints(const void *input, size_t size, struct ampoule_reply *to) {
    if (write(1, input, size) != (ssize_t)size) return ampoule_fail(to, "not printed");
    return AMPOULE_OK;
}
AMPOULE_EXPORT(prints);

static int exits(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size, (void)to;
    exit(3);
}
AMPOULE_EXPORT(exits);

static int spins(const void *input, size_t size, struct ampoule_reply *to) {
    volatile uint64_t rounds = 0;
    (void)input, (void)size, (void)to;
    do rounds = rounds + 1;
    while (rounds != 0);
    return AMPOULE_OK;
}
AMPOULE_EXPORT(spins);

/* Allocates and touches so many bytes, and says how many the limit let it have. What it got stays, and the next call sees that. */
static int allocates(const void *input, size_t size, struct ampoule_reply *to) {
    static uint64_t held;
    uint64_t wanted = number(input, size);
    uint64_t got;
    for (got = 0; got < wanted; got += 1 << 16) {
        char *block = malloc(1 << 16);
        if (block == NULL) break;
        memset(block, 0x5a, 1 << 16);
        held += 1 << 16;
    }
    return ampoule_reply_set(to, &held, sizeof held);
}
AMPOULE_EXPORT(allocates);

/* Counts its calls: what a guest remembers from one to the next. */
static int counts(const void *input, size_t size, struct ampoule_reply *to) {
    static uint64_t calls;
    (void)input, (void)size;
    calls++;
    return ampoule_reply_set(to, &calls, sizeof calls);
}
AMPOULE_EXPORT(counts);

/* FNV-1a, 64 bits, of the region of this name; fails if there is none. */
static int checksum(const void *input, size_t size, struct ampoule_reply *to) {
    char name[256] = "";
    uint64_t sum_of = 0xcbf29ce484222325;
    size_t bytes;
    const volatile unsigned char *region;
    memcpy(name, input, size < sizeof name ? size : sizeof name - 1);
    region = ampoule_region(name, &bytes);
    if (region == NULL) return ampoule_fail(to, "there is no such region");
    for (size_t i = 0; i < bytes; i++) sum_of = (sum_of ^ region[i]) * 0x100000001b3;
    return ampoule_reply_set(to, &sum_of, sizeof sum_of);
}
AMPOULE_EXPORT(checksum);

/* What the info page says: generation, whether there is time left, and the seed. */
static int life(const void *input, size_t size, struct ampoule_reply *to) {
    struct {
        uint64_t generation, remaining;
        unsigned char seed[32];
    } now;
    (void)input, (void)size;
    now.generation = ampoule_generation();
    now.remaining = ampoule_remaining_ns();
    if (ampoule_entropy(now.seed) != now.generation) return ampoule_fail(to, "two generations in one call");
    return ampoule_reply_set(to, &now, sizeof now);
}
AMPOULE_EXPORT(life);

int main(void) {
    ampoule_serve();
    return 2;
}
