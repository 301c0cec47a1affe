/* Goes for what lies beside a directory of the host's, while somebody there swaps and moves things: `escapes HOW ROUNDS PATH…`. Each path leads to a file
 * within, unless it leads nowhere. What says "outside" is printed. Goes on until both were met often enough. */
#include "../check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static long reached, missed, wrong;

static void look(const char *path) {
    char text[64] = {0};
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        missed++;
        return;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    reached++;
    if (length > 0 && strstr(text, "outside")) wrong++, printf("%s: %s\n", path, text);
}

static void change(const char *path) {
    char other[300];
    snprintf(other, sizeof other, "%s.new", path);
    int fd = open(other, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) write(fd, "new", 3), close(fd);
    truncate(other, 1), unlink(other);
    mkdir(other, 0700), rmdir(other);
    rename(path, other), rename(other, path);
    symlink("inside", other), unlink(other);
    link(path, other), unlink(other);
    chmod(path, 0600);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0) write(fd, "inside", 6), close(fd);
}

/* Maps and reads a file that somebody makes longer and shorter: what is there is zeros or x, and nothing is a fault. */
static int map(const char *path, long rounds) {
    static char text[1 << 16];
    long sum = 0;
    for (long round = 0; round < rounds; round++) {
        int fd = open(path, O_RDONLY);
        char *at = mmap(NULL, sizeof text, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) return 4;
        for (size_t i = 0; i < sizeof text; i++)
            if (at[i] != 0 && at[i] != 'x') return 5;
        sum += read(fd, text, sizeof text);
        munmap(at, sizeof text), close(fd);
    }
    fprintf(stderr, "%ld read\n", sum);
    puts("0 wrong");
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    if (!strcmp(argv[1], "map")) return map(argv[3], strtol(argv[2], NULL, 0));
    int changes = !strcmp(argv[1], "change"), once = !strcmp(argv[1], "once");
    long rounds = strtol(argv[2], NULL, 0);
    if (!strcmp(argv[1], "stay")) { /* in the directory that is moved */
        while (chdir(argv[3])) {} /* it may be away */
        argv++, argc--;
    }
    for (long round = 0; round < rounds || (!once && (reached < 20 || missed < 20)); round++)
        for (int i = 3; i < argc; i++) {
            look(argv[i]);
            if (changes) change(argv[i]);
        }
    fprintf(stderr, "%ld reached, %ld missed\n", reached, missed);
    printf("%ld wrong\n", wrong);
    return once ? reached != 0 : wrong != 0;
}
