/* How a call leaves the program: by the instruction `syscall`, or by a jump to a gate. docs/abi.md, "Making a call". */
#ifndef AMPOULE_GATE_H
#define AMPOULE_GATE_H
#include <stdint.h>

#include "ampoule_abi.h"

/* The compiler's own checks have no place in what answers them: sdk/c/fuzz.c says what this is. */
#ifndef AMPOULE_UNCHECKED
#define AMPOULE_UNCHECKED
#endif

/* What a call leaves in RAX, RDI and RSI. */
struct answer {
    int64_t result;
    uint64_t rdi;
    uint64_t rsi;
};

/* The tests put a host of their own in the place of these: it says what `call_by_syscall` and `call_by_jump` are. */
#ifndef AMPOULE_TEST_HOST
AMPOULE_UNCHECKED static inline struct answer call_by_syscall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    struct answer answer = {(int64_t)number, a, b};
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r9 __asm__("r9") = e;
    /* No call of Ampoule's has an argument here; for Linux's mmap it is the descriptor, and this is none. */
    register uint64_t r8 __asm__("r8") = UINT64_MAX;
    __asm__ volatile("syscall"
                     : "+a"(answer.result), "+D"(answer.rdi), "+S"(answer.rsi), "+d"(c), "+r"(r10), "+r"(r9), "+r"(r8)
                     :
                     : "rcx", "r11", "cc", "memory");
    return answer;
}

AMPOULE_UNCHECKED static inline struct answer call_by_jump(uint64_t gate, uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                                           uint64_t e) {
    struct answer answer = {(int64_t)number, a, b};
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r9 __asm__("r9") = e;
    register uint64_t r8 __asm__("r8") = gate;
    __asm__ volatile("leaq 1f(%%rip), %%rcx\n\t"
                     "jmp *%%r8\n"
                     "1:"
                     : "+a"(answer.result), "+D"(answer.rdi), "+S"(answer.rsi), "+d"(c), "+r"(r10), "+r"(r9), "+r"(r8)
                     :
                     : "rcx", "r11", "cc", "memory");
    return answer;
}
#endif
#endif
