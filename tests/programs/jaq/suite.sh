# jaq, a jq in Rust from the crate registry, over 12 MiB of JSON, from stdin and from a file.

needs gcc libc6-dev busybox-static
# A version that is already there is neither fetched nor built again.
RUSTFLAGS='-Ctarget-feature=+crt-static -Crelocation-model=static' CARGO_TARGET_DIR=$built/cargo \
	cargo install --quiet --locked jaq@3.1.2 --no-default-features --target x86_64-unknown-linux-gnu --root "$built" 2>install.err || {
	cat install.err >&2
	exit 1
}
program=$built/bin/jaq

mkdir files
busybox awk 'BEGIN {
	state = 42
	for (i = 0; bytes < 12582912; i++) {
		state = (state * 69069 + 1) % 4294967296
		head = sprintf("\"id\":%d,\"name\":\"n%x\",\"tags\":[\"%d\",\"é\\n\",null],\"value\":%.3f", i, state, state % 7, state / 1000)
		line = sprintf("{%s,\"nested\":{\"even\":%s,\"list\":[%d,%d]}}", head, state % 2 ? "false" : "true", state % 11, state % 13)
		print line
		bytes += length(line) + 1
	}
}' >files/records
head -c 100000 files/records >files/cut
echo '[3, 1, {"b": 2, "a": [1.5, null, true, "x\u00e9\ud83d\ude00"]}, 1e1000, -0, 12345678901234567890]' >files/little

same files/records -c .
same files/records .nested.even
same files/records -r 'select(.id % 997 == 0) | [.id, .name, (.value | floor)] | @tsv'
same files/records -c -s 'group_by(.tags[0]) | map({tag: .[0].tags[0], n: length, sum: (map(.value) | add)})'
same files/records -c -s 'map(.nested.list | add) | sort | unique | [length, first, last]'
same files/records -n '[inputs | .name | select(test("^n[0-9]+$"))] | length'
same files/records -n 'reduce inputs as $x ({}; .[$x.tags[0]] += $x.id) | to_entries | sort_by(.value) | from_entries'
same files/records -R -s 'split("\n") | length'
same files/records --tab 'select(.id < 3)'
same files/cut -c .id
same files/little .
same files/little -S -c '., (.[2] | paths), (tostream)'
same files/little -e '.[0] == 4'
same files/little '.[0] | error("refused: \(.)")'
same files/little -n '[limit(20; def f: ., (. * 2 | f); 1 | f)], ([range(10)] | map(pow(.; 2)) | add), ("a,b" | split(","))'
same files/little -n '(now > 0), ($ENV | length)'
same files/little '.['
same files/little --no-such-option
same_tree files /dev/null -c '.value' "$tree/records"
same_tree files /dev/null -c --arg name n5 'select(.name | startswith($name)) | .id' "$tree/records" "$tree/absent"
same_tree files /dev/null --slurpfile little "$tree/little" -n '$little | length'
echo '.id * 2' >files/filter
same_tree files /dev/null -f "$tree/filter" "$tree/records"
# Each value that it prints into a file is a system call.
head -n 300 files/records >files/few
same_tree files /dev/null -i 'select(.id % 2 == 0)' "$tree/few"
