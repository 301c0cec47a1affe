/* Values of typed functions, in postcard's wire format (https://postcard.jamesmunns.com/wire-format): reading from bytes and writing to
 * bytes, nothing else. It works outside Ampoule as well.
 *
 * The parameters of a function follow each other, and so do the fields of a struct and the parts of a tuple or of an array: one reads or
 * writes them one after the other. There is nothing here for u128 and i128. */
#ifndef AMPOULE_VALUES_H
#define AMPOULE_VALUES_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* What does not fit sets `failed`, and everything read afterwards is 0 or empty: it is enough to ask ampoule_read_all at the end. */
struct ampoule_reader {
    const unsigned char *at;
    const unsigned char *end;
    int failed;
};

static inline struct ampoule_reader ampoule_reader_of(const void *input, size_t size) {
    struct ampoule_reader from = {(const unsigned char *)input, (const unsigned char *)input + size, 0};
    return from;
}

/* 1 if everything was as it should be and nothing is left. If not, return AMPOULE_BAD_ARGUMENTS. */
static inline int ampoule_read_all(const struct ampoule_reader *from) { return !from->failed && from->at == from->end; }

/* The next `size` bytes as they are; NULL if there are fewer. For the parts of [u8; size]. */
static inline const unsigned char *ampoule_read_raw(struct ampoule_reader *from, size_t size) {
    const unsigned char *bytes = from->at;
    if (from->failed || size > (size_t)(from->end - from->at)) {
        from->failed = 1;
        from->at = from->end;
        return NULL;
    }
    from->at += size;
    return bytes;
}

/* A number of `bits` bits, seven to a byte, the lowest first. As many bytes as the largest number needs are read, and no more. */
static inline uint64_t ampoule_read_varint(struct ampoule_reader *from, unsigned bits) {
    uint64_t value = 0;
    unsigned shift;
    for (shift = 0; shift < bits; shift += 7) {
        const unsigned char *byte = ampoule_read_raw(from, 1);
        if (byte == NULL) return 0;
        if (bits - shift < 7 && *byte >> (bits - shift) != 0) break;
        value |= (uint64_t)(*byte & 0x7f) << shift;
        if (*byte < 0x80) return value;
    }
    from->failed = 1;
    return 0;
}

static inline int64_t ampoule_read_zigzag(struct ampoule_reader *from, unsigned bits) {
    uint64_t value = ampoule_read_varint(from, bits);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static inline uint8_t ampoule_read_u8(struct ampoule_reader *from) {
    const unsigned char *byte = ampoule_read_raw(from, 1);
    return byte == NULL ? 0 : *byte;
}

static inline uint16_t ampoule_read_u16(struct ampoule_reader *from) { return (uint16_t)ampoule_read_varint(from, 16); }
static inline uint32_t ampoule_read_u32(struct ampoule_reader *from) { return (uint32_t)ampoule_read_varint(from, 32); }
static inline uint64_t ampoule_read_u64(struct ampoule_reader *from) { return ampoule_read_varint(from, 64); }
static inline int8_t ampoule_read_i8(struct ampoule_reader *from) { return (int8_t)ampoule_read_u8(from); }
static inline int16_t ampoule_read_i16(struct ampoule_reader *from) { return (int16_t)ampoule_read_zigzag(from, 16); }
static inline int32_t ampoule_read_i32(struct ampoule_reader *from) { return (int32_t)ampoule_read_zigzag(from, 32); }
static inline int64_t ampoule_read_i64(struct ampoule_reader *from) { return ampoule_read_zigzag(from, 64); }

static inline float ampoule_read_f32(struct ampoule_reader *from) {
    const unsigned char *bytes = ampoule_read_raw(from, 4);
    float value = 0;
    if (bytes != NULL) __builtin_memcpy(&value, bytes, 4);
    return value;
}

static inline double ampoule_read_f64(struct ampoule_reader *from) {
    const unsigned char *bytes = ampoule_read_raw(from, 8);
    double value = 0;
    if (bytes != NULL) __builtin_memcpy(&value, bytes, 8);
    return value;
}

/* 0 or 1. */
static inline int ampoule_read_bool(struct ampoule_reader *from) {
    uint8_t byte = ampoule_read_u8(from);
    if (byte > 1) from->failed = 1;
    return byte == 1;
}

/* 1 if a value follows. */
static inline int ampoule_read_option(struct ampoule_reader *from) { return ampoule_read_bool(from); }

/* How many elements of a sequence or pairs of a map follow. Any number can come: end the loop when `failed` is set, and allocate nothing
 * for it before. */
static inline uint64_t ampoule_read_count(struct ampoule_reader *from) { return ampoule_read_varint(from, 64); }

/* Which variant of an enum follows, from 0. A result is an enum: 0 is the value, 1 the error. */
static inline uint32_t ampoule_read_variant(struct ampoule_reader *from) { return (uint32_t)ampoule_read_varint(from, 32); }

/* A string, a char (a string of one character), or the bytes of a [u8]: where they are in the input, without a NUL at their end, and how
 * many. They are not looked at for UTF-8. NULL and 0 if there are fewer than said. */
static inline const unsigned char *ampoule_read_bytes(struct ampoule_reader *from, size_t *size) {
    uint64_t count = ampoule_read_varint(from, 64);
    const unsigned char *bytes = ampoule_read_raw(from, (size_t)count);
    *size = bytes == NULL ? 0 : (size_t)count;
    return bytes;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* What does not fit is not written and sets `failed`, but `size` counts it: at the end it is the number of bytes that are needed. */
struct ampoule_writer {
    unsigned char *to;
    size_t capacity;
    size_t size;
    int failed;
};

/* Most bytes of a number, a bool, the mark of an option, a count or a variant. */
#define AMPOULE_NUMBER_MAX 10

static inline struct ampoule_writer ampoule_writer_to(void *output, size_t capacity) {
    struct ampoule_writer to = {(unsigned char *)output, capacity, 0, 0};
    return to;
}

/* The bytes as they are. For the parts of [u8; size]. */
static inline void ampoule_write_raw(struct ampoule_writer *to, const void *bytes, size_t size) {
    if (to->failed || size > to->capacity - to->size)
        to->failed = 1;
    else if (size != 0)
        __builtin_memcpy(to->to + to->size, bytes, size);
    to->size += size;
}

static inline void ampoule_write_u64(struct ampoule_writer *to, uint64_t value) {
    unsigned char bytes[AMPOULE_NUMBER_MAX];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) bytes[size++] = (unsigned char)(value | 0x80);
    bytes[size++] = (unsigned char)value;
    ampoule_write_raw(to, bytes, size);
}

static inline void ampoule_write_i64(struct ampoule_writer *to, int64_t value) {
    ampoule_write_u64(to, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static inline void ampoule_write_u8(struct ampoule_writer *to, uint8_t value) { ampoule_write_raw(to, &value, 1); }
static inline void ampoule_write_u16(struct ampoule_writer *to, uint16_t value) { ampoule_write_u64(to, value); }
static inline void ampoule_write_u32(struct ampoule_writer *to, uint32_t value) { ampoule_write_u64(to, value); }
static inline void ampoule_write_i8(struct ampoule_writer *to, int8_t value) { ampoule_write_raw(to, &value, 1); }
static inline void ampoule_write_i16(struct ampoule_writer *to, int16_t value) { ampoule_write_i64(to, value); }
static inline void ampoule_write_i32(struct ampoule_writer *to, int32_t value) { ampoule_write_i64(to, value); }
static inline void ampoule_write_f32(struct ampoule_writer *to, float value) { ampoule_write_raw(to, &value, 4); }
static inline void ampoule_write_f64(struct ampoule_writer *to, double value) { ampoule_write_raw(to, &value, 8); }
static inline void ampoule_write_bool(struct ampoule_writer *to, int value) { ampoule_write_u8(to, value != 0); }

/* Whether a value follows. */
static inline void ampoule_write_option(struct ampoule_writer *to, int present) { ampoule_write_u8(to, present != 0); }

/* How many elements of a sequence or pairs of a map follow. */
static inline void ampoule_write_count(struct ampoule_writer *to, uint64_t count) { ampoule_write_u64(to, count); }

/* Which variant of an enum follows: see ampoule_read_variant. */
static inline void ampoule_write_variant(struct ampoule_writer *to, uint32_t variant) { ampoule_write_u64(to, variant); }

/* A string or a char, which must be UTF-8, or a [u8]. */
static inline void ampoule_write_bytes(struct ampoule_writer *to, const void *bytes, size_t size) {
    ampoule_write_u64(to, size);
    ampoule_write_raw(to, bytes, size);
}

#ifdef __cplusplus
}
#endif
#endif
