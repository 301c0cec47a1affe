/* Values cross as postcard writes them: the bytes here are those of its specification and of the Rust crate. */
#include "../ampoule_values.h"

#include "check.h"

static unsigned char bytes[64];
static struct ampoule_writer to;
static struct ampoule_reader from;

static void begin(void) { to = ampoule_writer_to(bytes, sizeof bytes); }

/* What was written is exactly this; it is read next. */
static int wrote(const char *expected, size_t size) {
    from = ampoule_reader_of(bytes, to.size);
    return !to.failed && to.size == size && memcmp(bytes, expected, size) == 0;
}

static void read_from(const char *input, size_t size) {
    memcpy(bytes, input, size);
    from = ampoule_reader_of(bytes, size);
}

#define WRITES(call, expected) (begin(), call, wrote(expected, sizeof expected - 1))
#define READS(kind, value) (ampoule_read_##kind(&from) == (value) && ampoule_read_all(&from))
#define REFUSES(kind, input) (read_from(input, sizeof input - 1), ampoule_read_##kind(&from), !ampoule_read_all(&from))

static void numbers_are_varints_and_signed_ones_zigzag(void) {
    CHECK(WRITES(ampoule_write_u16(&to, 127), "\x7f") && READS(u16, 127));
    CHECK(WRITES(ampoule_write_u16(&to, 128), "\x80\x01") && READS(u16, 128));
    CHECK(WRITES(ampoule_write_u16(&to, 65535), "\xff\xff\x03") && READS(u16, 65535));
    CHECK(WRITES(ampoule_write_u32(&to, 0), "\0") && READS(u32, 0));
    CHECK(WRITES(ampoule_write_u32(&to, 4294967295u), "\xff\xff\xff\xff\x0f") && READS(u32, 4294967295u));
    CHECK(WRITES(ampoule_write_u64(&to, UINT64_MAX), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") && READS(u64, UINT64_MAX));
    CHECK(WRITES(ampoule_write_i16(&to, -1), "\x01") && READS(i16, -1));
    CHECK(WRITES(ampoule_write_i16(&to, 1), "\x02") && READS(i16, 1));
    CHECK(WRITES(ampoule_write_i16(&to, INT16_MIN), "\xff\xff\x03") && READS(i16, INT16_MIN));
    CHECK(WRITES(ampoule_write_i32(&to, INT32_MAX), "\xfe\xff\xff\xff\x0f") && READS(i32, INT32_MAX));
    CHECK(WRITES(ampoule_write_i64(&to, INT64_MIN), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") && READS(i64, INT64_MIN));
}

static void bytes_and_floats_are_as_they_lie_in_memory(void) {
    CHECK(WRITES(ampoule_write_u8(&to, 200), "\xc8") && READS(u8, 200));
    CHECK(WRITES(ampoule_write_i8(&to, -2), "\xfe") && READS(i8, -2));
    CHECK(WRITES(ampoule_write_f32(&to, -32.005859375f), "\x00\x06\x00\xc2") && READS(f32, -32.005859375f));
    CHECK(WRITES(ampoule_write_f64(&to, -32.005859375), "\x00\x00\x00\x00\xc0\x00\x40\xc0") && READS(f64, -32.005859375));
    CHECK(WRITES(ampoule_write_bool(&to, 7), "\x01") && READS(bool, 1));
}

static void compound_values_are_their_parts(void) {
    size_t size;
    const unsigned char *text;
    begin();
    ampoule_write_bytes(&to, "h\xc3\xa4", 3);
    ampoule_write_option(&to, 1);
    ampoule_write_i32(&to, -3);
    ampoule_write_option(&to, 0);
    ampoule_write_variant(&to, 300);
    ampoule_write_count(&to, 2);
    ampoule_write_u8(&to, 9);
    ampoule_write_u8(&to, 8);
    CHECK(wrote("\x03h\xc3\xa4\x01\x05\x00\xac\x02\x02\x09\x08", 12));
    text = ampoule_read_bytes(&from, &size);
    CHECK(size == 3 && memcmp(text, "h\xc3\xa4", 3) == 0);
    CHECK(ampoule_read_option(&from) == 1 && ampoule_read_i32(&from) == -3 && ampoule_read_option(&from) == 0);
    CHECK(ampoule_read_variant(&from) == 300 && ampoule_read_count(&from) == 2);
    CHECK(!ampoule_read_all(&from));
    CHECK(ampoule_read_u8(&from) == 9 && READS(u8, 8));
}

static void what_is_no_value_is_refused(void) {
    size_t size = 1;
    CHECK(REFUSES(u8, ""));
    CHECK(REFUSES(u16, "\x80"));
    CHECK(REFUSES(u16, "\xff\xff\x04"));
    CHECK(REFUSES(u16, "\xff\xff\x83\x00"));
    CHECK(REFUSES(u32, "\xff\xff\xff\xff\x10"));
    CHECK(REFUSES(u64, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
    CHECK(REFUSES(u64, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
    CHECK(REFUSES(bool, "\x02"));
    CHECK(REFUSES(option, "\xff"));
    CHECK(REFUSES(f64, "1234567"));
    CHECK(REFUSES(u8, "12"));
    read_from("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 11);
    CHECK(ampoule_read_bytes(&from, &size) == NULL && size == 0 && from.failed);
    read_from("\x05" "1234", 5);
    CHECK(ampoule_read_bytes(&from, &size) == NULL && size == 0 && from.failed);
    CHECK(ampoule_read_u64(&from) == 0 && ampoule_read_bytes(&from, &size) == NULL);
}

static void a_writer_without_room_says_how_much_it_needs(void) {
    unsigned char small[4] = {1, 2, 3, 4};
    to = ampoule_writer_to(small, 3);
    ampoule_write_u8(&to, 7);
    ampoule_write_f64(&to, 1);
    ampoule_write_u8(&to, 7);
    CHECK(to.failed && to.size == 10);
    CHECK(small[0] == 7 && small[1] == 2 && small[2] == 3 && small[3] == 4);
    to = ampoule_writer_to(NULL, 0);
    ampoule_write_bytes(&to, "abc", 3);
    CHECK(to.failed && to.size == 4);
}

int main(void) {
    numbers_are_varints_and_signed_ones_zigzag();
    bytes_and_floats_are_as_they_lie_in_memory();
    compound_values_are_their_parts();
    what_is_no_value_is_refused();
    a_writer_without_room_says_how_much_it_needs();
    printf("values: %d checks passed\n", checks);
    return 0;
}
