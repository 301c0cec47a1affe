# SQLite, linked from Debian's static library, with its database in a directory of the host; and killed in the middle of transactions.

needs gcc libc6-dev libsqlite3-dev
compiled sqlite -lsqlite3 -lm
program=$built/sqlite
statements=$sources/statements

mkdir empty
for script in tables bulk journals; do
	same_tree empty "$statements/$script.sql" "$tree/database"
done
same_tree empty "$statements/tables.sql" :memory:
same_tree empty "$statements/tables.sql" "$tree/no/such/directory"
# What one has written the other goes on with.
mkdir full
"$program" full/database <"$statements/journals.sql" >/dev/null
same_tree full "$statements/bulk.sql" "$tree/database"
head -c 5000 full/database >empty/cut
same_tree empty "$statements/tables.sql" "$tree/cut"

# A bank: thousands of transfers, more than any machine does within the limits below, each a transaction over several pages; after each it prints its number. The sum of all balances and the
# number of transfers that were done tell whether a transaction was torn.
mkdir bank
"$program" bank/database <"$statements/transfers.sql"
transfers() {
	local i
	for ((i = 1; i <= 4000; i++)); do
		echo "BEGIN; UPDATE accounts SET balance = balance - $i, filler = printf('%.3000c', 'a')"
		echo "WHERE id BETWEEN $((i % 50 + 1)) AND $((i % 50 + 20));"
		echo "SELECT 'between'; UPDATE accounts SET balance = balance + $i WHERE id BETWEEN $((i % 50 + 21)) AND $((i % 50 + 40));"
		echo "INSERT INTO done VALUES ($i); COMMIT; SELECT 'committed', $i, 'yes';"
	done
}
{
	echo 'PRAGMA cache_size = 5; PRAGMA cache_spill = 1;'
	transfers
} >transfers

cat >audit <<-'SQL'
	PRAGMA integrity_check;
	SELECT sum(balance), count(*) FROM accounts;
	SELECT count(*), ifnull(max(step), 0) FROM done;
SQL

# torn CODE: what is wrong with the bank after its run was ended with this exit code; both Ampoule and the host recover a copy of it.
torn() {
	local known=0 steps
	[[ $1 == 124 || $1 == 137 ]] || printf ' exit code %d, not a limit: %s;' "$1" "$(head -c 300 run.err | tr '\n' ' ')"
	known=$(grep '^committed|.*|yes$' run.out | tail -n 1 | cut -d '|' -f 2 || true)
	known=${known:-0}
	rm -rf recovered.outside recovered.inside
	cp -a killed recovered.outside
	cp -a killed recovered.inside
	"$program" recovered.outside/database <audit >outside.out 2>outside.err || printf ' the audit outside failed: %s;' "$(<outside.err)"
	"$ampoule" run --dir "$PWD/recovered.inside:/bank:rw" "$program" /bank/database <audit >inside.out 2>inside.err ||
		printf ' the audit inside failed: %s;' "$(<inside.err)"
	compared 0 0
	diff <(described recovered.outside) <(described recovered.inside) >difference || printf ' files: %s;' "$(tr '\n' ' ' <difference)"
	steps=$(tail -n 1 outside.out | cut -d '|' -f 1)
	printf 'ok\n100000|100\n%s|%s\n' "$steps" "$steps" | cmp -s - outside.out || printf ' the bank: %s;' "$(tr '\n' ' ' <outside.out)"
	((steps >= known && steps <= known + 1)) || printf ' %d transfers, %d of them known to be committed;' "$steps" "$known"
	[[ -e killed/database-journal ]] && echo >>interrupted
	return 0
}

# killed_by LIMIT...: the bank, ended by this limit somewhere.
killed_by() {
	local code=0
	rm -rf killed
	cp -a bank killed
	"$ampoule" run "$@" --dir "$PWD/killed:/bank:rw" "$program" /bank/database <transfers >run.out 2>run.err || code=$?
	torn $code
}

# many TEXT OPTION UNIT FIRST STEP COUNT: killed by limits that grow.
many() {
	local text=$1 option=$2 unit=$3 first=$4 step=$5 count=$6 i difference=
	((${long:-0})) && count=$((count * 10)) step=$(((step + 9) / 10))
	for ((i = 0; i < count; i++)); do
		local limit=$((first + i * step))$unit
		difference+=$(killed_by "$option" "$limit" | head -c 300 | tr '\n' ' ' | sed "s/^/ $limit:/")
	done
	report "$count banks $text" "$difference"
}
: >interrupted
many 'killed after this much output' --output '' 4 37 20
many 'killed after this much time' --wall ms 5 3 20
many 'killed after this much CPU time' --cpu ms 5 3 20
interrupted=$(wc -l <interrupted)
report 'a third of these and more were killed in the middle of a transaction' "$( ((interrupted > 20)) || printf ' only %d' "$interrupted")"
