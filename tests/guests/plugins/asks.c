/* What a guest asks its host for: functions with types and without, events in between, regions. */
#include "../../../sdk/c/ampoule.c"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

AMPOULE_IMPORT_TYPED(add, "(a: u32, b: u32) -> u64");
AMPOULE_IMPORT_TYPED(parse, "(text: string) -> f64");
AMPOULE_IMPORT_TYPED(later, "(name: string) -> string");
AMPOULE_IMPORT(raw);

static unsigned char room[1 << 16];

/* A number in decimal, as some functions below take it. */
static uint64_t number(const void *input, size_t size) {
    char text[24] = "";
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    return strtoull(text, NULL, 10);
}

/* Passes the input on to a function of the host's and its result back: what the types are, they need not know here. */
static int pass(const struct ampoule_import *import, const void *input, size_t size, struct ampoule_reply *to) {
    long got = ampoule_import(import, input, size, room, sizeof room);
    if (got >= 0) return ampoule_reply_set(to, room, (size_t)got);
    if (got == -AMPOULE_EMSGSIZE) {
        size_t waiting = ampoule_fetch_size();
        unsigned char *whole = ampoule_reply_reserve(to, waiting);
        if (whole == NULL || ampoule_fetch(whole, waiting) != (long)waiting) return ampoule_fail(to, "the rest could not be fetched");
        return AMPOULE_OK;
    }
    if (got == -AMPOULE_EREMOTEIO) {
        long reason = ampoule_fetch(room, sizeof room - 1);
        room[reason < 0 ? 0 : reason] = 0;
        return ampoule_fail(to, (const char *)room);
    }
    return (int)(1000 - got);
}

#define PASSES(name, import) \
    static int name(const void *input, size_t size, struct ampoule_reply *to) { return pass(&import, input, size, to); }
PASSES(asks_add, add)
AMPOULE_EXPORT_TYPED(asks_add, "(a: u32, b: u32) -> u64");
PASSES(asks_parse, parse)
AMPOULE_EXPORT_TYPED(asks_parse, "(text: string) -> f64");
PASSES(asks_later, later)
AMPOULE_EXPORT_TYPED(asks_later, "(name: string) -> string");
PASSES(asks_raw, raw)
AMPOULE_EXPORT(asks_raw);
/* Whatever bytes the caller likes, for a function with types. */
PASSES(asks_add_badly, add)
AMPOULE_EXPORT(asks_add_badly);

/* Makes something of a failure of the host's. */
static int handles(const void *input, size_t size, struct ampoule_reply *to) {
    static const char text[] = "handled: ";
    unsigned char *reply = ampoule_reply_reserve(to, sizeof room);
    long got = ampoule_import(&raw, input, size, room, sizeof room);
    if (reply == NULL || got != -AMPOULE_EREMOTEIO) return ampoule_fail(to, "there was nothing to handle");
    memcpy(reply, text, sizeof text - 1);
    got = ampoule_fetch(reply + sizeof text - 1, sizeof room - sizeof text);
    ampoule_reply_reserve(to, sizeof text - 1 + (size_t)(got < 0 ? 0 : got));
    return AMPOULE_OK;
}
AMPOULE_EXPORT(handles);

/* Lends its host a copy of the input: tells `raw` where it is and how long, and returns what became of it. */
static int lends(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t where[2] = {(uint64_t)(uintptr_t)(room + 16), size};
    memcpy(room + 16, input, size);
    if (ampoule_import(&raw, where, sizeof where, NULL, 0) != 0) return ampoule_fail(to, "raw is not what was expected");
    return ampoule_reply_set(to, room + 16, size);
}
AMPOULE_EXPORT(lends);

/* Asks `raw` so often, with a number that counts, and mixes what it says. */
static int asks_often(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t count = number(input, size), mixed = 0, said;
    for (uint64_t i = 0; i < count; i++) {
        if (ampoule_import(&raw, &i, sizeof i, &said, sizeof said) != sizeof said) return ampoule_fail(to, "raw said too little");
        mixed = mixed * 31 + said;
    }
    return ampoule_reply_set(to, &mixed, sizeof mixed);
}
AMPOULE_EXPORT(asks_often);

/* Posts so many events, then tells `raw` how many. */
static int posts_then_asks(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t count = number(input, size);
    for (uint64_t i = 0; i < count; i++)
        if (ampoule_event((unsigned)(i % 512), i) != 0) return ampoule_fail(to, "not posted");
    return pass(&raw, &count, sizeof count, to);
}
AMPOULE_EXPORT(posts_then_asks);

/* Posts one event and asks `raw`, so often. */
static int posts_and_asks(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t count = number(input, size);
    for (uint64_t i = 0; i < count; i++)
        if (ampoule_event(7, i) != 0 || ampoule_import(&raw, &i, sizeof i, NULL, 0) != 0) return ampoule_fail(to, "not posted or not asked");
    return AMPOULE_OK;
}
AMPOULE_EXPORT(posts_and_asks);

/* Posts events for good, each with the number of the one before plus one. */
static int posts_forever(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size;
    for (uint64_t i = 0; ampoule_event(3, i) == 0; i++) {}
    return ampoule_fail(to, "not posted");
}
AMPOULE_EXPORT(posts_forever);

/* What posting an event returns. */
static int posts(const void *input, size_t size, struct ampoule_reply *to) {
    int32_t result = ampoule_event(5, 55);
    (void)input, (void)size;
    return ampoule_reply_set(to, &result, sizeof result);
}
AMPOULE_EXPORT(posts);

/* ---- regions ----------------------------------------------------------------------------------------------------- */

/* The region whose name is the input. */
static const volatile void *region(const void *input, size_t size, size_t *bytes) {
    char name[256] = "";
    memcpy(name, input, size < sizeof name ? size : sizeof name - 1);
    return ampoule_region(name, bytes);
}

/* Its address and size. */
static int where(const void *input, size_t size, struct ampoule_reply *to) {
    size_t bytes;
    uint64_t found[2] = {(uint64_t)(uintptr_t)region(input, size, &bytes), 0};
    found[1] = bytes;
    return found[0] == 0 ? ampoule_fail(to, "there is no such region") : ampoule_reply_set(to, found, sizeof found);
}
AMPOULE_EXPORT(where);

/* All of it as the reply, from where it is. */
static int gives(const void *input, size_t size, struct ampoule_reply *to) {
    size_t bytes;
    const volatile void *at = region(input, size, &bytes);
    return at == NULL ? ampoule_fail(to, "there is no such region") : ampoule_reply_borrow(to, (const void *)at, bytes);
}
AMPOULE_EXPORT(gives);

/* All of it to the host's `raw`, from where it is. */
static int sends(const void *input, size_t size, struct ampoule_reply *to) {
    size_t bytes;
    const volatile void *at = region(input, size, &bytes);
    return at == NULL ? ampoule_fail(to, "there is no such region") : pass(&raw, (const void *)at, bytes, to);
}
AMPOULE_EXPORT(sends);

/* All of it to stdout, by Linux's own call. */
static int shows(const void *input, size_t size, struct ampoule_reply *to) {
    size_t bytes;
    const volatile void *at = region(input, size, &bytes);
    if (at == NULL || write(1, (const void *)at, bytes) != (ssize_t)bytes) return ampoule_fail(to, "not shown");
    return AMPOULE_OK;
}
AMPOULE_EXPORT(shows);

/* Reads stdin into it: the kernel writes there no more than the guest itself. */
static int reads_into(const void *input, size_t size, struct ampoule_reply *to) {
    size_t bytes;
    const volatile void *at = region(input, size, &bytes);
    int32_t failed = read(0, (void *)at, bytes) == -1;
    return ampoule_reply_set(to, &failed, sizeof failed);
}
AMPOULE_EXPORT(reads_into);

static __attribute__((noinline)) void stores_to_region(volatile unsigned char *at) { *at = 1; }

static int spoils(const void *input, size_t size, struct ampoule_reply *to) {
    size_t bytes;
    stores_to_region((volatile unsigned char *)(uintptr_t)region(input, size, &bytes));
    return ampoule_fail(to, "it could be written to");
}
AMPOULE_EXPORT(spoils);

int main(void) {
    ampoule_serve();
    return 2;
}
