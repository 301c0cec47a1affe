/* The C library's functions on memory and strings, checked as if they were compiled with checks: the linker puts these in their place, which
 * memory-clang.flags and memory-gcc.flags ask it to (--wrap, with AMPOULE_FUZZ_CHECK_LIBC). */
#ifndef AMPOULE_FUZZ_LIBC_H
#define AMPOULE_FUZZ_LIBC_H
#include "checks.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef AMPOULE_FUZZ_CHECK_LIBC
#define REAL(type, name, ...) type __real_##name(__VA_ARGS__)
REAL(void *, memcpy, void *, const void *, size_t);
REAL(void *, memmove, void *, const void *, size_t);
REAL(void *, memset, void *, int, size_t);
REAL(size_t, strlen, const char *);
REAL(char *, strcpy, char *, const char *);
REAL(char *, strncpy, char *, const char *, size_t);
REAL(char *, strcat, char *, const char *);

PUBLIC void *__wrap_memcpy(void *to, const void *from, size_t size) {
    check_range(address(to), size, WRITTEN);
    check_range(address(from), size, READ);
    return __real_memcpy(to, from, size);
}

PUBLIC void *__wrap_memmove(void *to, const void *from, size_t size) {
    check_range(address(to), size, WRITTEN);
    check_range(address(from), size, READ);
    return __real_memmove(to, from, size);
}

PUBLIC void *__wrap_memset(void *to, int value, size_t size) {
    check_range(address(to), size, WRITTEN);
    return __real_memset(to, value, size);
}

/* Code without checks throws, too, and nobody has said of the frames below which it leaves. Weak: a program in C has no exceptions. */
int __real__Unwind_RaiseException(void *) __attribute__((weak));

PUBLIC int __wrap__Unwind_RaiseException(void *exception) {
    __asan_handle_no_return();
    return __real__Unwind_RaiseException(exception);
}

/* Its bytes with the 0: a string without one is read up to where it may not be. */
OWN inline size_t check_string(const char *string) {
    size_t size = __real_strlen(string);
    check_range(address(string), size + 1, READ);
    return size;
}

/* At most so many of them. */
OWN inline void check_string_of(const char *string, size_t most) {
    size_t size = 0;
    while (size < most && string[size] != 0) size++;
    check_range(address(string), size + (size < most), READ);
}

PUBLIC size_t __wrap_strlen(const char *string) { return check_string(string); }

PUBLIC char *__wrap_strcpy(char *to, const char *from) {
    check_range(address(to), check_string(from) + 1, WRITTEN);
    return __real_strcpy(to, from);
}

PUBLIC char *__wrap_strncpy(char *to, const char *from, size_t size) {
    check_string_of(from, size);
    check_range(address(to), size, WRITTEN);
    return __real_strncpy(to, from, size);
}

PUBLIC char *__wrap_strcat(char *to, const char *from) {
    check_range(address(to) + check_string(to), check_string(from) + 1, WRITTEN);
    return __real_strcat(to, from);
}

#endif

/* clang calls these by name where it was told to. */
PUBLIC void *__asan_memcpy(void *to, const void *from, size_t size) {
    check_range(address(to), size, WRITTEN);
    check_range(address(from), size, READ);
    return __builtin_memcpy(to, from, size);
}

PUBLIC void *__asan_memmove(void *to, const void *from, size_t size) {
    check_range(address(to), size, WRITTEN);
    check_range(address(from), size, READ);
    return __builtin_memmove(to, from, size);
}

PUBLIC void *__asan_memset(void *to, int value, size_t size) {
    check_range(address(to), size, WRITTEN);
    return __builtin_memset(to, value, size);
}
#ifdef __cplusplus
}
#endif
#endif
