/* Arguments, environment and auxiliary vector, as the program sees them. argv[0] is left out: it names the file, which differs. */
#include "../check.h"
#include <elf.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;

static int by_text(const void *left, const void *right) { return strcmp(*(char *const *)left, *(char *const *)right); }

int main(int argc, char **argv) {
    printf("%d arguments\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        size_t length = strlen(argv[i]);
        if (length > 200)
            printf("%d: %zu bytes, sum %08x\n", i, length, checksum(CHECKSUM_START, argv[i], length));
        else
            printf("%d: [%s]\n", i, argv[i]);
    }
    CHECK(argv[argc] == NULL);
    CHECK(argc > 0 && argv[0][0] != 0);

    int count = 0;
    while (environ[count]) count++;
    qsort(environ, count, sizeof *environ, by_text);
    for (int i = 0; i < count; i++) printf("env [%s]\n", environ[i]);
    printf("KEY is %s\n", getenv("KEY") ? getenv("KEY") : "not set");
    CHECK(setenv("KEY", "changed", 1) == 0 && strcmp(getenv("KEY"), "changed") == 0);
    CHECK(unsetenv("KEY") == 0 && getenv("KEY") == NULL);

    CHECK(getauxval(AT_PAGESZ) == 4096);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(getauxval(AT_SECURE) == 0);
    CHECK(getauxval(AT_ENTRY) != 0);
    CHECK(getauxval(AT_PHNUM) > 0 && getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
    const Elf64_Phdr *header = (const Elf64_Phdr *)getauxval(AT_PHDR);
    int loads = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) loads += header[i].p_type == PT_LOAD;
    CHECK(loads > 0);
    CHECK(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    return 0;
}
