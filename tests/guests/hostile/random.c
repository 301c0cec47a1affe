/* What makes two runs of one program differ: the 16 bytes of AT_RANDOM, then 32 from getrandom. */
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

int main(void) {
    char drawn[48];
    __builtin_memcpy(drawn, (const char *)getauxval(AT_RANDOM), 16);
    if (getrandom(drawn + 16, 32, 0) != 32) return 1;
    return write(1, drawn, sizeof drawn) != sizeof drawn;
}
