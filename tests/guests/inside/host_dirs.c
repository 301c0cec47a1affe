/* What a program does with a directory of the host's at /data. */
#include "../check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char buffer[200000];

static size_t read_all(const char *path) {
    int file = open(path, O_RDONLY);
    ssize_t count;
    size_t size = 0;
    if (file < 0) {
        printf("%s: %s\n", path, strerror(errno));
        exit(1);
    }
    while ((count = read(file, buffer + size, sizeof buffer - size)) > 0) size += count;
    close(file);
    return size;
}

static int cat(const char *path) {
    return fwrite(buffer, 1, read_all(path), stdout) == 0;
}

static int copy(const char *from, const char *to) {
    size_t size = read_all(from);
    int file = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || write(file, buffer, size) != (ssize_t)size || fsync(file) || close(file)) return 1;
    return 0;
}

static int list(const char *path) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    if (!directory) return 1;
    while ((entry = readdir(directory))) puts(entry->d_name);
    return closedir(directory);
}

/* A private mapping, one that is shared and only read, and what is refused. */
static int map(const char *path) {
    size_t size = read_all(path);
    int file = open(path, O_RDWR);
    char *private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    char *shared = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    char *second = mmap(NULL, 100, PROT_READ, MAP_PRIVATE, file, 4096);
    if (private == MAP_FAILED || shared == MAP_FAILED || second == MAP_FAILED) return 1;
    printf("%d%d%d", !memcmp(private, buffer, size), !memcmp(shared, buffer, size), !memcmp(second, buffer + 4096, 100));
    printf("%d", private[size] == 0);
    memset(private, 'x', size);
    close(file);
    printf("%d\n", !memcmp(shared, buffer, size));
    if (mmap(NULL, 1, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED || errno != EBADF) return 2;
    file = open(path, O_RDWR);
    if (mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) != MAP_FAILED || errno != ENODEV) return 3;
    if (mmap(NULL, 1, PROT_READ, MAP_PRIVATE, file, 1) != MAP_FAILED || errno != EINVAL) return 4;
    if (mmap(NULL, 1, PROT_READ, MAP_PRIVATE, open(path, O_WRONLY), 0) != MAP_FAILED || errno != EACCES) return 5;
    if (mmap(NULL, 1, PROT_READ, MAP_PRIVATE, open("/data", O_RDONLY), 0) != MAP_FAILED || errno != ENODEV) return 6;
    if (mmap(NULL, 1l << 40, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED || errno != ENOMEM) return 7;
    return 0;
}

/* Appends a line, then works for ever. */
static int endless(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (write(file, "written\n", 8) != 8) return 1;
    for (volatile int n = 0;; n++) {}
}

/* Makes files without end; the first refusal is its errno. */
static int flood(const char *path) {
    char name[100];
    for (int n = 0;; n++) {
        snprintf(name, sizeof name, "%s/%d", path, n);
        int file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (file < 0 || write(file, buffer, sizeof buffer) < 0) {
            printf("%s\n", strerror(errno));
            return 0;
        }
        close(file);
    }
}

int main(int argc, char **argv) {
    char here[100];
    if (argc == 2 && !strcmp(argv[1], "where")) return puts(getcwd(here, sizeof here)) < 0;
    if (argc < 3) return 99;
    if (!strcmp(argv[1], "cat")) return cat(argv[2]);
    if (!strcmp(argv[1], "list")) return list(argv[2]);
    if (!strcmp(argv[1], "map")) return map(argv[2]);
    if (!strcmp(argv[1], "endless")) return endless(argv[2]);
    if (!strcmp(argv[1], "flood")) return flood(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "copy")) return copy(argv[2], argv[3]);
    return 99;
}
