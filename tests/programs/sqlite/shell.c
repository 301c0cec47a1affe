/* A shell for SQLite: runs the statements on stdin against the database that is its argument.
 *
 * A row is a line, its values separated by `|`. An error is a line on stderr, what is left of that line of input is skipped, and the exit
 * code is 1 in the end. stdout is flushed after every statement, so that what was printed was done.
 */
#define _GNU_SOURCE
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_row(sqlite3_stmt *statement)
{
	for (int i = 0; i < sqlite3_column_count(statement); i++) {
		const unsigned char *text = sqlite3_column_text(statement, i);
		printf("%s%s", i ? "|" : "", text ? (const char *)text : "NULL");
	}
	putchar('\n');
}

/* Runs the statements in the text; 0 if all went well. */
static int run(sqlite3 *database, const char *text)
{
	while (*text) {
		sqlite3_stmt *statement;
		int result = sqlite3_prepare_v2(database, text, -1, &statement, &text);
		if (result == SQLITE_OK && !statement)
			continue;
		while (result == SQLITE_OK || result == SQLITE_ROW) {
			result = sqlite3_step(statement);
			if (result == SQLITE_ROW)
				print_row(statement);
		}
		if (result != SQLITE_DONE)
			fprintf(stderr, "error %d: %s\n", sqlite3_extended_errcode(database), sqlite3_errmsg(database));
		sqlite3_finalize(statement);
		fflush(stdout);
		if (result != SQLITE_DONE)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	sqlite3 *database;
	if (argc != 2) {
		fprintf(stderr, "usage: %s DATABASE\n", argv[0]);
		return 2;
	}
	if (sqlite3_open(argv[1], &database) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", argv[1], sqlite3_errmsg(database));
		return 2;
	}
	int failed = 0;
	char *line = NULL, *text = strdup("");
	for (size_t room = 0, size = 0; text && getline(&line, &room, stdin) > 0;) {
		size_t more = strlen(line);
		text = realloc(text, size + more + 1);
		if (!text)
			break;
		memcpy(text + size, line, more + 1);
		size += more;
		if (sqlite3_complete(text)) {
			failed |= run(database, text);
			size = *text = 0;
		}
	}
	if (!text)
		return 3;
	failed |= run(database, text);
	free(text);
	free(line);
	return sqlite3_close(database) == SQLITE_OK ? failed : 4;
}
