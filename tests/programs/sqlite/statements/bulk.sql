-- Thirty thousand rows in and half of them out, sorted through files, and the file made small again.
PRAGMA cache_size = 200;
PRAGMA temp_store = FILE;
CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT, value REAL);
BEGIN;
WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30000)
INSERT INTO numbers SELECT n, hex(n * 7919) || printf('%.*c', n % 50, 'x'), n / 7.0 FROM c;
COMMIT;
CREATE INDEX by_text ON numbers (text);
SELECT count(*), sum(value), max(text) FROM numbers;
SELECT n, text FROM numbers ORDER BY text DESC, n LIMIT 5;
SELECT text, count(*) FROM (SELECT substr(text, 1, 2) AS text FROM numbers) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;
UPDATE numbers SET value = value * 2 WHERE n % 3 = 0;
DELETE FROM numbers WHERE n % 2 = 0;
BEGIN; DELETE FROM numbers; SELECT count(*) FROM numbers; ROLLBACK;
SELECT count(*), round(sum(value), 6) FROM numbers;
CREATE TEMP TABLE passing AS SELECT n, value FROM numbers WHERE n < 5000;
SELECT count(*), min(value) FROM passing;
PRAGMA page_count;
VACUUM;
PRAGMA page_count;
CREATE VIRTUAL TABLE words USING fts5 (body);
INSERT INTO words SELECT 'word' || n || ' and word' || (n % 10) FROM numbers;
SELECT count(*) FROM words WHERE words MATCH 'word7 AND and';
REINDEX;
ANALYZE;
SELECT tbl, idx, stat FROM sqlite_stat1 WHERE tbl = 'numbers';
PRAGMA integrity_check;
