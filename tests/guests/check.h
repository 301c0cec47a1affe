/* What every C guest shares: a check that prints its own text, so that a guest's output reads as a list of what held and is the same
 * wherever it runs. A check that fails names its line and ends the program with 1. */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        int check_saved_errno = 0;                                                        \
        errno = 0;                                                                        \
        if (condition) {                                                                  \
            printf("ok: %s\n", #condition);                                               \
        } else {                                                                          \
            check_saved_errno = errno;                                                    \
            printf("FAILED at line %d: %s (errno %d)\n", __LINE__, #condition, check_saved_errno); \
            fflush(NULL);                                                                 \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* The call fails, and for exactly this reason. */
#define FAILS(call, reason) CHECK((long)(call) == -1 && errno == (reason))

/* Numbers that look random and are the same everywhere. */
static inline uint32_t next_number(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static inline uint32_t checksum(uint32_t sum, const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) sum = (sum ^ at[i]) * 16777619u;
    return sum;
}

#define CHECKSUM_START 2166136261u
#endif
