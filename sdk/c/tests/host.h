/* A host in the same program, in place of the real one's addresses and calls: it hands out a script of calls, checks what comes back, and
 * plays the other side of the ring in a thread. */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "check.h"

static __attribute__((aligned(64))) unsigned char ring_memory[AMPOULE_RING_BYTES];
static uint64_t event_page[512];
static __attribute__((aligned(8))) unsigned char info_page[4096];
#define RING ring_memory
#define EVENTS ((volatile uint64_t *)event_page)
#define INFO ((const volatile unsigned char *)info_page)

/* A call for the guest, and what its answer must be. */
struct step {
    const char *name;
    const unsigned char *input;
    size_t size;
    uint64_t outcome;
    const unsigned char *reply;
    size_t reply_size;
};

#define ENTER_RING "enter the ring"
#define END_OF_SCRIPT (-1000)

static const struct step *script;
static size_t script_at;
static uint64_t answered;
static uint64_t parked;
static char table[4096];
static char logged[2 * AMPOULE_LOG_MAX_BYTES];
static size_t logged_size;
static unsigned char message[8 << 20];
static size_t message_size;
static int has_message;
static pthread_t ring_host;
static void *play_ring(void *unused);

/* The ordinal of a function, as its place in the table says. */
static uint32_t ordinal_of(const char *kind, const char *name) {
    char line[300];
    char copy_of[sizeof table];
    uint32_t ordinal = 0;
    snprintf(line, sizeof line, "%s %s", kind, name);
    strcpy(copy_of, table);
    for (char *at = strtok(copy_of, "\n"); at != NULL; at = strtok(NULL, "\n")) {
        if (strcmp(at, line) == 0) return ordinal;
        ordinal += strncmp(at, kind, strlen(kind)) == 0;
    }
    CHECK(!"the table has every function that the script names");
    return 0;
}

static void check_answer(const struct step *step, uint64_t outcome, const unsigned char *bytes, size_t size) {
    CHECK(outcome == step->outcome);
    CHECK(size == step->reply_size);
    CHECK(size == 0 || memcmp(bytes, step->reply, size) == 0);
    answered++;
}

/* Keeps a message for FETCH. */
static void keep(const unsigned char *bytes, size_t size) {
    memcpy(message, bytes, size);
    message_size = size;
    has_message = 1;
}

/* Puts a message where there is room for it, or keeps it. */
static struct answer deliver(const unsigned char *bytes, size_t size, uint64_t rdi, uint64_t to, uint64_t capacity) {
    struct answer answer = {(int64_t)size, rdi, size};
    has_message = 0;
    if (size > capacity) {
        keep(bytes, size);
        answer.result = -AMPOULE_EMSGSIZE;
    } else if (size != 0) {
        memcpy((void *)to, bytes, size);
    }
    return answer;
}

static struct answer next(uint64_t outcome, uint64_t bytes, uint64_t size, uint64_t buffer, uint64_t capacity) {
    struct answer answer = {0, 0, 0};
    if (script_at != 0 && strcmp(script[script_at - 1].name, ENTER_RING) != 0)
        check_answer(&script[script_at - 1], outcome, (const unsigned char *)bytes, size);
    else
        CHECK(outcome == AMPOULE_OUTCOME_NONE && size == 0);
    if (script_at != 0 && strcmp(script[script_at - 1].name, ENTER_RING) == 0) CHECK(pthread_join(ring_host, NULL) == 0);
    const struct step *step = &script[script_at++];
    if (step->name == NULL) {
        answer.result = END_OF_SCRIPT;
        return answer;
    }
    if (strcmp(step->name, ENTER_RING) == 0) {
        memset(ring_memory, 0, sizeof ring_memory);
        CHECK(pthread_create(&ring_host, NULL, play_ring, NULL) == 0);
        answer.rdi = AMPOULE_SWITCH_TO_RING;
        return answer;
    }
    return deliver(step->input, step->size, ordinal_of("export", step->name), buffer, capacity);
}

/* The host's only function: it repeats its input, or fails with it if that begins with an exclamation mark. */
static struct answer import(uint64_t ordinal, const unsigned char *input, size_t size, uint64_t to, uint64_t capacity) {
    struct answer answer = {-AMPOULE_ENOENT, 0, 0};
    if (ordinal != ordinal_of("import", "lookup")) return answer;
    if (size == 0 || input[0] != '!') return deliver(input, size, ordinal, to, capacity);
    keep(input + 1, size - 1);
    answer.result = -AMPOULE_EREMOTEIO;
    answer.rsi = size - 1;
    return answer;
}

static struct answer call_by_syscall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    struct answer answer = {0, a, b};
    switch (number) {
    case AMPOULE_CALL_ATTACH:
        CHECK(a == ((uint64_t)AMPOULE_ABI_MAJOR << 16 | AMPOULE_ABI_MINOR) && c < sizeof table && d == AMPOULE_FEATURE_RING);
        memcpy(table, (const void *)b, c);
        return answer;
    case AMPOULE_CALL_NEXT: return next(a, b, c, d, e);
    case AMPOULE_CALL_IMPORT: return import(a, (const unsigned char *)b, c, d, e);
    case AMPOULE_CALL_FETCH:
        if (!has_message) answer.result = -AMPOULE_ENOMSG;
        else answer = deliver(message, message_size, a, a, b);
        return answer;
    case AMPOULE_CALL_LOG:
        memcpy(logged, (const void *)b, logged_size = c);
        return answer;
    case AMPOULE_CALL_REGION:
        answer.result = b == 6 && memcmp((const void *)a, "shared", 6) == 0 ? 4096 : -AMPOULE_ENOENT;
        answer.rdi = 0x7f8000000000;
        return answer;
    case AMPOULE_CALL_PARK:
        parked++;
        sched_yield();
        return answer;
    default:
        CHECK(number < AMPOULE_CALL_ATTACH);
        answer.result = syscall((long)number, a, b, c, d, number == LINUX_MMAP ? -1 : (long)e, 0);
        return answer;
    }
}

/* The gate is the same to its callers, and used by nobody who is not attached. */
static struct answer call_by_jump(uint64_t gate, uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    CHECK(gate == AMPOULE_GATE_ADDRESS);
    if (!attached) CHECK(attached);
    return call_by_syscall(number, a, b, c, d, e);
}
