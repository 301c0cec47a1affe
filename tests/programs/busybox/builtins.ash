# What a shell does without a second process: words, numbers, strings, functions, here-documents, traps, redirections.

cd "$1" || exit 9
shift
echo "$# arguments: $*"
for word in "$@" 'a  b' "c	d" *.ash; do
	printf '<%s>' "$word"
done
echo
unquoted='  split   me '
set -- $unquoted
echo "$# $1 $2"

text=the/path/of/file.tar.gz
echo "${text##*/} ${text%%.*} ${text#*/} ${text%.*} ${#text} ${absent:-default} ${text:+set} ${text:4:4} ${text/path/road} ${text//\//-}"
: "${assigned:=by default}"
echo "$assigned" $((7 / 2 * 3 - -4 % 3)) $((1 << 10 | 3)) $((0x1f + 010)) $((5 > 3 && 2 != 2)) $((n = 4, n++ + ++n)) "$n"

sum=0
while read -r number; do
	case $number in
	*[13579]) continue ;;
	500 | 600) ;;
	998) break ;;
	esac
	sum=$((sum + number))
done <data/numbers
echo "sum $sum"
i=0
until [ $i -ge 3 ]; do i=$((i + 1)); done
echo $i

factorial() {
	local n=$1
	[ "$n" -le 1 ] && { result=1; return; }
	factorial $((n - 1))
	result=$((result * n))
}
factorial 15
echo "$result"
failing() { return 42; }
failing || echo "failed with $?"
! failing && echo negated

cat=cat
while IFS= read -r line; do
	echo "> $line"
done <<END
a here-document with $cat, $((6 * 7)) and \$escaped
	indented
END
while read -r line; do echo "> $line"; done <<-'END'
	literal $cat
END

echo one >made
echo two >>made
exec 3<made 4>made.too
read -r first <&3
read -r second <&3
echo "$first, $second" >&4
exec 3<&- 4>&-
read -r both <made.too
echo "$both"
{ echo in a group; echo to stderr >&2; } >grouped 2>&1
read -r line <grouped && echo "$line"
set -C
echo refused 2>/dev/null >made || echo "noclobber: $?"
set +C
: >made

[ -f made ] && [ ! -s made ] && [ -d src ] && [ -L src/link ] && [ -x src/script ] && [ data/numbers -nt src/deep/file-1.txt ] && echo tests
[ abc \< abd ] && [ 10 -gt 9 ] && [ -z "" ] && [ x != y ] && echo more tests
test -e src/dangling || echo dangling
IFS=:
set -- a:b c:d
printf '%s|' $1 "$2" "$*"
unset IFS
printf '\n%5.2f %x %o %c %-6s| %b %%\n' 3.14159 255 8 xyz left 'tab\tnewline'
getopts ab:c option -b value && echo "$option $OPTARG $OPTIND"
eval 'indirect=$'"text"
echo "$indirect"
type cd
alias greet='echo hello'
umask 027
umask
: >private
trap 'echo "left with $?"' EXIT
trap 'echo interrupted' INT
kill -INT $$
readonly fixed=1
cd src/directory && pwd && pwd -P
cd - >/dev/null && pwd
exit 5
