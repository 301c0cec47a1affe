/* A program that does what its stdin says, or answers with it. */
#include "misbehaviour.h"

int main(void) {
    char body[64];
    size_t size = fread(body, 1, sizeof body, stdin);
    misbehave(body, size);
    fwrite(body, 1, size, stdout);
    return 0;
}
