# zstd, linked from Debian's static library: 50 MiB there and back, through stdin and stdout and through files in a directory of the host.

needs gcc libc6-dev libzstd-dev busybox-static
compiled zstd -lzstd
program=$built/zstd

# Compressible, but not by much, and of no period.
busybox awk 'BEGIN {
	state = 7
	while (bytes < 52428800) {
		state = (state * 69069 + 1) % 4294967296
		line = state % 3 ? sprintf("%x", state) : "a line that comes again and again " state % 1000
		print line
		bytes += length(line) + 1
	}
}' >longer
head -c 52428800 longer >data
rm longer

for level in 1 3 9; do
	same data -c $level
	mv outside.out data.$level
	same data.$level -d
	report "level $level gives back what it was given" "$(cmp data inside.out 2>&1 || true)"
done
head -c 1000000 data.3 >cut
same cut -d
{ head -c 1000000 data.3 && head -c 1000 /dev/zero; } >damaged
same damaged -d
same data -d
same /dev/null -c 3

mkdir files
mv data data.3 files
same_tree files /dev/null -c 5 "$tree/data" "$tree/packed"
same_tree files /dev/null -d "$tree/data.3" "$tree/unpacked"
report 'the file is what was packed' "$(cmp files/data "$tree/unpacked" 2>&1 || true)"
same_tree files /dev/null -d "$tree/absent" "$tree/unpacked"
same_tree files /dev/null -d "$tree/data.3" "$tree/no/such/directory"
