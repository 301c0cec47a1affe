# Debian's static busybox over 10 MiB of text, and the endings that scripts know by their exit codes.

needs busybox-static
program=$(realpath "$(command -v busybox)")

# Numbers that look random and are the same everywhere, as words of several lengths.
"$program" awk 'BEGIN {
	state = 42
	while (bytes < 10485760) {
		line = ""
		words = 1 + state % 9
		for (i = 0; i < words; i++) {
			state = (state * 69069 + 1) % 4294967296
			line = line (i ? " " : "") sprintf("%x", int(state / (1 + state % 7)))
		}
		print line
		bytes += length(line) + 1
	}
}' >longer
"$program" head -c 10485760 longer >text
"$program" gzip -c <text >text.gz
"$program" base64 <text >text.base64
"$program" head -c 65536 text >little

same text sha256sum
same text sha512sum
same text md5sum
same text cksum
same text sort
same text sort -r -u
same text wc
same text awk '{ for (i = 1; i <= NF; i++) count[length($i)]++ } END { for (i = 1; i < 12; i++) print i, count[i] }'
same text awk 'NR % 1000 == 0 { printf "%d %s %.3f\n", NR, toupper($1), length($0) / 7 }'
same text gzip -c
same text gzip -9 -c
same text.gz gunzip -c
same text bzip2 -c
same text grep -c 'ab.*cd'
same text grep -n '^[0-9]* [a-f]*$'
same text grep nothing-like-this
same text sed -e 's/\([0-9a-f]\) \([0-9a-f]\)/\2-\1/g' -e '/^f/d'
same text tr '0-9a-f' 'g-z'
same text tr -d '0-9\n'
same text base64
same text.base64 base64 -d
same text cut -d ' ' -f 2
same text head -n 1000
same text tail -n 1000
same text uniq -c
same text rev
same text tac
same text od -x
same text xxd
same text fold -w 40
same text nl
same text cat
same text dd bs=1234 count=5000 status=none
same little sort -n
same little wc -c
same /dev/null wc
same /dev/null seq 1 100000
same /dev/null factor 18446744073709551557
same /dev/null expr 6 '*' 7
same /dev/null printf '%05d|%s|%x\n' 42 text 255
same /dev/null echo one 'two  three'
same /dev/null sh -c 'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo $i; exit 7'
same /dev/null awk 'BEGIN { exit 3 }'
same /dev/null true
same /dev/null false
same /dev/null cat absent
same /dev/null no-such-applet
same little gunzip -c

printf "#!/bin/sh\necho hello\n" >script
mkfifo silent
exec 9<>silent
expect 'a FIFO that stays silent meets the wall limit: 124' 124 "$ampoule" run --wall 200ms "$program" cat <&9
expect 'a sleep meets the wall limit: 124' 124 "$ampoule" run --wall 200ms "$program" sleep 1000
expect 'work without end meets the CPU limit: 124' 124 "$ampoule" run --cpu 200ms "$program" awk 'BEGIN { while (1) n++ }'
expect 'output without end meets the output limit: 137' 137 "$ampoule" run --output 1M "$program" yes
expect 'a script is refused: 125' 125 "$ampoule" run script
report_reader() {
	local code=0
	{ "$ampoule" run "$program" yes || code=$?; echo "$code" >code; } 2>err | head -n 1 >out
	report 'a reader that goes away is SIGPIPE: 141' "$([[ $(<code) == 141 ]] || echo " exit code $(<code); $(head -c 500 err | tr '\n' ' ')")"
}
report_reader
