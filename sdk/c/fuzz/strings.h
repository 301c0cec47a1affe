/* The C library's functions that compare bytes: what they compare is logged as if it had been compared in words, up to the one that differs. The linker puts
 * these in their place, which the files of flags ask it to (--wrap, with AMPOULE_FUZZ_LOG_STRINGS), and compilers are told not to know them, or they
 * would compare short ones by themselves where nobody sees it. */
#ifndef AMPOULE_FUZZ_STRINGS_H
#define AMPOULE_FUZZ_STRINGS_H
#include "coverage.h"
#include "memory.h"

/* Logs the word in which the bytes differ first, or else the last one; how many are equal before it does not matter any more. */
OWN void log_bytes(const void *behind, const unsigned char *left, const unsigned char *right, size_t size) {
    size_t at = 0;
    if (comparisons == NULL) return;
    while (at < size) {
        size_t rest = size - at, bytes = rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1, i;
        uint64_t words[2] = {0, 0};
        for (i = 0; i < bytes; i++) {
            words[0] |= (uint64_t)left[at + i] << 8 * i;
            words[1] |= (uint64_t)right[at + i] << 8 * i;
        }
        at += bytes;
        if (words[0] == words[1] && at < size) continue;
        log_comparison(behind, bytes, words[0], words[1]);
        return;
    }
}

OWN void compared(const void *behind, const void *left, const void *right, size_t size) {
    check_read(left, size);
    check_read(right, size);
    log_bytes(behind, (const unsigned char *)left, (const unsigned char *)right, size);
}

/* The bytes that a comparison of strings looks at, the 0 included. */
OWN size_t compared_bytes(const char *left, const char *right, size_t most) {
    size_t same = 0;
    while (same < most && left[same] == right[same] && left[same] != 0) same++;
    return same + (same < most);
}

#ifdef AMPOULE_FUZZ_LOG_STRINGS
#ifdef __cplusplus
extern "C" {
#endif
int __real_memcmp(const void *left, const void *right, size_t size);
int __real_strcmp(const char *left, const char *right);
int __real_strncmp(const char *left, const char *right, size_t size);

PUBLIC int __wrap_memcmp(const void *left, const void *right, size_t size) {
    compared(__builtin_return_address(0), left, right, size);
    return __real_memcmp(left, right, size);
}

PUBLIC int __wrap_strcmp(const char *left, const char *right) {
    compared(__builtin_return_address(0), left, right, compared_bytes(left, right, SIZE_MAX));
    return __real_strcmp(left, right);
}

PUBLIC int __wrap_strncmp(const char *left, const char *right, size_t size) {
    compared(__builtin_return_address(0), left, right, compared_bytes(left, right, size));
    return __real_strncmp(left, right, size);
}
#ifdef __cplusplus
}
#endif
#endif
#endif
