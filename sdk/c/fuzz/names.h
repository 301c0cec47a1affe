/* Which variable an address is in or near: what compilers leave in a program for that. */
#ifndef AMPOULE_FUZZ_NAMES_H
#define AMPOULE_FUZZ_NAMES_H
#include "shadow.h"

/* As compiled code has it. */
struct global {
    uintptr_t at;
    size_t size;
    size_t size_with_redzone;
    const char *name;
    const char *module;
    uintptr_t has_dynamic_initializer;
    const void *location;
    uintptr_t odr_indicator;
};

/* A table for each file; a program of more has its globals checked, and those of the rest without their names. */
#define GLOBAL_TABLES_MAX 1024

static struct {
    const struct global *globals;
    size_t count;
} global_tables[GLOBAL_TABLES_MAX];
static size_t global_table_count;

/* The input that is being run. */
static uintptr_t checked_input;
static size_t checked_input_size;

OWN void describe_global(struct finding *finding) {
    uintptr_t at = finding->address;
    size_t i, j, best = SIZE_MAX;
    for (i = 0; i < global_table_count; i++)
        for (j = 0; j < global_tables[i].count; j++) {
            const struct global *one = &global_tables[i].globals[j];
            size_t distance = at < one->at ? one->at - at : at < one->at + one->size ? 0 : at - one->at - one->size;
            if (distance >= best) continue;
            best = distance;
            finding->block = one->at;
            finding->block_size = one->size;
            finding->text = one->name;
        }
}

/* What the first word of a frame's variables is, and how far below an address they may begin. */
#define FRAME_MAGIC 0x41b58ab3u
#define FRAME_MAX ((size_t)64 << 10)
/* As finding::TEXT_MAX_BYTES. */
#define NAME_BYTES 255

OWN uintptr_t parse_decimal(const char **text) {
    uintptr_t number = 0;
    while (**text == ' ') ++*text;
    while (**text >= '0' && **text <= '9') number = number * 10 + (uintptr_t)(*(*text)++ - '0');
    return number;
}

/* Finds the frame below the address: its second word is a text, `count (offset size length name[:line])…`. */
OWN void describe_variable(struct finding *finding) {
    static char name[NAME_BYTES + 1];
    uintptr_t at = finding->address & ~(uintptr_t)7, lowest = at > FRAME_MAX ? at - FRAME_MAX : 8, count, best = UINTPTR_MAX;
    const char *text;
    while (at > lowest && *shadow_of(at) != STACK_LEFT) at -= 8;
    while (at > lowest && *shadow_of(at - 8) == STACK_LEFT) at -= 8;
    if (at <= lowest || *(const uintptr_t *)at != FRAME_MAGIC) return;
    text = *(const char *const *)(at + 8);
    for (count = parse_decimal(&text); count != 0; count--) {
        uintptr_t begin = at + parse_decimal(&text), size = parse_decimal(&text), length = parse_decimal(&text), i;
        uintptr_t there = finding->address, distance = there < begin ? begin - there : there < begin + size ? 0 : there - begin - size;
        text++;
        if (distance < best) {
            best = distance;
            finding->block = begin;
            finding->block_size = size;
            for (i = 0; i < length && i < sizeof name - 1 && text[i] != ':'; i++) name[i] = text[i];
            name[i] = 0;
            finding->text = name;
        }
        text += length;
    }
}
#endif
