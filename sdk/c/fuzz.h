/* What a fuzz target may ask of fuzz.c. None of it is needed: a target is `LLVMFuzzerTestOneInput`, or a program. */
#ifndef AMPOULE_FUZZ_H
#define AMPOULE_FUZZ_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In a program with a `main` of its own, compiled with -DAMPOULE_FUZZ_START_LATER: every input begins here, instead of in front of `main`. Call it once,
 * behind what is the same for all inputs, and before the input is read. Outside a harness it does nothing. */
void ampoule_fuzz_start(void);

/* With memory checks: nobody may touch these bytes until they are given back. For targets with an allocator of their own. What is checked is whole
 * multiples of 8, inside of what is poisoned and around what is given back. */
void __asan_poison_memory_region(const volatile void *at, size_t size);
void __asan_unpoison_memory_region(const volatile void *at, size_t size);

#ifdef __cplusplus
}
#endif
#endif
