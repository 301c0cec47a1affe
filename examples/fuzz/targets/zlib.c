/* zlib's decompressor for gzip, as a program calls it that reads from a network: a piece at a time, and with the header's fields wanted. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* What a read from a slow connection gives. */
#define PIECE_BYTES 16
/* What the program keeps of the header's extra field. */
#define EXTRA_BYTES 32
/* Decompression ends here, or an input of a few bytes could keep it busy for a second. */
#define OUTPUT_BYTES 65536

static unsigned char output[4096];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    z_stream stream = {0};
    gz_header header = {0};
    unsigned char *piece = malloc(PIECE_BYTES);
    int outcome = Z_OK;

    header.extra = malloc(EXTRA_BYTES);
    header.extra_max = EXTRA_BYTES;
    if (piece == NULL || header.extra == NULL || inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) abort();
    if (inflateGetHeader(&stream, &header) != Z_OK) abort();

    while (outcome == Z_OK && size > 0 && stream.total_out < OUTPUT_BYTES) {
        size_t bytes = size < PIECE_BYTES ? size : PIECE_BYTES;
        memcpy(piece, data, bytes);
        data += bytes;
        size -= bytes;
        stream.next_in = piece;
        stream.avail_in = (unsigned)bytes;
        do {
            stream.next_out = output;
            stream.avail_out = sizeof output;
            outcome = inflate(&stream, Z_NO_FLUSH);
        } while (outcome == Z_OK && stream.avail_out == 0 && stream.total_out < OUTPUT_BYTES);
    }

    inflateEnd(&stream);
    free(header.extra);
    free(piece);
    return 0;
}
