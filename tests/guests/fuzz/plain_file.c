/* guest: variants=coverage,plain,bare
 * A program with a main of its own that parses the file that its first argument names. */
#include "parser.h"

#include <stdio.h>

int main(int argc, char **argv) {
    static uint8_t input[65536];
    struct parsed parsed;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t size;
    if (file == NULL) {
        fprintf(stderr, "usage: plain_file FILE\n");
        return 2;
    }
    size = fread(input, 1, sizeof input, file);
    fclose(file);
    return parse(&parsed, input, size) != 0;
}
