/* A function that knows nothing of Ampoule: stdin is a request's body, stdout the reply. */
#include <ctype.h>
#include <stdio.h>

int main(void) {
    int c;
    while ((c = getchar()) != EOF) putchar(toupper(c));
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
