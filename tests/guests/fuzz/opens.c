/* guest: variants=bare
 * DIRECTORY FILE [HOW]: goes to the directory, and prints the file, in whose way it may have put something, or at which it looks before it opens it. */
#define _GNU_SOURCE
#include "../../../sdk/c/ampoule_gate.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static unsigned char bytes[1 << 16];
    ssize_t count;
    int file;
    if (argc < 3 || chdir(argv[1]) != 0) return 2;
    if (argc > 3 && strcmp(argv[3], "fill") == 0) {
        file = open("/tmp/full", O_CREAT | O_WRONLY, 0600);
        while (write(file, bytes, sizeof bytes) > 0) continue;
        while (write(file, bytes, 1) > 0) continue;
        /* But for a little. */
        if (ftruncate(file, lseek(file, 0, SEEK_CUR) - 1000) != 0) return 5;
        close(file);
    }
    if (argc > 3 && strcmp(argv[3], "directory") == 0) {
        /* The same by another name. */
        mkdir("//input", 0700);
    }
    if (argc > 3 && strcmp(argv[3], "access") == 0 && access(argv[2], R_OK) != 0) return 6;
    if (argc > 3 && strcmp(argv[3], "statx") == 0) {
        struct statx found;
        if (statx(AT_FDCWD, argv[2], 0, STATX_SIZE, &found) != 0) return 7;
        printf("%llu ", (unsigned long long)found.stx_size);
        fflush(stdout);
    }
    file = open(argv[2], O_RDONLY);
    /* As a program does that is linked with fuzz.c, and has asked for its input before. */
    if (argc > 3 && strcmp(argv[3], "start") == 0) call_by_syscall(AMPOULE_CALL_FUZZ, AMPOULE_FUZZ_START, 0, 0, 0, 0);
    if (file < 0) return 3;
    while ((count = read(file, bytes, sizeof bytes)) > 0)
        if (write(1, bytes, (size_t)count) != count) return 4;
    return 0;
}
