/* setjmp and longjmp out of deep calls, through buffers that nest. */
#include "../check.h"
#include <setjmp.h>

static jmp_buf outer, inner;

static void dive(int depth, int target) {
    volatile char room[128];
    room[0] = (char)depth;
    if (depth == 0) longjmp(target ? outer : inner, 10 + target);
    dive(depth - 1, target);
    room[1] = room[0];
}

int main(void) {
    volatile int inner_hits = 0, outer_hits = 0;
    double kept = 1.5;
    for (volatile int i = 0; i < 100; i++) {
        int from = setjmp(outer);
        if (from) {
            outer_hits += from == 11;
            continue;
        }
        from = setjmp(inner);
        if (!from) dive(1000, 0);
        inner_hits += from == 10;
        dive(500, 1);
    }
    CHECK(inner_hits == 100 && outer_hits == 100 && kept == 1.5);
    volatile int zero = setjmp(outer);
    if (!zero) longjmp(outer, 0);
    CHECK(zero == 1);
    return 0;
}
