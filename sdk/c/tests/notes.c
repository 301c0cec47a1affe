/* The notes of a linked program say what it offers and needs, and outside Ampoule it says so itself. */
#include <elf.h>
#include <unistd.h>

#include "../ampoule.h"
#include "check.h"

static int raw(const void *input, size_t size, struct ampoule_reply *reply) { return ampoule_reply_set(reply, input, size); }
AMPOULE_EXPORT(raw);

static int score(const void *input, size_t size, struct ampoule_reply *reply) { return ampoule_reply_set(reply, input, size); }
AMPOULE_EXPORT_TYPED(score, "(name: string, n: u32) -> f64");

static int path(const void *input, size_t size, struct ampoule_reply *reply) { return ampoule_reply_set(reply, input, size); }
AMPOULE_EXPORT_NAMED(path, "a.b::c-d/e", "() -> ()");

AMPOULE_IMPORT(lookup);
AMPOULE_IMPORT_TYPED(tell, "(what: enum{None, One(u8, string), Two{x: f32}}) -> option<result<[u64], ()>>");

extern const Elf64_Ehdr __ehdr_start;

struct expected {
    unsigned kind;
    const char *text;
};

static const struct expected expected[] = {
    {1, "raw(bytes) -> bytes"},
    {1, "score(name: string, n: u32) -> f64"},
    {1, "a.b::c-d/e() -> ()"},
    {2, "lookup(bytes) -> bytes"},
    {2, "tell(what: enum{None, One(u8, string), Two{x: f32}}) -> option<result<[u64], ()>>"},
};
#define EXPECTED (sizeof expected / sizeof expected[0])

static int seen[EXPECTED];

/* One note: sizes, kind and name, then the version and exactly the text. */
static void note(const Elf64_Nhdr *header) {
    static const uint16_t version[] = {AMPOULE_ABI_MAJOR, AMPOULE_ABI_MINOR};
    const char *name = (const char *)(header + 1);
    const char *description = name + 8;
    size_t i;
    for (i = 0; i < EXPECTED; i++) {
        size_t length = strlen(expected[i].text);
        if (header->n_type != expected[i].kind || header->n_descsz != 4 + length || memcmp(description + 4, expected[i].text, length) != 0)
            continue;
        CHECK(memcmp(description, version, sizeof version) == 0);
        seen[i]++;
        return;
    }
    CHECK(!"a note that nobody expects");
}

static void every_function_has_one_note(void) {
    const char *base = (const char *)&__ehdr_start;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(base + __ehdr_start.e_phoff);
    size_t i;
    for (i = 0; i < __ehdr_start.e_phnum; i++) {
        const char *at, *end;
        if (segments[i].p_type != PT_NOTE) continue;
        at = base + segments[i].p_offset;
        end = at + segments[i].p_filesz;
        while (at < end) {
            const Elf64_Nhdr *header = (const Elf64_Nhdr *)at;
            size_t align = segments[i].p_align == 8 ? 7 : 3;
            if (header->n_namesz == 8 && memcmp(header + 1, "Ampoule", 8) == 0) {
                CHECK(align == 3);
                note(header);
            }
            at += sizeof *header + ((header->n_namesz + 3) & ~(size_t)3);
            at += (header->n_descsz + align) & ~align;
        }
        CHECK(at == end);
    }
    for (i = 0; i < EXPECTED; i++) CHECK(seen[i] == 1);
}

static void outside_it_says_what_it_is(void) {
    static char said[4096];
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(dup2(2, 9) == 9 && dup2(ends[1], 2) == 2);
    int result = ampoule_serve();
    CHECK(dup2(9, 2) == 2);
    ssize_t size = read(ends[0], said, sizeof said - 1);
    CHECK(result == -AMPOULE_ENOSYS && size > 0);
    CHECK(strstr(said, "plugin for Ampoule") && strstr(said, "  export score\n") && strstr(said, "  import tell\n"));
}

static void outside_nothing_is_granted(void) {
    unsigned char seed[32] = {0};
    size_t size = 1;
    CHECK(ampoule_run() == -AMPOULE_ENOSYS && ampoule_import(&lookup, "", 0, NULL, 0) == -AMPOULE_ENOSYS);
    CHECK(ampoule_event(0, 1) == -AMPOULE_ENOSYS && ampoule_event(512, 1) == -AMPOULE_EINVAL);
    CHECK(ampoule_log(3, "target", "message") == -AMPOULE_ENOSYS && ampoule_log(6, "", "") == -AMPOULE_EINVAL);
    CHECK(ampoule_remaining_ns() == UINT64_MAX && ampoule_generation() == 0);
    CHECK(ampoule_region("shared", &size) == NULL && size == 0);
    CHECK(ampoule_fetch(seed, sizeof seed) == -AMPOULE_ENOSYS && ampoule_fetch_size() == 0);
    CHECK(ampoule_entropy(seed) == 0);
}

int main(void) {
    every_function_has_one_note();
    outside_it_says_what_it_is();
    outside_nothing_is_granted();
    printf("notes: %d checks passed\n", checks);
    return 0;
}
