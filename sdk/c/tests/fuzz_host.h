/* A harness in the same program, in the place of the real one's calls: it notes what the target tells it and hands out inputs. Linux's calls are Linux's. As the
 * real one's, its own accesses are not checked. */
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

struct told {
    uint64_t at;
    uint64_t size;
};

/* Whether there is one: without, every call of Ampoule's is answered as outside. */
static int fuzzing;
static int attachable;
static struct told counters[8], program_counters[8];
static size_t counters_told, program_counters_told, starts, windows;
static __attribute__((aligned(8))) unsigned char window[1 << 17];
static unsigned char reported[AMPOULE_FINDING_BYTES];
/* What goes on in the place of an input that a finding ended. */
static void (*found)(void);

/* The inputs, and how each was answered. */
static const struct step {
    const char *input;
    size_t size;
    uint64_t outcome;
} *script;
static size_t script_at, script_steps;
static uint64_t gate_used;
/* Looks at what the target left behind when it asks for an input. */
static void (*between)(void);

AMPOULE_UNCHECKED static struct answer answer_of(int64_t result) {
    struct answer answer = {result, 0, 0};
    return answer;
}

AMPOULE_UNCHECKED static struct answer host_fuzz(uint64_t what, uint64_t a, uint64_t b, uint64_t c) {
    struct told told = {a, b};
    if (!fuzzing) return answer_of(-AMPOULE_ENOSYS);
    switch (what) {
    case AMPOULE_FUZZ_COUNTERS: counters[counters_told++] = told; return answer_of(0);
    case AMPOULE_FUZZ_PROGRAM_COUNTERS: program_counters[program_counters_told++] = told; return answer_of(0);
    case AMPOULE_FUZZ_START:
        starts++;
        /* As an input before would leave it. */
        window[0] = 9;
        return answer_of(0);
    case AMPOULE_FUZZ_FINDING:
        CHECK(b == sizeof reported);
        memcpy(reported, (void *)a, sizeof reported);
        if (found != NULL) found();
        return answer_of(-AMPOULE_ENOSYS);
    case AMPOULE_FUZZ_WINDOW:
        CHECK(b == 11 && memcmp((void *)a, "comparisons", 11) == 0 && c == sizeof window);
        windows++;
        return answer_of((int64_t)(uintptr_t)window);
    default: CHECK(!"a number that is known"); return answer_of(-AMPOULE_EINVAL);
    }
}

AMPOULE_UNCHECKED static struct answer call_by_syscall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    (void)e;
    if (number == AMPOULE_CALL_FUZZ) return host_fuzz(a, b, c, d);
    if (number == AMPOULE_CALL_ATTACH) {
        CHECK(a >> 16 == AMPOULE_ABI_MAJOR && c == 30 && memcmp((void *)b, "export LLVMFuzzerTestOneInput\n", 30) == 0 && d == 0);
        return answer_of(attachable ? 0 : -AMPOULE_ENOSYS);
    }
    CHECK(number < 0x10000000);
    {
        long result = syscall((long)number, a, b, c, d, -1, 0);
        return answer_of(result < 0 ? -1 : result);
    }
}

AMPOULE_UNCHECKED static struct answer call_by_jump(uint64_t gate, uint64_t number, uint64_t outcome, uint64_t reply, uint64_t reply_size, uint64_t buffer, uint64_t size) {
    const struct step *step;
    size_t i;
    (void)reply;
    CHECK(number == AMPOULE_CALL_NEXT && reply_size == 0);
    gate_used = gate;
    CHECK(outcome == (script_at == 0 ? AMPOULE_OUTCOME_NONE : script[script_at - 1].outcome));
    if (between != NULL) between();
    if (script_at == script_steps) return answer_of(-1000);
    step = &script[script_at++];
    if (step->size > size) {
        struct answer answer = {-AMPOULE_EMSGSIZE, 0, step->size};
        return answer;
    }
    for (i = 0; i < step->size; i++) ((volatile char *)buffer)[i] = step->input[i];
    return answer_of((int64_t)step->size);
}
