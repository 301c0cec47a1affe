/* The target's side of fuzzing (docs/abi.md, "Fuzz targets"; how to compile: docs/fuzzing-targets.md). Compile it together with a target that has libFuzzer's
 * `LLVMFuzzerTestOneInput`, in C, C++ or Rust, into a static program:
 *
 *     clang @sdk/c/fuzz/coverage.flags target.c sdk/c/fuzz.c -o target
 *
 *     constructors   where the counters are ──► FUZZ               fuzz/coverage.h
 *     comparisons    what the input was compared with ──► a window  fuzz/coverage.h, fuzz/strings.h
 *     main           ATTACH ──► NEXT ──► one input ──► NEXT ──► …  here
 *     each access    the shadow of what may be touched             fuzz/checked.h: with -fsanitize=kernel-address
 *                    or pages that may not be                      fuzz/guard.h: with -DAMPOULE_FUZZ_GUARD_PAGES
 *     an error       FUZZ FINDING                                  fuzz/report.h
 *
 * A program with a `main` of its own gets all but that: every input begins in front of its `main`. Outside Ampoule a target runs the files that its arguments
 * name, or stdin, as libFuzzer's standalone runner does.
 *
 * Every input begins where the first NEXT returns, with all memory as it was then; yet some go on without being put back (batches, which put back
 * what they know of, and messages that follow each other), so that nothing here may depend on which it is. */
#include "fuzz.h"

#include "fuzz/base.h"
#include "fuzz/coverage.h"
#include "fuzz/memory.h"
#include "fuzz/strings.h"

/* Longest input, and what the buffer for it takes. */
#ifndef AMPOULE_FUZZ_MAX_INPUT
#define AMPOULE_FUZZ_MAX_INPUT (1 << 20)
#endif
#define BUFFER_BYTES (((size_t)(AMPOULE_FUZZ_MAX_INPUT) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES)

#ifdef __cplusplus
extern "C" {
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) __attribute__((weak));
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
#ifdef __cplusplus
}
#endif

static struct input_buffer input;

/* Stack that inputs will need: memory that is touched for the first time costs an exit, and each input would touch it for the first time. */
#ifndef AMPOULE_FUZZ_STACK_BYTES
#define AMPOULE_FUZZ_STACK_BYTES (256 << 10)
#endif

OWN __attribute__((noinline)) void touch_stack(void) {
    volatile unsigned char room[AMPOULE_FUZZ_STACK_BYTES];
    size_t i;
    for (i = 0; i < sizeof room; i += PAGE_BYTES) room[i] = 0;
}

/* ---- under a harness ------------------------------------------------------------------------------------------------------------ */

OWN struct answer next(uint64_t outcome) {
    return call_by_jump(harness ? AMPOULE_BATCH_GATE_ADDRESS : AMPOULE_GATE_ADDRESS, AMPOULE_CALL_NEXT, outcome, 0, 0, address(input.bytes), BUFFER_BYTES);
}

OWN int serve(void) {
    uint64_t outcome = AMPOULE_OUTCOME_NONE;
    zero_counters();
    for (;;) {
        struct answer asked = next(outcome);
        size_t size = (size_t)asked.result;
        if (asked.result == -AMPOULE_EMSGSIZE && asked.rdi == 0) {
            outcome = AMPOULE_OUTCOME_BAD_ARGUMENTS;
            continue;
        }
        if (asked.result < 0 || asked.rdi != 0 || size > BUFFER_BYTES) break;
        forget_comparisons();
        /* What it returns says only whether libFuzzer should keep the input; the harness looks at the counters. */
        LLVMFuzzerTestOneInput(open_input(&input, size), size);
        close_input(&input, size);
        outcome = AMPOULE_OUTCOME_RETURNED;
    }
    say("ampoule: the host broke the ABI");
    return 1;
}

OWN int attach(void) {
    static const char table[] = "export LLVMFuzzerTestOneInput\n";
    uint64_t version = (uint64_t)AMPOULE_ABI_MAJOR << 16 | AMPOULE_ABI_MINOR;
    return call_by_syscall(AMPOULE_CALL_ATTACH, version, address(table), sizeof table - 1, 0, 0).result == 0;
}

/* ---- in a program with a `main` of its own --------------------------------------------------------------------------------------- */

PUBLIC void ampoule_fuzz_start(void) {
    open_comparisons();
    touch_stack();
    prepare_memory(NULL);
    zero_counters();
    fuzz(AMPOULE_FUZZ_START, 0, 0, 0);
    /* Every input comes back here, and the window is not put back. */
    forget_comparisons();
}

#ifndef AMPOULE_FUZZ_START_LATER
AMPOULE_UNCHECKED static __attribute__((constructor)) void start_in_front_of_main(void) {
    if (LLVMFuzzerTestOneInput == NULL) ampoule_fuzz_start();
}
#endif

/* ---- outside Ampoule ------------------------------------------------------------------------------------------------------------ */

/* Reads an input to where it ends; its size, or a negative number. */
OWN int64_t read_input(uint64_t descriptor) {
    size_t size = 0;
    unsigned char more;
    while (size < BUFFER_BYTES) {
        int64_t got = call_by_syscall(LINUX_READ, descriptor, address(input.bytes + size), BUFFER_BYTES - size, 0, 0).result;
        if (got <= 0) return got < 0 ? got : (int64_t)size;
        size += (size_t)got;
    }
    return call_by_syscall(LINUX_READ, descriptor, address(&more), 1, 0, 0).result == 0 ? (int64_t)size : -AMPOULE_EMSGSIZE;
}

/* Says what runs, and runs it; whether it could be read. */
OWN int run_input(const char *name, int64_t size) {
    struct line line;
    line.size = 0;
    put_text(&line, name);
    if (size < 0) {
        put_text(&line, size == -AMPOULE_EMSGSIZE ? ": longer than AMPOULE_FUZZ_MAX_INPUT" : ": cannot be read");
        write_line(&line);
        return 0;
    }
    put_text(&line, ": ");
    put_number(&line, (uint64_t)size, 10);
    put_text(&line, " bytes");
    write_line(&line);
    LLVMFuzzerTestOneInput(open_input(&input, (size_t)size), (size_t)size);
    close_input(&input, (size_t)size);
    return 1;
}

OWN int run_files(int argc, char **argv) {
    int i, failed = 0;
    if (argc < 2) return !run_input("stdin", read_input(0));
    for (i = 1; i < argc; i++) {
        int64_t descriptor, size;
        /* libFuzzer's options mean nothing here. */
        if (argv[i][0] == '-') continue;
        descriptor = size = call_by_syscall(LINUX_OPEN, address(argv[i]), 0, 0, 0, 0).result;
        if (descriptor >= 0) {
            size = read_input((uint64_t)descriptor);
            call_by_syscall(LINUX_CLOSE, (uint64_t)descriptor, 0, 0, 0, 0);
        }
        failed |= !run_input(argv[i], size);
    }
    return failed;
}

#ifdef __cplusplus
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
WEAK int main(int argc, char **argv) {
    if (LLVMFuzzerTestOneInput == NULL) {
        say("ampoule: this program has no function LLVMFuzzerTestOneInput; in C++ it must be extern \"C\"");
        return 1;
    }
    if (LLVMFuzzerInitialize != NULL) LLVMFuzzerInitialize(&argc, &argv);
    if (!map_input(&input, BUFFER_BYTES)) {
        say("ampoule: no memory for the input");
        return 1;
    }
    open_comparisons();
    touch_stack();
    prepare_memory(&input);
    return attach() ? serve() : run_files(argc, argv);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
