/* guest: flags=-O1,-Wno-array-bounds
 * What no honest plugin does in the ring: see raw.h. Names are at most 32 bytes, so that each comes in one cell. Outside the ring it answers
 * every call with "only in the ring". A misbehaviour that lets the call go on replies "ok" by itself. Two endings more than in raw.h:
 *
 *     stays       the reply is "ok", the guest can be called again, and the limits end its way back out of the ring
 *     breaks      the reply is "ok", the guest can be called again, and it breaks the protocol on its way out of the ring */
#include "raw.h"

AMPOULE_NOTE("1", "misbehave(bytes) -> bytes");
AMPOULE_NOTE("2", "lookup(bytes) -> bytes");

#define RING AMPOULE_RING_ADDRESS
#define INLINE AMPOULE_RING_INLINE_BYTES
#define PIECE AMPOULE_RING_PIECE_BYTES

static uint64_t sent, received;
/* The number of the call that is being served. */
static uint32_t number;
/* What it does instead of parking, while it has nothing to do. */
static void (*idles)(void);
/* What it does when it is told to leave. */
static int stays;
static uint64_t outcome_of_leaving = AMPOULE_OUTCOME_NONE;

static uint64_t *word(uint64_t offset) { return (uint64_t *)(uintptr_t)(RING + offset); }

static uint64_t to_host(uint64_t position) { return AMPOULE_RING_TO_HOST_CELLS + position % AMPOULE_RING_CELLS * AMPOULE_RING_CELL_BYTES; }

/* A cell with anything in it. */
static void cell(uint64_t kind, uint64_t outcome, uint64_t ordinal, uint64_t of, uint64_t piece, uint64_t length) {
    uint64_t at = to_host(sent);
    *word(at + 8) = kind | outcome << 8 | ordinal << 32;
    *word(at + 16) = piece | of << 32;
    *word(at + 24) = length;
    __atomic_store_n(word(at), ++sent, __ATOMIC_RELEASE);
}

static void answer(void) {
    memcpy((void *)word(to_host(sent) + 32), "ok", 2);
    cell(AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, 2, 2);
}

/* Waits for good: the call is not answered, so that it is never parked. It is the host's to end it. */
static void wait(void) {
    for (;;) raw(AMPOULE_CALL_PARK, 0, 0, 0, 0, 0);
}

#define CELL(name, ...)      \
    static int name(void) {  \
        cell(__VA_ARGS__);   \
        wait();              \
        return 1;            \
    }

CELL(kind_0, 0, 0, 0, number, 0, 0)
CELL(kind_255, 255, 0, 0, number, 0, 0)
CELL(kind_call, AMPOULE_RING_CALL, 0, 0, number, 0, 0)
CELL(kind_import_reply, AMPOULE_RING_IMPORT_REPLY, 0, 0, number, 0, 0)
CELL(kind_leave, AMPOULE_RING_LEAVE, 0, 0, number, 0, 0)
CELL(outcome_none, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_NONE, 0, number, 0, 0)
CELL(outcome_99, AMPOULE_RING_REPLY, 99, 0, number, 0, 0)
CELL(other_number, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number + 1, 0, 0)
CELL(older_number, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number - 1, 0, 0)
CELL(import_of_other, AMPOULE_RING_IMPORT, 0, 0, number + 7, 0, 0)
CELL(piece_too_short, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, 10, 20)
CELL(piece_too_long, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, 20, 10)
CELL(piece_beyond_half, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE + 1, PIECE + 1)
CELL(piece_of_4_gib, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, 0xffffffff, 0xffffffff)
CELL(length_2_63, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, 1ull << 63)
CELL(length_all_ones, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, -1ull)
/* The rest never comes. */
CELL(half_a_reply, AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, PIECE + 1)
CELL(half_an_import, AMPOULE_RING_IMPORT, 0, 0, number, PIECE, PIECE + 1)

static int torn_length(void) {
    cell(AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, PIECE + 5);
    cell(AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, 6, PIECE + 6);
    return wait(), 1;
}
static int torn_kind(void) {
    cell(AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, PIECE + 5);
    cell(AMPOULE_RING_IMPORT, AMPOULE_OUTCOME_RETURNED, 0, number, 5, PIECE + 5);
    return wait(), 1;
}
static int torn_number(void) {
    cell(AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, PIECE + 5);
    cell(AMPOULE_RING_REPLY, AMPOULE_OUTCOME_RETURNED, 0, number + 1, 5, PIECE + 5);
    return wait(), 1;
}

/* Whole pieces without end, faster than they can be taken: there is always one more. */
static int pieces_without_end(uint64_t kind) {
    for (;;) {
        while (sent - __atomic_load_n(word(AMPOULE_RING_TO_HOST_CONSUMED), __ATOMIC_ACQUIRE) >= AMPOULE_RING_CELLS) __builtin_ia32_pause();
        cell(kind, AMPOULE_OUTCOME_RETURNED, 0, number, PIECE, -1ull);
    }
    return 1;
}
static int reply_without_end(void) { return pieces_without_end(AMPOULE_RING_REPLY); }
static int argument_without_end(void) { return pieces_without_end(AMPOULE_RING_IMPORT); }

/* Stamps that are not the next one: nothing has been sent. */
static int wrong_stamps(void) {
    const uint64_t stamps[] = {0, sent, sent + 2, sent + 1 + AMPOULE_RING_CELLS, -1ull, 1ull << 63};
    for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++) {
        *word(to_host(sent) + 8) = 0xffff;
        __atomic_store_n(word(to_host(sent)), stamps[i], __ATOMIC_RELEASE);
    }
    answer();
    return 1;
}

/* Changes the reply as fast as it can after it was sent. Whatever the host took, it took once. */
static int changing_reply(void) {
    uint64_t at = to_host(sent);
    answer();
    for (uint64_t i = 0; i < 10000000; i++) {
        *(volatile uint64_t *)word(at + 8) = i * 0x9e3779b97f4a7c15;
        *(volatile uint64_t *)word(at + 16) = i << 20;
        *(volatile uint64_t *)word(at + 24) = ~i;
    }
    return 1;
}

/* Random words over all of the ring, a hundred times. */
static int scribble(void) {
    uint64_t state = 0x853c49e6748fea9b;
    for (int round = 0; round < 100; round++)
        for (uint64_t offset = 0; offset < AMPOULE_RING_BYTES; offset += 8) {
            state = state * 6364136223846793005 + 1442695040888963407;
            *(volatile uint64_t *)word(offset) = state ^ state >> 29;
        }
    return wait(), 1;
}

/* All ones, the stamps among them. */
static int all_ones(void) {
    memset((void *)word(0), 0xff, AMPOULE_RING_BYTES);
    return wait(), 1;
}

/* It says that it has taken what was never sent: the host does not believe it, and the call is answered. */
static int consumed_too_much(void) {
    const uint64_t consumed[] = {-1ull, received + 1000, 1ull << 63, 0};
    for (size_t i = 0; i < sizeof consumed / sizeof *consumed; i++) __atomic_store_n(word(0), consumed[i], __ATOMIC_RELEASE);
    answer();
    return 1;
}

/* It writes the host's word. */
static int consumed_of_host(void) {
    __atomic_store_n(word(AMPOULE_RING_TO_HOST_CONSUMED), -1ull, __ATOMIC_RELEASE);
    answer();
    return 1;
}

/* The answer to this call and to the next, of which it knows the number. */
static int answer_in_advance(void) {
    answer();
    number++;
    answer();
    return 1;
}

static int answer_twice(void) {
    answer();
    answer();
    return 1;
}

/* More messages than cells, without waiting for room. */
static int overrun(void) {
    for (int i = 0; i < 1000; i++) cell(AMPOULE_RING_IMPORT, 0, 0, number, 0, 0);
    return wait(), 1;
}

static int import_without_end(void) {
    while (sent != UINT64_MAX) {
        while (sent - __atomic_load_n(word(AMPOULE_RING_TO_HOST_CONSUMED), __ATOMIC_ACQUIRE) >= 32) __builtin_ia32_pause();
        cell(AMPOULE_RING_IMPORT, 0, 0, number, 0, 0);
    }
    return 1;
}

/* It says that it has taken every answer, and always has a request more. */
static int import_and_forget(void) {
    while (sent != UINT64_MAX) {
        uint64_t taken = __atomic_load_n(word(AMPOULE_RING_TO_HOST_CONSUMED), __ATOMIC_ACQUIRE);
        /* The call was one message more, and no request was answered before it was taken. */
        __atomic_store_n(word(0), received + taken, __ATOMIC_RELEASE);
        if (sent - taken < 32) cell(AMPOULE_RING_IMPORT, 0, 0, number, 0, 0);
    }
    return 1;
}

/* There is no such function of the host's, and the guest is told. */
static int import_ordinal(void) {
    const uint32_t ordinals[] = {1, 0x10000, 0xffffffff};
    for (size_t i = 0; i < sizeof ordinals / sizeof *ordinals; i++) {
        uint64_t at = AMPOULE_RING_TO_GUEST_CELLS + received % AMPOULE_RING_CELLS * AMPOULE_RING_CELL_BYTES;
        cell(AMPOULE_RING_IMPORT, 0, ordinals[i], number, 0, 0);
        while (__atomic_load_n(word(at), __ATOMIC_ACQUIRE) != received + 1) raw(AMPOULE_CALL_PARK, 0, 0, 0, 0, 0);
        if ((*word(at + 8) & 0xffff) != (AMPOULE_RING_IMPORT_REPLY | AMPOULE_ENOENT << 8) || *word(at + 24) != 0) wait();
        __atomic_store_n(word(0), ++received, __ATOMIC_RELEASE);
    }
    return 0;
}

/* The calls of the other mode. */
static int next_in_the_ring(void) {
    raw(AMPOULE_CALL_NEXT, AMPOULE_OUTCOME_NONE, 0, 0, AT(buffer), sizeof buffer);
    return wait(), 1;
}
static int import_in_the_ring(void) {
    return raw(AMPOULE_CALL_IMPORT, 0, AT("x"), 1, AT(buffer), sizeof buffer).rax == -AMPOULE_EBUSY ? 0 : (wait(), 1);
}
static int attach_in_the_ring(void) {
    return raw(AMPOULE_CALL_ATTACH, AMPOULE_ABI_MAJOR << 16, AT(""), 0, 0, 0).rax == -AMPOULE_EBUSY ? 0 : (wait(), 1);
}
static int unknown_in_the_ring(void) {
    return raw(AMPOULE_CALL_PARK + 1, 1, 2, 3, 4, 5).rax == -AMPOULE_ENOSYS ? 0 : (wait(), 1);
}

static int park_forever(void) { return wait(), 1; }

/* ---- with nothing to do ------------------------------------------------------------------------------------------ */

#define IDLES(name, ...)                              \
    static void name##_a_moment(void) { __VA_ARGS__; } \
    static int name(void) {                           \
        idles = name##_a_moment;                      \
        return 0;                                     \
    }

IDLES(spins, __builtin_ia32_pause())
IDLES(makes_system_calls, raw(39 /* getpid */, 0, 0, 0, 0, 0))
IDLES(logs, raw(AMPOULE_CALL_LOG, 1, AT("idle\0idle"), 9, 0, 0))
IDLES(fetches, raw(AMPOULE_CALL_FETCH, AT(buffer), 0, 0, 0, 0))
IDLES(attaches, raw(AMPOULE_CALL_ATTACH, 0, 0, 0, 0, 0))
IDLES(prints, if (write(1, buffer, sizeof buffer) == 0) _exit(4))
IDLES(requests, if (sent - *word(AMPOULE_RING_TO_HOST_CONSUMED) < 8) cell(AMPOULE_RING_IMPORT, 0, 0, number, 0, 0))

/* The word that says how much it has taken goes up and down. */
IDLES(unsettled, *(volatile uint64_t *)word(0) = (uint64_t)rand())

static int ends(void) {
    answer();
    return *(volatile int *)8;
}

/* ---- on its way out ---------------------------------------------------------------------------------------------- */

static int never_leaves(void) { return stays = 1, 0; }

static int leaves_with_an_answer(void) { return outcome_of_leaving = AMPOULE_OUTCOME_RETURNED, 0; }

static int never_consume(void) {
    volatile uint64_t rounds = 0;
    do rounds = rounds + 1;
    while (rounds != 0);
    return 1;
}
static int leave(void) {
    _exit(3);
    return 1;
}
static int reply_and_leave(void) {
    answer();
    _exit(3);
    return 1;
}
static int trap(void) { return *(volatile int *)8; }

static const struct misbehaviour misbehaviours[] = {
    {"kind 0", "protocol", kind_0},
    {"kind 255", "protocol", kind_255},
    {"kind call", "protocol", kind_call},
    {"kind import reply", "protocol", kind_import_reply},
    {"kind leave", "protocol", kind_leave},
    {"outcome none", "protocol", outcome_none},
    {"outcome 99", "protocol", outcome_99},
    {"other number", "protocol", other_number},
    {"older number", "protocol", older_number},
    {"import of another call", "protocol", import_of_other},
    {"piece too short", "protocol", piece_too_short},
    {"piece too long", "protocol", piece_too_long},
    {"piece beyond its half", "protocol", piece_beyond_half},
    {"piece of 4 GiB", "protocol", piece_of_4_gib},
    {"length 2^63", "limit", length_2_63},
    {"length all ones", "limit", length_all_ones},
    {"half a reply", "limit", half_a_reply},
    {"half an import", "limit", half_an_import},
    {"reply without end", "limit", reply_without_end},
    {"argument without end", "limit", argument_without_end},
    {"torn length", "protocol", torn_length},
    {"torn kind", "protocol", torn_kind},
    {"torn number", "protocol", torn_number},
    {"wrong stamps", "answered", wrong_stamps},
    /* Whatever comes of it comes of a message that was its own. */
    {"changing reply", "went on or guest or arguments or too long or protocol or limit", changing_reply},
    {"scribble", "protocol or limit", scribble},
    {"all ones", "limit", all_ones},
    {"consumed too much", "answered", consumed_too_much},
    {"consumed of the host", "answered", consumed_of_host},
    {"answer in advance", "answered", answer_in_advance},
    /* The second reply is to a call that is over: the next one is broken. */
    {"answer twice", "next call", answer_twice},
    {"overrun", "protocol or limit", overrun},
    {"import without end", "limit", import_without_end},
    {"import and forget", "limit", import_and_forget},
    {"import ordinal", "answered", import_ordinal},
    {"next in the ring", "protocol", next_in_the_ring},
    {"import in the ring", "answered", import_in_the_ring},
    {"attach in the ring", "answered", attach_in_the_ring},
    {"unknown in the ring", "answered", unknown_in_the_ring},
    {"park forever", "limit", park_forever},
    {"never consume", "limit", never_consume},
    {"leave", "exited", leave},
    {"reply and leave", "answered or exited", reply_and_leave},
    {"trap", "trap", trap},
    {"idle: spins", "answered", spins},
    {"idle: makes system calls", "answered", makes_system_calls},
    {"idle: logs", "answered", logs},
    {"idle: fetches", "answered", fetches},
    {"idle: attaches", "answered", attaches},
    {"idle: prints", "answered", prints},
    {"idle: unsettled", "answered", unsettled},
    /* Of a call that is over. */
    {"idle: requests", "next call", requests},
    {"idle: ends", "answered or trap", ends},
    {"never leaves", "stays", never_leaves},
    {"leaves with an answer", "breaks", leaves_with_an_answer},
    {NULL, NULL, NULL},
};

static void parks(void) { raw(AMPOULE_CALL_PARK, 0, 0, 0, 0, 0); }

/* Serves the ring, as far as names of misbehaviours go. */
static void serve_ring(void) {
    sent = received = 0;
    for (;;) {
        uint64_t at = AMPOULE_RING_TO_GUEST_CELLS + received % AMPOULE_RING_CELLS * AMPOULE_RING_CELL_BYTES;
        while (__atomic_load_n(word(at), __ATOMIC_ACQUIRE) != received + 1) idles();
        uint8_t kind = (uint8_t)*word(at + 8);
        size_t size = (uint32_t)*word(at + 16);
        number = (uint32_t)(*word(at + 16) >> 32);
        memcpy(buffer, word(at + 32), INLINE);
        __atomic_store_n(word(0), ++received, __ATOMIC_RELEASE);
        while (kind == AMPOULE_RING_LEAVE && stays) idles();
        if (kind == AMPOULE_RING_LEAVE) return;
        const struct misbehaviour *one = size > INLINE ? NULL : find(misbehaviours, buffer, size);
        if (kind == AMPOULE_RING_CALL && (one == NULL || !one->run())) answer();
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "list") == 0) return list(misbehaviours);
    attach("export misbehave\nimport lookup\n", AMPOULE_FEATURE_RING);
    room = AT(buffer), room_size = sizeof buffer;
    idles = parks;
    reply(AMPOULE_OUTCOME_NONE, 0, 0);
    for (;;) {
        if (now.rax >= 0 && now.rdi == AMPOULE_SWITCH_TO_RING) {
            serve_ring();
            reply(outcome_of_leaving, 0, 0);
        } else {
            arguments();
            strcpy(report, "only in the ring");
            answer_with_report();
        }
    }
}
