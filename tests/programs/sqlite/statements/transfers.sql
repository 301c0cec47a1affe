-- A bank of a hundred accounts whose sum never changes. The journal's file grows before the database's does: little cache.
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER, filler TEXT);
CREATE TABLE done (step INTEGER PRIMARY KEY);
WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) INSERT INTO accounts SELECT n, 1000, printf('%.3000c', 'x') FROM c;
