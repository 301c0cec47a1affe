/* A plugin in C: makes one form of the many in which people write an observation.
 *
 *     normalise   bytes in, bytes out      " eddf,2024-03-05T12:00Z, 54.5F,14kt,1013.2,81%"
 *                                      ->  "EDDF,2024-03-05T12:00Z,12.5,7.2,1013.2,81"
 *     parse       typed                    that line -> a record, which the scoring plugin takes
 *
 * The signature below is the shape of the host's `Record`. The host compares the two before the first call. */
#include "ampoule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 6, STATION_MAX = 8, TIME_MAX = 32, NUMBER_MAX = 15, LINE_MAX_BYTES = 128 };

/* A piece of the line, without the spaces around it. */
struct text {
    const char *at;
    size_t size;
};

static int is_digit(char c) { return c >= '0' && c <= '9'; }
static int is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
static int is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static struct text trimmed(const char *at, size_t size) {
    struct text text;
    while (size != 0 && is_space(*at)) at++, size--;
    while (size != 0 && is_space(at[size - 1])) size--;
    text.at = at;
    text.size = size;
    return text;
}

/* Splits a line at its commas; 1 if it has as many fields as a record. */
static int split(const char *line, size_t size, struct text fields[FIELDS]) {
    size_t count = 0;
    for (;;) {
        const char *comma = size == 0 ? NULL : memchr(line, ',', size);
        size_t length = comma == NULL ? size : (size_t)(comma - line);
        if (count == FIELDS) return 0;
        fields[count++] = trimmed(line, length);
        if (comma == NULL) return count == FIELDS;
        line += length + 1;
        size -= length + 1;
    }
}

/* Reads a decimal number and says what stands behind it; 1 if there is one. */
static int number(struct text from, double *value, struct text *unit) {
    char digits[NUMBER_MAX + 1];
    size_t length = 0, count = 0, points = 0;
    if (from.size != 0 && (*from.at == '-' || *from.at == '+')) length++;
    for (; length < from.size && (is_digit(from.at[length]) || from.at[length] == '.'); length++) {
        if (from.at[length] == '.')
            points++;
        else
            count++;
    }
    if (count == 0 || points > 1 || length > NUMBER_MAX) return 0;
    memcpy(digits, from.at, length);
    digits[length] = 0;
    *value = strtod(digits, NULL);
    *unit = trimmed(from.at + length, from.size - length);
    return 1;
}

static int is(struct text text, const char *word) {
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

static int temperature(struct text from, double *celsius) {
    struct text unit;
    if (!number(from, celsius, &unit)) return 0;
    if (is(unit, "F"))
        *celsius = (*celsius - 32.0) * 5.0 / 9.0;
    else if (unit.size != 0 && !is(unit, "C"))
        return 0;
    return 1;
}

static int wind(struct text from, double *metres) {
    struct text unit;
    if (!number(from, metres, &unit)) return 0;
    if (is(unit, "kt"))
        *metres *= 0.514444;
    else if (is(unit, "km/h"))
        *metres /= 3.6;
    else if (unit.size != 0 && !is(unit, "m/s"))
        return 0;
    return *metres >= 0;
}

static int pressure(struct text from, double *hectopascals) {
    struct text unit;
    return number(from, hectopascals, &unit) && (unit.size == 0 || is(unit, "hPa"));
}

static int humidity(struct text from, double *percent) {
    struct text unit;
    return number(from, percent, &unit) && (unit.size == 0 || is(unit, "%")) && *percent >= 0 && *percent <= 100;
}

/* Copies a field of the characters that it may have; 1 if it has at least one, and no others. */
static int word(struct text from, char *to, size_t max, const char *others) {
    if (from.size == 0 || from.size > max) return 0;
    for (size_t i = 0; i < from.size; i++) {
        char c = from.at[i];
        if (!is_digit(c) && !is_letter(c) && (c == 0 || strchr(others, c) == NULL)) return 0;
        to[i] = c;
    }
    to[from.size] = 0;
    return 1;
}

static void upper(char *text) {
    for (; *text != 0; text++) {
        if (*text >= 'a' && *text <= 'z') *text = (char)(*text - 'a' + 'A');
    }
}

struct record {
    char station[STATION_MAX + 1], time[TIME_MAX + 1];
    double temperature, wind, pressure, humidity;
};

/* Reads a line; NULL, or what is wrong with it. */
static const char *read_line(const char *line, size_t size, struct record *to) {
    struct text fields[FIELDS];
    if (!split(line, size, fields)) return "a line has six fields: station, time, temperature, wind, pressure, humidity";
    if (!word(fields[0], to->station, STATION_MAX, "")) return "a station is one to eight letters and digits";
    if (!word(fields[1], to->time, TIME_MAX, "-:.+")) return "a time looks like 2024-03-05T12:00Z";
    if (!temperature(fields[2], &to->temperature)) return "a temperature is a number with C, F or no unit";
    if (!wind(fields[3], &to->wind)) return "a wind is a number with kt, km/h, m/s or no unit";
    if (!pressure(fields[4], &to->pressure)) return "a pressure is a number with hPa or no unit";
    if (!humidity(fields[5], &to->humidity)) return "a humidity is a number from 0 to 100, with % or without";
    upper(to->station);
    return NULL;
}

static int normalise(const void *input, size_t size, struct ampoule_reply *reply) {
    struct record record;
    const char *wrong = read_line(input, size, &record);
    char line[LINE_MAX_BYTES];
    int length;
    if (wrong != NULL) return ampoule_fail(reply, wrong);
    length = snprintf(line, sizeof line, "%s,%s,%.1f,%.1f,%.1f,%.0f", record.station, record.time, record.temperature,
                      record.wind, record.pressure, record.humidity);
    if (length < 0 || (size_t)length >= sizeof line) return ampoule_fail(reply, "the numbers of this line are too long");
    return ampoule_reply_set(reply, line, (size_t)length);
}
AMPOULE_EXPORT(normalise);

static int parse(const void *input, size_t size, struct ampoule_reply *reply) {
    struct ampoule_reader from = ampoule_reader_of(input, size);
    unsigned char result[LINE_MAX_BYTES * 2];
    struct ampoule_writer to = ampoule_writer_to(result, sizeof result);
    struct record record;
    const char *wrong;
    size_t length;
    const unsigned char *line = ampoule_read_bytes(&from, &length);
    if (!ampoule_read_all(&from)) return AMPOULE_BAD_ARGUMENTS;

    wrong = read_line((const char *)line, length, &record);
    ampoule_write_variant(&to, wrong != NULL);
    if (wrong != NULL) {
        ampoule_write_bytes(&to, wrong, strlen(wrong));
    } else {
        ampoule_write_bytes(&to, record.station, strlen(record.station));
        ampoule_write_bytes(&to, record.time, strlen(record.time));
        ampoule_write_f64(&to, record.temperature);
        ampoule_write_f64(&to, record.wind);
        ampoule_write_f64(&to, record.pressure);
        ampoule_write_u8(&to, (uint8_t)(record.humidity + 0.5));
    }
    if (to.failed) return ampoule_fail(reply, "the result does not fit its buffer");
    return ampoule_reply_set(reply, result, to.size);
}
AMPOULE_EXPORT_TYPED(parse, "(line: string) -> result<{station: string, time: string, temperature: f64, wind: f64, "
                            "pressure: f64, humidity: u8}, string>");

int main(void) {
    ampoule_serve();
    return 2;
}
