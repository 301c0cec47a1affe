/* guest: variants=coverage,plain,bare
 * A program with a main of its own that parses its stdin: nothing in it knows of fuzzing, and fuzz.c brings coverage alone. */
#include "parser.h"

#include <stdio.h>

int main(void) {
    static uint8_t input[65536];
    struct parsed parsed;
    size_t size = fread(input, 1, sizeof input, stdin);
    int result = parse(&parsed, input, size);
    printf("%s: %u numbers, %u names, sum %u\n", result == 0 ? "ok" : "bad", parsed.numbers, parsed.names, (unsigned)parsed.sum);
    return result != 0;
}
