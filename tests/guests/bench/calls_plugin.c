/* What a call costs: the least that a function of a plugin can do, one function for each kind of call. */
#include "../../../sdk/c/ampoule.c"

/* The reply is this number. */
static int answer(struct ampoule_reply *to, uint32_t number) {
    unsigned char result[AMPOULE_NUMBER_MAX];
    struct ampoule_writer writer = ampoule_writer_to(result, sizeof result);
    ampoule_write_u32(&writer, number);
    return ampoule_reply_set(to, result, writer.size);
}

/* The number after its input. */
static int next(const void *input, size_t size, struct ampoule_reply *to) {
    struct ampoule_reader from = ampoule_reader_of(input, size);
    uint32_t number = ampoule_read_u32(&from);
    return ampoule_read_all(&from) ? answer(to, number + 1) : AMPOULE_BAD_ARGUMENTS;
}
AMPOULE_EXPORT_TYPED(next, "(n: u32) -> u32");

AMPOULE_IMPORT_TYPED(host_next, "(n: u32) -> u32");

/* The same, as the host computes it. */
static int asks(const void *input, size_t size, struct ampoule_reply *to) {
    unsigned char result[AMPOULE_NUMBER_MAX];
    long got = ampoule_import(&host_next, input, size, result, sizeof result);
    return got < 0 ? ampoule_fail(to, "host_next failed") : ampoule_reply_set(to, result, (size_t)got);
}
AMPOULE_EXPORT_TYPED(asks, "(n: u32) -> u32");

/* Posts so many events. */
static int posts(const void *input, size_t size, struct ampoule_reply *to) {
    struct ampoule_reader from = ampoule_reader_of(input, size);
    uint32_t count = ampoule_read_u32(&from);
    if (!ampoule_read_all(&from)) return AMPOULE_BAD_ARGUMENTS;
    for (uint32_t i = 0; i < count; i++)
        if (ampoule_event(i % 512, i) != 0) return ampoule_fail(to, "nobody listens to events");
    return answer(to, count);
}
AMPOULE_EXPORT_TYPED(posts, "(n: u32) -> u32");

/* Returns a copy of its input. */
static int echo(const void *input, size_t size, struct ampoule_reply *to) { return ampoule_reply_set(to, input, size); }
AMPOULE_EXPORT(echo);

int main(void) {
    ampoule_serve();
    return 2;
}
