/* The inputs that the arguments name, and the clock. */
#ifndef CORPUS_H
#define CORPUS_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_INPUTS 256
#define MAX_INPUT_BYTES (1 << 16)

struct input {
    uint8_t bytes[MAX_INPUT_BYTES];
    size_t size;
};

/* How many were read. */
static size_t read_corpus(struct input *inputs, char **names) {
    size_t count = 0;
    for (; names[count] != NULL && count < MAX_INPUTS; count++) {
        FILE *file = fopen(names[count], "rb");
        if (file == NULL) {
            perror(names[count]);
            exit(2);
        }
        inputs[count].size = fread(inputs[count].bytes, 1, MAX_INPUT_BYTES, file);
        fclose(file);
    }
    return count;
}

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

/* Runs the whole corpus `rounds` times, `times` over, and prints the least that an input took: the name, a tab, microseconds. */
static void measure(const char *name, void (*run)(const struct input *), const struct input *inputs, size_t count, int rounds, int times) {
    double least = 1e18;
    for (int time = 0; time < times; time++) {
        double began = microseconds(), each;
        for (int round = 0; round < rounds; round++)
            for (size_t i = 0; i < count; i++) run(&inputs[i]);
        each = (microseconds() - began) / rounds / (double)count;
        if (each < least) least = each;
    }
    printf("%s\t%.3f\n", name, least);
    fflush(stdout);
}
#endif
