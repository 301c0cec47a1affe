/* Writes to stdout and stderr: the input itself to one, and its size to the other. */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    fputs("ready\n", stderr);
    puts("ready");
    fflush(stdout);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fwrite(data, 1, size, stdout);
    /* What stays in the buffer must not come out with another input. */
    if (size > 4) fflush(stdout);
    fprintf(stderr, "%zu bytes\n", size);
    return 0;
}
