/* The three streams: what comes in by stdin is transformed by read, readv, stdio and getline, and leaves by write, writev and stdio. */
#include "../check.h"
#include <ctype.h>
#include <sys/uio.h>
#include <unistd.h>

static void write_all(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t done = write(fd, bytes, length);
        if (done <= 0) exit(1);
        bytes += done, length -= done;
    }
}

static int cat(size_t size) {
    char *buffer = malloc(size);
    for (;;) {
        ssize_t got = read(0, buffer, size);
        if (got <= 0) return got < 0;
        write_all(1, buffer, got);
    }
}

static int upper(void) {
    for (int c; (c = getchar()) != EOF;) putchar(toupper(c));
    return ferror(stdin) || fflush(stdout);
}

static int lines_backwards(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        if (line[length - 1] == '\n') length--;
        while (length) putchar(line[--length]);
        putchar('\n');
    }
    free(line);
    return 0;
}

static int count(void) {
    static char buffer[4096];
    long bytes = 0, lines = 0, words = 0, inside = 0;
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, stdin)) > 0;)
        for (size_t i = 0; i < got; i++) {
            bytes++, lines += buffer[i] == '\n';
            int space = isspace((unsigned char)buffer[i]);
            words += !space && !inside, inside = !space;
        }
    printf("%ld lines, %ld words, %ld bytes\n", lines, words, bytes);
    fprintf(stderr, "counted to the end\n");
    return 0;
}

static int vectors(void) {
    char a[3], b[1], c[200];
    struct iovec in[4] = {{a, sizeof a}, {NULL, 0}, {b, sizeof b}, {c, sizeof c}};
    uint32_t sum = CHECKSUM_START;
    long bytes = 0;
    for (ssize_t got; (got = readv(0, in, 4)) > 0; bytes += got) {
        size_t left = got;
        for (int i = 0; i < 4; i++) {
            size_t part = left < in[i].iov_len ? left : in[i].iov_len;
            sum = checksum(sum, in[i].iov_base, part), left -= part;
        }
    }
    char text[64];
    int length = snprintf(text, sizeof text, "%ld bytes, sum %08x\n", bytes, sum);
    struct iovec out[3] = {{(char *)"read ", 5}, {NULL, 0}, {text, length}};
    return writev(1, out, 3) != 5 + length;
}

static int both(void) {
    for (int i = 0; i < 100; i++) {
        write_all(1, "out\n", 4);
        write_all(2, "err\n", 4);
    }
    return 0;
}

/* More than any pipe holds, and not a multiple of anything. */
static int plenty(long megabytes) {
    char block[9973];
    uint32_t state = 7;
    for (long left = megabytes << 20; left > 0;) {
        for (size_t i = 0; i < sizeof block; i++) block[i] = 'a' + next_number(&state) % 26;
        size_t part = (size_t)left < sizeof block ? (size_t)left : sizeof block;
        write_all(1, block, part), left -= part;
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "count";
    long number = argc > 2 ? atol(argv[2]) : 1;
    if (!strcmp(what, "cat")) return cat(number);
    if (!strcmp(what, "upper")) return upper();
    if (!strcmp(what, "backwards")) return lines_backwards();
    if (!strcmp(what, "count")) return count();
    if (!strcmp(what, "vectors")) return vectors();
    if (!strcmp(what, "both")) return both();
    if (!strcmp(what, "plenty")) return plenty(number);
    if (!strcmp(what, "nothing")) return 0;
    return 2;
}
