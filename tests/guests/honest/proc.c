/* What a process finds out about itself in /proc, in an empty, writable working directory. */
#include "../check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int first_line(const char *path, char *line, size_t size) {
    FILE *file = fopen(path, "r");
    int good = file && fgets(line, size, file);
    if (file) fclose(file);
    return good;
}

int main(void) {
    char here[4096], path[8192], target[8192], link[64], line[512], other[512];
    CHECK(getcwd(here, sizeof here) == here);
    int fd = open("named", O_RDWR | O_CREAT, 0644);
    CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10);
    sprintf(link, "/proc/self/fd/%d", fd);
    sprintf(path, "%s/named", strcmp(here, "/") ? here : "");
    ssize_t length = readlink(link, target, sizeof target - 1);
    CHECK(length > 0 && (target[length] = 0, !strcmp(target, path)));
    struct stat one, two;
    CHECK(fstat(fd, &one) == 0 && stat(link, &two) == 0 && one.st_ino == two.st_ino && two.st_size == 10);
    CHECK(lstat(link, &two) == 0 && S_ISLNK(two.st_mode));
    CHECK(access(link, R_OK) == 0);

    /* Opened once more, with an offset of its own, even without a name. */
    CHECK(unlink("named") == 0);
    int again = open(link, O_RDONLY);
    CHECK(again >= 0 && read(again, line, 4) == 4 && !memcmp(line, "0123", 4) && lseek(fd, 0, SEEK_CUR) == 10);
    sprintf(link, "/dev/fd/%d", again);
    int third = open(link, O_RDONLY);
    CHECK(third >= 0 && read(third, line, 2) == 2 && !memcmp(line, "01", 2));
    CHECK(close(third) == 0 && close(again) == 0 && close(fd) == 0);
    FAILS(open(link, O_RDONLY), ENOENT);
    FAILS(readlink("/proc/self/fd/99", target, sizeof target), ENOENT);
    FAILS(stat("/proc/self/fd/99", &one), ENOENT);

    int ends[2];
    CHECK(pipe(ends) == 0 && fstat(ends[0], &one) == 0);
    sprintf(link, "/proc/self/fd/%d", ends[1]);
    sprintf(path, "pipe:[%lu]", (unsigned long)one.st_ino);
    length = readlink(link, target, sizeof target - 1);
    CHECK(length > 0 && (target[length] = 0, !strcmp(target, path)));
    int writer = open(link, O_WRONLY);
    CHECK(writer >= 0 && write(writer, "x", 1) == 1 && read(ends[0], line, 9) == 1);
    close(writer), close(ends[0]), close(ends[1]);

    DIR *open_files = opendir("/proc/self/fd");
    CHECK(open_files != NULL);
    int streams = 0;
    for (struct dirent *entry; (entry = readdir(open_files));)
        streams += !strcmp(entry->d_name, "0") || !strcmp(entry->d_name, "1") || !strcmp(entry->d_name, "2");
    CHECK(streams == 3 && closedir(open_files) == 0);

    CHECK(stat("/dev/stdout", &one) == 0 && fstat(1, &two) == 0 && one.st_ino == two.st_ino);
    int out = open("/dev/stdout", O_WRONLY);
    CHECK(out >= 0 && close(out) == 0);

    CHECK(first_line("/proc/self/comm", line, sizeof line) && first_line("/proc/self/status", other, sizeof other));
    CHECK(!strncmp(other, "Name:\t", 6) && !strcmp(other + 6, line));
    CHECK(first_line("/proc/self/stat", line, sizeof line) && atoi(line) == getpid() && strchr(line, ')')[2] == 'R');
    unsigned long size = 0, resident = 0;
    CHECK(first_line("/proc/self/statm", line, sizeof line) && sscanf(line, "%lu %lu", &size, &resident) == 2);
    CHECK(size >= resident && resident > 0);
    CHECK(first_line("/proc/self/maps", line, sizeof line) && strchr(line, '-'));
    CHECK(first_line("/proc/mounts", line, sizeof line) && first_line("/proc/self/mountinfo", line, sizeof line));
    CHECK(first_line("/proc/meminfo", line, sizeof line) && !strncmp(line, "MemTotal:", 9));
    CHECK(first_line("/proc/cpuinfo", line, sizeof line) && !strcmp(line, "processor\t: 0\n"));
    CHECK(first_line("/proc/sys/kernel/ngroups_max", line, sizeof line) && atoi(line) == 65536);
    sprintf(link, "/proc/%d/comm", getpid());
    CHECK(first_line(link, line, sizeof line));
    length = readlink("/proc/self", target, sizeof target);
    CHECK(length > 0 && atoi(target) == getpid());
    return 0;
}
