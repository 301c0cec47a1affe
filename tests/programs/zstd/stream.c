/* Compresses (-c LEVEL) or decompresses (-d) a stream: stdin to stdout, or the two files that are named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "zstd: %s: %s\n", what, why);
	exit(1);
}

static size_t checked(size_t result)
{
	if (ZSTD_isError(result))
		fail("stream", ZSTD_getErrorName(result));
	return result;
}

static void emit(FILE *out, const ZSTD_outBuffer *produced)
{
	if (fwrite(produced->dst, 1, produced->pos, out) != produced->pos)
		fail("output", "cannot be written");
}

static void compress(FILE *in, FILE *out, int level, void *from, void *to)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	checked(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level));
	checked(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1));
	for (int last = 0; !last;) {
		ZSTD_inBuffer taken = {from, fread(from, 1, ZSTD_CStreamInSize(), in), 0};
		last = taken.size < ZSTD_CStreamInSize();
		size_t left;
		do {
			ZSTD_outBuffer produced = {to, ZSTD_CStreamOutSize(), 0};
			left = checked(ZSTD_compressStream2(context, &produced, &taken, last ? ZSTD_e_end : ZSTD_e_continue));
			emit(out, &produced);
		} while (last ? left != 0 : taken.pos < taken.size);
	}
	ZSTD_freeCCtx(context);
}

static void decompress(FILE *in, FILE *out, void *from, void *to)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t wanted = 1;
	for (size_t got; (got = fread(from, 1, ZSTD_DStreamInSize(), in)) != 0;) {
		ZSTD_inBuffer taken = {from, got, 0};
		while (taken.pos < taken.size) {
			ZSTD_outBuffer produced = {to, ZSTD_DStreamOutSize(), 0};
			wanted = checked(ZSTD_decompressStream(context, &produced, &taken));
			emit(out, &produced);
		}
	}
	if (wanted != 0)
		fail("input", "ends in the middle of a frame");
	ZSTD_freeDCtx(context);
}

static FILE *opened(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);
	if (!file) {
		perror(path);
		exit(1);
	}
	return file;
}

int main(int argc, char **argv)
{
	int packs = argc > 2 && strcmp(argv[1], "-c") == 0;
	int files = packs ? 3 : 2;
	if (!packs && (argc < 2 || strcmp(argv[1], "-d") != 0)) {
		fprintf(stderr, "usage: %s -c LEVEL | -d [INPUT OUTPUT]\n", argv[0]);
		return 2;
	}
	FILE *in = argc == files + 2 ? opened(argv[files], "rb") : stdin;
	FILE *out = argc == files + 2 ? opened(argv[files + 1], "wb") : stdout;
	void *from = malloc(ZSTD_CStreamInSize() + ZSTD_DStreamInSize());
	void *to = malloc(ZSTD_CStreamOutSize() + ZSTD_DStreamOutSize());
	if (!from || !to)
		fail("buffers", "out of memory");
	if (packs)
		compress(in, out, atoi(argv[2]), from, to);
	else
		decompress(in, out, from, to);
	if (fflush(out) != 0 || fclose(out) != 0)
		fail("output", "cannot be written");
	return 0;
}
