/* A program that answers each piece of its input as it comes, and ends as the last line says. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char piece[1 << 16];

int main(void) {
    ssize_t size;
    int status = 0;
    while ((size = read(0, piece, sizeof piece)) > 0) {
        for (ssize_t sent = 0; sent < size;) {
            ssize_t more = write(1, piece + sent, (size_t)(size - sent));
            if (more < 0) return 2;
            sent += more;
        }
        if (size >= 5 && !memcmp(piece + size - 5, "fail\n", 5)) status = 3;
    }
    return status;
}
