/* A program that takes as many milliseconds as its stdin says, and answers with it. */
#include <stdio.h>
#include <time.h>

int main(void) {
    long milliseconds;
    if (scanf("%ld", &milliseconds) != 1) return 1;
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
    printf("%ld", milliseconds);
    return 0;
}
