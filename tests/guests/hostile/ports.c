/* Writes to every port of a range in every width, and to one by `rep outsb`: `ports FIRST COUNT STEP`. Each must fault; the handler steps
 * over it. Prints how many did. */
#include "../check.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;
static void leave(int number) { siglongjmp(back, number); }

int main(int argc, char **argv) {
    signal(SIGSEGV, leave), signal(SIGILL, leave), signal(SIGBUS, leave), signal(SIGTRAP, leave);
    long first = argc > 1 ? strtol(argv[1], NULL, 0) : 0, count = argc > 2 ? strtol(argv[2], NULL, 0) : 16;
    long step = argc > 3 ? strtol(argv[3], NULL, 0) : 1;
    volatile long faulted = 0, passed = 0;
    static const char text[64];
    for (volatile long i = 0; i < count; i++)
        for (volatile int width = 0; width < 7; width++) {
            uint16_t port = (uint16_t)(first + i * step);
            uint32_t value = 0xffffffff;
            const char *from = text;
            char into[64], *to = into;
            size_t length = sizeof text;
            if (sigsetjmp(back, 1)) {
                faulted++;
                continue;
            }
            switch (width) {
            case 0: __asm__ volatile("outb %%al, %%dx" ::"a"(value), "d"(port)); break;
            case 1: __asm__ volatile("outw %%ax, %%dx" ::"a"(value), "d"(port)); break;
            case 2: __asm__ volatile("outl %%eax, %%dx" ::"a"(value), "d"(port)); break;
            case 3: __asm__ volatile("rep outsb" : "+S"(from), "+c"(length) : "d"(port) : "memory"); break;
            case 4: __asm__ volatile("inb %%dx, %%al" : "+a"(value) : "d"(port)); break;
            case 5: __asm__ volatile("inl %%dx, %%eax" : "+a"(value) : "d"(port)); break;
            default: __asm__ volatile("rep insb" : "+D"(to), "+c"(length) : "d"(port) : "memory");
            }
            passed++;
            printf("port %#x, form %d went through\n", port, width);
        }
    printf("%ld faulted, %ld went through\n", faulted, passed);
    return 0;
}
