/* What a check found, told to the harness; outside one, or where nobody fuzzes, printed on stderr, and the program aborts.
 *
 * A stack of return addresses is what a chain of frame pointers leads through, kept as distances from the program's start: 4 bytes each, since
 * there are two stacks for each block of the heap. A chain that leads nowhere sane (its frames were compiled without) ends there. */
#ifndef AMPOULE_FUZZ_REPORT_H
#define AMPOULE_FUZZ_REPORT_H
#include "base.h"

#define FRAMES AMPOULE_FINDING_FRAMES

#ifdef __cplusplus
extern "C" {
#endif
/* The linker's: where the program's code lies. */
extern char __executable_start[] __attribute__((weak));
extern char etext[] __attribute__((weak));
extern char **environ;
#ifdef __cplusplus
}
#endif

struct stack {
    uint32_t frames[FRAMES];
};

struct finding {
    uint64_t kind;
    uint64_t access;
    uintptr_t address;
    size_t size;
    uintptr_t block;
    size_t block_size;
    const struct stack *allocated;
    const struct stack *freed;
    const char *text;
};

/* ACCESS of a finding. */
enum { NEITHER, READ, WRITTEN };

/* Above all frames: the environment lies behind them from the start. */
static uintptr_t stack_top;

OWN void find_stack(void) {
    if (stack_top == 0) stack_top = address(environ);
}

/* The return addresses from `frame` on, whose owner's caller comes first. */
OWN inline void walk_stack(struct stack *to, const void *frame) {
    uintptr_t at = address(frame), begin = address(__executable_start), end = address(etext);
    size_t count = 0;
    while (count < FRAMES && at % 8 == 0 && at < stack_top) {
        const uintptr_t *words = (const uintptr_t *)at;
        if (words[1] < begin || words[1] >= end) break;
        to->frames[count++] = (uint32_t)(words[1] - begin);
        if (words[0] <= at) break;
        at = words[0];
    }
    if (count < FRAMES) to->frames[count] = 0;
}

OWN const char *kind_name(uint64_t kind) {
    switch (kind) {
    case AMPOULE_HEAP_OVERFLOW: return "heap overflow";
    case AMPOULE_STACK_OVERFLOW: return "stack overflow";
    case AMPOULE_GLOBAL_OVERFLOW: return "global overflow";
    case AMPOULE_USE_AFTER_FREE: return "use after free";
    case AMPOULE_USE_AFTER_SCOPE: return "use after scope";
    case AMPOULE_DOUBLE_FREE: return "double free";
    case AMPOULE_BAD_FREE: return "bad free";
    case AMPOULE_INPUT_OVERFLOW: return "input overflow";
    default: return "invalid access";
    }
}

OWN void print_stack(struct line *line, const char *what, const struct stack *stack) {
    size_t i;
    if (stack == NULL || stack->frames[0] == 0) return;
    put_text(line, what);
    for (i = 0; i < FRAMES && stack->frames[i] != 0; i++) {
        put_character(line, ' ');
        put_number(line, address(__executable_start) + stack->frames[i], 16);
    }
    write_line(line);
}

OWN void print_finding(const struct finding *finding) {
    struct line line;
    line.size = 0;
    put_text(&line, "ampoule: ");
    put_text(&line, kind_name(finding->kind));
    put_text(&line, finding->access == READ ? ": read of " : finding->access == WRITTEN ? ": write of " : ": ");
    if (finding->access != NEITHER) {
        put_number(&line, finding->size, 10);
        put_text(&line, " bytes at ");
    }
    put_number(&line, finding->address, 16);
    if (finding->block != 0) {
        int before = finding->address < finding->block;
        size_t distance = before ? finding->block - finding->address : finding->address - finding->block;
        int behind = !before && distance >= finding->block_size;
        put_text(&line, ", ");
        put_number(&line, behind ? distance - finding->block_size : distance, 10);
        put_text(&line, before ? " bytes before the " : behind ? " bytes behind the " : " bytes into the ");
        put_number(&line, finding->block_size, 10);
        put_text(&line, " bytes at ");
        put_number(&line, finding->block, 16);
    }
    if (finding->text != NULL) {
        put_text(&line, ": ");
        put_text(&line, finding->text);
    }
    write_line(&line);
    print_stack(&line, "  allocated at", finding->allocated);
    print_stack(&line, "  freed at", finding->freed);
}

OWN void put_stack(uint64_t *to, const struct stack *stack) {
    size_t i;
    for (i = 0; i < FRAMES && stack != NULL && stack->frames[i] != 0; i++) to[i] = address(__executable_start) + stack->frames[i];
}

/* Ends the input. */
OWN __attribute__((noinline, noreturn, cold)) void report(const struct finding *finding) {
    uint64_t words[AMPOULE_FINDING_BYTES / 8] = {0};
    size_t size = 0;
    while (finding->text != NULL && finding->text[size] != 0) size++;
    words[AMPOULE_FINDING_KIND / 8] = finding->kind;
    words[AMPOULE_FINDING_ACCESS / 8] = finding->access;
    words[AMPOULE_FINDING_ADDRESS / 8] = finding->address;
    words[AMPOULE_FINDING_SIZE / 8] = finding->size;
    words[AMPOULE_FINDING_BLOCK / 8] = finding->block;
    words[AMPOULE_FINDING_BLOCK_SIZE / 8] = finding->block_size;
    put_stack(words + AMPOULE_FINDING_ALLOCATED / 8, finding->allocated);
    put_stack(words + AMPOULE_FINDING_FREED / 8, finding->freed);
    words[AMPOULE_FINDING_TEXT / 8] = address(finding->text);
    words[AMPOULE_FINDING_TEXT_SIZE / 8] = size;
    fuzz(AMPOULE_FUZZ_FINDING, address(words), sizeof words, 0);
    print_finding(finding);
    abort();
}
#endif
