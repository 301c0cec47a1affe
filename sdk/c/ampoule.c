/* The guest's side of docs/abi.md: attach, then answer calls, by an exit each or through the ring, whichever the host asks for.
 *
 *     constructors ──► lists of exports and imports
 *     ampoule_attach   the lists as a table ──► ATTACH
 *     ampoule_run      NEXT ──► serve ──► NEXT ──► … ──► SWITCH_TO_RING ──► ring_run ──► Leave ──► NEXT ──► …
 *                               │ ampoule_import: IMPORT, or a message in the ring
 *
 * What the host writes is believed as far as the host must be (it owns this memory), but not so far that a mistake of its would write
 * beyond a buffer. */
#include "ampoule.h"
#include "ampoule_gate.h"

#define LINUX_WRITE 1
#define LINUX_MMAP 9
#define LINUX_MUNMAP 11
#define LINUX_CLOCK_GETTIME 228
#define LINUX_GETRANDOM 318

static int attached;

/* The tests put a host of their own in this place: it says what the calls and the addresses are. */
#ifdef AMPOULE_TEST_HOST
#include AMPOULE_TEST_HOST
#else
#define RING ((unsigned char *)AMPOULE_RING_ADDRESS)
#define EVENTS ((volatile uint64_t *)AMPOULE_EVENTS_ADDRESS)
#define INFO ((const volatile unsigned char *)AMPOULE_INFO_ADDRESS)
#endif

/* The gate is there once the host has said that it is; outside Ampoule its address is anybody's. */
static struct answer call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    return attached ? call_by_jump(AMPOULE_GATE_ADDRESS, number, a, b, c, d, e) : call_by_syscall(number, a, b, c, d, e);
}

static uint64_t address(const void *bytes) { return (uint64_t)(uintptr_t)bytes; }

static uint64_t info(size_t offset) { return *(const volatile uint64_t *)(INFO + offset); }

static size_t length_of(const char *text) {
    size_t length = 0;
    while (text[length] != 0) length++;
    return length;
}

static void copy(unsigned char *to, const void *from, size_t size) { __builtin_memcpy(to, from, size); }

/* ---- buffers that grow, straight from the kernel: the program's heap stays the program's ------------------------- */

struct buffer {
    unsigned char *bytes;
    size_t capacity;
};

#define BUFFER_MIN ((size_t)64 << 10)

/* Room for `size` bytes; the first `kept` stay. */
static int buffer_grow(struct buffer *buffer, size_t size, size_t kept) {
    size_t capacity = BUFFER_MIN;
    struct answer pages;
    if (size <= buffer->capacity) return 1;
    while (capacity < size) {
        if (capacity > SIZE_MAX / 4) return 0;
        capacity *= 2;
    }
    /* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS */
    pages = call_by_syscall(LINUX_MMAP, 0, capacity, 3, 0x22, 0);
    if (pages.result < 0 && pages.result >= -4095) return 0;
    if (kept != 0) copy((unsigned char *)(uintptr_t)pages.result, buffer->bytes, kept);
    if (buffer->capacity != 0) call(LINUX_MUNMAP, address(buffer->bytes), buffer->capacity, 0, 0, 0);
    buffer->bytes = (unsigned char *)(uintptr_t)pages.result;
    buffer->capacity = capacity;
    return 1;
}

/* ---- what is offered and needed ---------------------------------------------------------------------------------- */

static struct ampoule_export *exports, **exports_end = &exports;
static struct ampoule_import *imports, **imports_end = &imports;
/* The exports by ordinal. */
static struct buffer by_ordinal;
static uint32_t export_count;

void ampoule_add_export(struct ampoule_export *one) {
    *exports_end = one;
    exports_end = &one->next;
}

void ampoule_add_import(struct ampoule_import *one) {
    *imports_end = one;
    imports_end = &one->next;
}

static struct buffer arguments;

/* Appends to a text in a buffer. */
static int put(struct buffer *to, size_t *size, const char *text) {
    size_t length = length_of(text);
    if (!buffer_grow(to, *size + length, *size)) return 0;
    copy(to->bytes + *size, text, length);
    *size += length;
    return 1;
}

int ampoule_attach(void) {
    struct ampoule_export *one;
    struct ampoule_import *need;
    struct answer answer;
    size_t size = 0;
    uint32_t ordinal = 0;
    if (attached) return -AMPOULE_EBUSY;
    /* The table lies where arguments will. */
    for (one = exports, export_count = 0; one != NULL; one = one->next) {
        size_t place = export_count++ * sizeof one;
        if (!put(&arguments, &size, "export ") || !put(&arguments, &size, one->name) || !put(&arguments, &size, "\n") ||
            !buffer_grow(&by_ordinal, place + sizeof one, place))
            return -AMPOULE_ENOMEM;
        copy(by_ordinal.bytes + place, &one, sizeof one);
    }
    for (need = imports; need != NULL; need = need->next) {
        need->ordinal = ordinal++;
        if (!put(&arguments, &size, "import ") || !put(&arguments, &size, need->name) || !put(&arguments, &size, "\n"))
            return -AMPOULE_ENOMEM;
    }
    if (!buffer_grow(&arguments, 1, 0)) return -AMPOULE_ENOMEM;
    answer = call_by_syscall(AMPOULE_CALL_ATTACH, (uint64_t)AMPOULE_ABI_MAJOR << 16 | AMPOULE_ABI_MINOR, address(arguments.bytes), size,
                             AMPOULE_FEATURE_RING, 0);
    if (answer.result < 0) return (int)answer.result;
    attached = 1;
    return 0;
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

struct ampoule_reply {
    struct buffer own;
    const unsigned char *bytes;
    size_t size;
    int failed;
};

static struct ampoule_reply reply;

unsigned char *ampoule_reply_reserve(struct ampoule_reply *to, size_t size) {
    size_t kept = to->bytes == to->own.bytes ? to->size : 0;
    if (!buffer_grow(&to->own, size + (size == 0), kept)) return NULL;
    to->bytes = to->own.bytes;
    to->size = size;
    return to->own.bytes;
}

int ampoule_reply_set(struct ampoule_reply *to, const void *bytes, size_t size) {
    unsigned char *place = ampoule_reply_reserve(to, size);
    if (place == NULL) return -AMPOULE_ENOMEM;
    if (size != 0) copy(place, bytes, size);
    return AMPOULE_OK;
}

int ampoule_reply_borrow(struct ampoule_reply *to, const void *bytes, size_t size) {
    to->bytes = (const unsigned char *)bytes;
    to->size = size;
    return AMPOULE_OK;
}

int ampoule_fail_at(struct ampoule_reply *to, const char *message, const char *location) {
    size_t size = 0;
    to->failed = 1;
    to->size = 0;
    if (!put(&to->own, &size, message) || !buffer_grow(&to->own, size + 1, size)) return AMPOULE_FAILED;
    to->own.bytes[size++] = 0;
    if (!put(&to->own, &size, location)) return AMPOULE_FAILED;
    ampoule_reply_borrow(to, to->own.bytes, size);
    return AMPOULE_FAILED;
}

/* A number that no handler has a meaning for, told as a failure. */
static void fail_with_number(const struct ampoule_export *one, int number) {
    char text[] = "the function returned            ";
    char *at = text + sizeof text - 12;
    uint32_t rest = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    char digits[10];
    size_t count = 0;
    do digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0) *at++ = '-';
    while (count != 0) *at++ = digits[--count];
    *at = 0;
    ampoule_fail_at(&reply, text, one->location);
}

/* Calls an export; its outcome, with `reply`. */
static uint64_t serve(uint64_t ordinal, const unsigned char *input, size_t size) {
    const struct ampoule_export *one;
    int returned;
    copy((unsigned char *)&one, by_ordinal.bytes + ordinal * sizeof one, sizeof one);
    reply.size = 0;
    reply.failed = 0;
    returned = one->function(input, size, &reply);
    if (returned == AMPOULE_OK) return AMPOULE_OUTCOME_RETURNED;
    if (returned == AMPOULE_BAD_ARGUMENTS) {
        reply.size = 0;
        return AMPOULE_OUTCOME_BAD_ARGUMENTS;
    }
    if (!reply.failed) fail_with_number(one, returned);
    return AMPOULE_OUTCOME_PANICKED;
}

static uint64_t no_memory(void) {
    ampoule_fail_at(&reply, "no memory for the arguments", __FILE__ ":" AMPOULE_TEXT(__LINE__));
    return AMPOULE_OUTCOME_PANICKED;
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

struct message {
    /* Word 1 of the cell: kind, outcome, ordinal. */
    uint8_t kind;
    uint8_t outcome;
    uint32_t ordinal;
    uint32_t number;
    uint64_t length;
};

static struct {
    int active;
    /* The host wrote what no message looks like: there is no way on. */
    int broken;
    uint64_t sent;
    uint64_t sent_consumed;
    uint64_t received;
    /* The call that is being served. */
    uint32_t number;
} ring;

static uint64_t ring_load(size_t offset) { return __atomic_load_n((uint64_t *)(RING + offset), __ATOMIC_ACQUIRE); }

static uint64_t ring_word(size_t offset) { return __atomic_load_n((uint64_t *)(RING + offset), __ATOMIC_RELAXED); }

static void ring_store(size_t offset, uint64_t value) { __atomic_store_n((uint64_t *)(RING + offset), value, __ATOMIC_RELEASE); }

static void pause_a_moment(void) { __builtin_ia32_pause(); }

static size_t piece_of(uint64_t left) { return left < AMPOULE_RING_PIECE_BYTES ? (size_t)left : AMPOULE_RING_PIECE_BYTES; }

static void ring_send(const struct message *header, const unsigned char *bytes, size_t size) {
    size_t left = size;
    do {
        size_t piece = piece_of(left);
        size_t cell = AMPOULE_RING_TO_HOST_CELLS + (size_t)(ring.sent % AMPOULE_RING_CELLS) * AMPOULE_RING_CELL_BYTES;
        size_t bulk = AMPOULE_RING_TO_HOST_BULK + (size_t)(ring.sent % 2) * AMPOULE_RING_PIECE_BYTES;
        uint64_t ahead = piece > AMPOULE_RING_INLINE_BYTES ? 2 : AMPOULE_RING_CELLS;
        while (ring.sent - ring.sent_consumed >= ahead) {
            uint64_t seen = ring_load(AMPOULE_RING_TO_HOST_CONSUMED);
            if (seen >= ring.sent_consumed && seen <= ring.sent) ring.sent_consumed = seen;
            pause_a_moment();
        }
        if (piece != 0) copy(RING + (piece > AMPOULE_RING_INLINE_BYTES ? bulk : cell + 32), bytes, piece);
        ring_store(cell + 8, (uint64_t)header->kind | (uint64_t)header->outcome << 8 | (uint64_t)header->ordinal << 32);
        ring_store(cell + 16, (uint64_t)piece | (uint64_t)header->number << 32);
        ring_store(cell + 24, size);
        ring_store(cell, ++ring.sent);
        left -= piece;
        if (left != 0) bytes += piece;
    } while (left != 0);
}

/* Waits for the cell that comes next: spins as long as the host wants it, then parks. */
static size_t ring_wait(void) {
    size_t cell = AMPOULE_RING_TO_GUEST_CELLS + (size_t)(ring.received % AMPOULE_RING_CELLS) * AMPOULE_RING_CELL_BYTES;
    uint64_t begin = 0, spins;
    for (spins = 0; ring_load(cell) != ring.received + 1; spins++) {
        uint64_t microseconds = info(AMPOULE_INFO_IDLE) / 1000, ticks = info(AMPOULE_INFO_TICKS), now = __builtin_ia32_rdtsc();
        if (spins == 0) begin = now;
        pause_a_moment();
        /* Without a rate the counter means nothing: a number of rounds has to do. */
        if (ticks == 0 ? spins < 1000 : (now - begin) / ticks < microseconds) continue;
        call(AMPOULE_CALL_PARK, 0, 0, 0, 0, 0);
        spins = UINT64_MAX;
    }
    return cell;
}

static struct message ring_header(size_t cell) {
    uint64_t word = ring_word(cell + 8);
    struct message header;
    header.kind = (uint8_t)word;
    header.outcome = (uint8_t)(word >> 8);
    header.ordinal = (uint32_t)(word >> 32);
    header.number = (uint32_t)(ring_word(cell + 16) >> 32);
    header.length = ring_word(cell + 24);
    return header;
}

/* The header of the message that comes next, which stays there. */
static struct message ring_next(void) { return ring_header(ring_wait()); }

/* Takes the whole message; it goes to `bytes`, or nowhere if that is NULL. */
static void ring_take(const struct message *expected, unsigned char *bytes) {
    uint64_t left = expected->length;
    do {
        size_t cell = ring_wait();
        size_t bulk = AMPOULE_RING_TO_GUEST_BULK + (size_t)(ring.received % 2) * AMPOULE_RING_PIECE_BYTES;
        size_t piece = piece_of(left);
        struct message header = ring_header(cell);
        if ((uint32_t)ring_word(cell + 16) != piece || header.kind != expected->kind || header.outcome != expected->outcome ||
            header.ordinal != expected->ordinal || header.number != expected->number || header.length != expected->length) {
            ring.broken = 1;
            return;
        }
        if (bytes != NULL && piece != 0) {
            copy(bytes, RING + (piece > AMPOULE_RING_INLINE_BYTES ? bulk : cell + 32), piece);
            bytes += piece;
        }
        left -= piece;
        ring_store(AMPOULE_RING_TO_GUEST_CONSUMED, ++ring.received);
    } while (left != 0);
}

static void ring_answer(const struct message *asked) {
    struct message answer = {AMPOULE_RING_REPLY, 0, 0, asked->number, 0};
    uint64_t outcome;
    if (!buffer_grow(&arguments, (size_t)asked->length, 0)) {
        ring_take(asked, NULL);
        outcome = no_memory();
    } else {
        ring_take(asked, arguments.bytes);
        if (ring.broken) return;
        ring.number = asked->number;
        outcome = serve(asked->ordinal, arguments.bytes, (size_t)asked->length);
    }
    answer.outcome = (uint8_t)outcome;
    if (!ring.broken) ring_send(&answer, reply.bytes, reply.size);
}

/* Serves the ring until the host says Leave. */
static int ring_run(void) {
    ring.active = 1;
    ring.broken = 0;
    ring.sent = ring.sent_consumed = ring.received = 0;
    while (!ring.broken) {
        struct message asked = ring_next();
        if (asked.kind == AMPOULE_RING_LEAVE) {
            ring_take(&asked, NULL);
            break;
        }
        if (asked.kind != AMPOULE_RING_CALL || asked.ordinal >= export_count)
            ring.broken = 1;
        else
            ring_answer(&asked);
    }
    ring.active = 0;
    return ring.broken ? -AMPOULE_EPROTO : 0;
}

/* ---- serving ----------------------------------------------------------------------------------------------------- */

static int serve_calls(void) {
    uint64_t outcome = AMPOULE_OUTCOME_NONE;
    for (;;) {
        struct answer next =
            call(AMPOULE_CALL_NEXT, outcome, address(reply.bytes), reply.size, address(arguments.bytes), arguments.capacity);
        reply.size = 0;
        if (next.result == -AMPOULE_EMSGSIZE && next.rdi < export_count) {
            if (next.rsi > SIZE_MAX / 4 || !buffer_grow(&arguments, (size_t)next.rsi, 0)) {
                outcome = no_memory();
                continue;
            }
            next.result = call(AMPOULE_CALL_FETCH, address(arguments.bytes), arguments.capacity, 0, 0, 0).result;
        }
        if (next.result < 0) return (int)next.result;
        if (next.rdi == AMPOULE_SWITCH_TO_RING) {
            int left = ring_run();
            if (left != 0) return left;
            reply.size = 0;
            outcome = AMPOULE_OUTCOME_NONE;
        } else if (next.rdi < export_count) {
            outcome = serve(next.rdi, arguments.bytes, (size_t)next.result);
        } else {
            return -AMPOULE_EPROTO;
        }
    }
}

int ampoule_run(void) {
    static int running;
    int result;
    if (!attached) return -AMPOULE_ENOSYS;
    if (running) return -AMPOULE_EBUSY;
    running = 1;
    result = serve_calls();
    running = 0;
    return result;
}

static void say(const char *text) { call(LINUX_WRITE, 2, address(text), length_of(text), 0, 0); }

int ampoule_serve(void) {
    int result = ampoule_attach();
    const struct ampoule_export *one;
    const struct ampoule_import *need;
    if (result == 0) result = ampoule_run();
    if (result != -AMPOULE_ENOSYS) {
        say(result == -AMPOULE_EPROTO   ? "ampoule: the host broke the ABI\n"
            : result == -AMPOULE_ENOMEM ? "ampoule: no memory to serve with\n"
                                        : "ampoule: the host does not let this program serve\n");
        return result;
    }
    say("This program is a plugin for Ampoule: it does nothing by itself, a host loads it and calls its functions.\n");
    for (one = exports; one != NULL; one = one->next) say("  export "), say(one->name), say("\n");
    for (need = imports; need != NULL; need = need->next) say("  import "), say(need->name), say("\n");
    return result;
}

/* ---- calling the host -------------------------------------------------------------------------------------------- */

/* What came by the ring and did not fit. */
static struct buffer spilled;
static int is_spilled;
static size_t waiting;

static long ring_import(const struct ampoule_import *import, const void *input, size_t size, void *output, size_t capacity) {
    struct message header = {AMPOULE_RING_IMPORT, 0, import->ordinal, ring.number, 0};
    if (ring.broken) return -AMPOULE_EPROTO;
    ring_send(&header, (const unsigned char *)input, size);
    header = ring_next();
    if (header.kind != AMPOULE_RING_IMPORT_REPLY || header.number != ring.number || header.length > SIZE_MAX / 4) {
        ring.broken = 1;
        return -AMPOULE_EPROTO;
    }
    if (header.outcome == 0 && header.length <= capacity) {
        ring_take(&header, (unsigned char *)output);
        return ring.broken ? -AMPOULE_EPROTO : (long)header.length;
    }
    if (!buffer_grow(&spilled, (size_t)header.length, 0)) {
        ring_take(&header, NULL);
        return -AMPOULE_ENOMEM;
    }
    ring_take(&header, spilled.bytes);
    if (ring.broken) return -AMPOULE_EPROTO;
    is_spilled = 1;
    waiting = (size_t)header.length;
    return header.outcome == 0 ? -AMPOULE_EMSGSIZE : -(long)header.outcome;
}

long ampoule_import(const struct ampoule_import *import, const void *input, size_t size, void *output, size_t capacity) {
    struct answer answer;
    if (!attached) return -AMPOULE_ENOSYS;
    waiting = 0;
    is_spilled = 0;
    if (ring.active) return ring_import(import, input, size, output, capacity);
    answer = call(AMPOULE_CALL_IMPORT, import->ordinal, address(input), size, address(output), capacity);
    if (answer.result == -AMPOULE_EMSGSIZE || answer.result == -AMPOULE_EREMOTEIO) waiting = (size_t)answer.rsi;
    return (long)answer.result;
}

size_t ampoule_fetch_size(void) { return waiting; }

long ampoule_fetch(void *output, size_t capacity) {
    size_t size = waiting;
    if (!is_spilled) {
        struct answer answer = call(AMPOULE_CALL_FETCH, address(output), capacity, 0, 0, 0);
        if (answer.result >= 0) waiting = 0;
        return (long)answer.result;
    }
    if (size > capacity) return -AMPOULE_EMSGSIZE;
    if (size != 0) copy((unsigned char *)output, spilled.bytes, size);
    waiting = 0;
    is_spilled = 0;
    return (long)size;
}

/* ---- telling and asking the host --------------------------------------------------------------------------------- */

int ampoule_event(unsigned event, uint64_t value) {
    if (event >= 512) return -AMPOULE_EINVAL;
    if (!attached || info(AMPOULE_INFO_EVENTS) == 0) return -AMPOULE_ENOSYS;
    EVENTS[event] = value;
    return 0;
}

int ampoule_log(int level, const char *target, const char *message) {
    static unsigned char record[AMPOULE_LOG_MAX_BYTES];
    const char *begin = message;
    size_t size = 0;
    if (level < 1 || level > 5) return -AMPOULE_EINVAL;
    if (!attached) return -AMPOULE_ENOSYS;
    if ((uint64_t)level > info(AMPOULE_INFO_LOG_LEVEL)) return 0;
    while (*target != 0 && size < sizeof record - 1) record[size++] = (unsigned char)*target++;
    record[size++] = 0;
    while (*message != 0 && size < sizeof record) record[size++] = (unsigned char)*message++;
    /* Not in the middle of a character. */
    if (*message != 0)
        while (message != begin && (*message & 0xc0) == 0x80) message--, size--;
    return (int)call(AMPOULE_CALL_LOG, (uint64_t)level, address(record), size, 0, 0).result;
}

uint64_t ampoule_remaining_ns(void) {
    int64_t now[2];
    uint64_t deadline, nanoseconds;
    if (!attached) return UINT64_MAX;
    deadline = info(AMPOULE_INFO_DEADLINE);
    /* CLOCK_MONOTONIC */
    if (deadline == UINT64_MAX || call(LINUX_CLOCK_GETTIME, 1, address(now), 0, 0, 0).result != 0) return UINT64_MAX;
    nanoseconds = (uint64_t)now[0] * 1000000000 + (uint64_t)now[1];
    return deadline > nanoseconds ? deadline - nanoseconds : 0;
}

uint64_t ampoule_generation(void) { return attached ? info(AMPOULE_INFO_GENERATION) : 0; }

uint64_t ampoule_entropy(unsigned char seed[32]) {
    uint64_t generation, words[4];
    size_t i;
    if (!attached) {
        call(LINUX_GETRANDOM, address(seed), 32, 0, 0, 0);
        return 0;
    }
    /* A snapshot can be taken between any two instructions. */
    do {
        generation = info(AMPOULE_INFO_GENERATION);
        for (i = 0; i < 4; i++) words[i] = info(AMPOULE_INFO_SEED + 8 * i);
    } while (generation != info(AMPOULE_INFO_GENERATION));
    copy(seed, words, sizeof words);
    return generation;
}

const volatile void *ampoule_region(const char *name, size_t *size) {
    struct answer answer = call(AMPOULE_CALL_REGION, address(name), length_of(name), 0, 0, 0);
    *size = answer.result < 0 ? 0 : (size_t)answer.result;
    return answer.result < 0 ? NULL : (const volatile void *)(uintptr_t)answer.rdi;
}
