/* Loads every selector of a range into DS, ES, FS and GS, and says which loads went through; then goes on as an ordinary program. */
#include "../check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static sigjmp_buf back;
static void leave(int number) { siglongjmp(back, number); }

int main(int argc, char **argv) {
    long first = argc > 1 ? strtol(argv[1], NULL, 0) : 0, count = argc > 2 ? strtol(argv[2], NULL, 0) : 256;
    signal(SIGSEGV, leave), signal(SIGBUS, leave), signal(SIGILL, leave);
    volatile long loaded = 0, refused = 0;
    uint64_t base; /* FS holds the thread's storage: loading it forgets the base */
    __asm__ volatile("mov %%fs:0, %0" : "=r"(base));
    for (volatile long i = 0; i < count; i++)
        for (volatile int which = 0; which < 3; which++) {
            uint16_t selector = (uint16_t)(first + i);
            if (sigsetjmp(back, 1)) {
                refused++;
                continue;
            }
            switch (which) {
            case 0: __asm__ volatile("mov %0, %%ds" ::"r"(selector)); break;
            case 1: __asm__ volatile("mov %0, %%es" ::"r"(selector)); break;
            default: __asm__ volatile("mov %0, %%gs" ::"r"(selector));
            }
            loaded++;
        }
    /* FS last and in assembly: nothing of libc works between the load and the repair. */
    long fs_loaded = 0;
    for (long selector = 0; selector < 4; selector++) {
        long result = SYS_arch_prctl;
        __asm__ volatile("mov %1, %%fs; mov $0x1002, %%edi; mov %2, %%rsi; syscall"
                         : "+a"(result)
                         : "r"((uint32_t)selector), "r"(base)
                         : "rdi", "rsi", "rcx", "r11", "memory");
        fs_loaded += result == 0;
    }
    fprintf(stderr, "%ld loaded, %ld refused\n", loaded, refused);
    printf("all accounted for: %d, null into fs: %ld\n", loaded + refused == count * 3, fs_loaded);
    return 0;
}
