# What suites say, sourced by `run` before each of them.
#
# A suite names its $program and, if it needs any, $options of `ampoule run`; then come its cases. It runs in a directory of its own, and
# its sources are in $sources. $built holds what was built, and is kept from one time to the next.
#
#   same INPUT ARGS...                  $program does the same outside and inside
#   same_tree TEMPLATE INPUT ARGS...    likewise, with a copy of the directory TEMPLATE at $tree, which must be the same afterwards
#   expect TEXT CODE COMMAND...         the command's exit code
#   report TEXT [DIFFERENCE]            a case of another kind: passed if there is no difference

set -euo pipefail
umask 022

# Words are split, sorted and compared the same everywhere.
export LC_ALL=C

target=$(realpath "${CARGO_TARGET_DIR:-target}")
ampoule=$target/release/ampoule
built=$target/programs
sources=$PWD/tests/programs/$suite
setup=$PWD/tests/setup
tree=$work/$suite/tree
options=()
limits=(--wall 120s --cpu 120s --memory 512M --output 256M)
started=$(date +%s)

mkdir -p "$built"
cd "$work/$suite"

needs() { "$setup" "$@" util-linux mount; }

# compiled NAME FLAGS...: a static program from the suite's C source and Debian's libraries, at $built/NAME. Linking glibc statically warns
# of what only a loader could do, which nobody asks these programs for.
compiled() {
	local name=$1
	shift
	gcc -O2 -Wall -Wextra -static -Wl,--no-warnings "$sources"/*.c "$@" -o "$built/$name"
}

report() {
	if [[ -z ${2-} ]]; then
		echo passed >>"$counts"
		printf 'same     %s\n' "$1"
	else
		echo failed >>"$counts"
		printf 'DIFFERS  %s:%s\n' "$1" "$2"
	fi
}

# outside INPUT ARGS...: as a guest is run, without Ampoule: from /, with an empty environment, as user 1000 to whom the files of whoever runs
# this belong, and with nothing in /etc to name users and a time zone by.
outside() {
	local input=$1
	shift
	(cd / && exec unshare --user --map-root-user --mount sh -c "$bare" sh "$program" "$@") <"$input" >outside.out 2>outside.err
}
bare='
for file in /etc/passwd /etc/group /etc/nsswitch.conf /etc/localtime; do
	[ ! -e $file ] || mount --bind /dev/null $file || exit 99
done
exec unshare --user --map-user=1000 --map-group=1000 env -i "$@"'

# namespaces: without them there is no outside to compare with.
namespaces() {
	unshare --user --map-root-user --mount sh -c "$bare" sh true && return
	echo "tests/programs compares with runs in a user namespace, which this system refuses: allow it (sysctl kernel.unprivileged_userns_clone," \
		"kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces; a container's seccomp profile)" >&2
	return 1
}

inside() {
	local input=$1
	shift
	"$ampoule" run "${limits[@]}" "${options[@]}" "$program" "$@" <"$input" >inside.out 2>inside.err
}

# compared OUTSIDE INSIDE: what is not the same in the two runs with these exit codes.
compared() {
	(($1 == $2)) || printf ' exit code %s outside, %s inside;' "$1" "$2"
	local stream
	for stream in out err; do
		cmp -s outside.$stream inside.$stream ||
			printf ' std%s: %s;' $stream "$(diff --text outside.$stream inside.$stream | head -c 600 | tr '\n\0' '  ')"
	done
}

# described TREE: names, kinds, modes, link counts, targets and contents, and the times that were set rather than came about.
described() {
	find "$1" -mindepth 1 -printf '%T@ %P %y %m %n %l\n' | sort -k 2 |
		awk -v started="$started" '{ if ($1 >= started) $1 = "now"; print }'
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}

# as_text ARGS...: how a case is called.
as_text() {
	local text=${*//"$work/$suite/"/}
	text=${text//$'\n'/ }
	((${#text} <= 120)) || text=${text:0:117}...
	printf '%s' "$text"
}

same() {
	local outside=0 inside=0 input
	input=$(realpath "$1")
	shift
	outside "$input" "$@" || outside=$?
	inside "$input" "$@" || inside=$?
	report "$(as_text "${program##*/}" "$@")" "$(compared $outside $inside)"
}

same_tree() {
	local template=$1 input outside=0 inside=0 difference
	input=$(realpath "$2")
	shift 2
	rm -rf "$tree" tree.outside
	cp -a "$template" "$tree"
	outside "$input" "$@" || outside=$?
	mv "$tree" tree.outside
	cp -a "$template" "$tree"
	options+=(--dir "$tree:$tree:rw")
	inside "$input" "$@" || inside=$?
	unset 'options[-1]' 'options[-1]'
	difference=$(compared $outside $inside)
	diff <(described tree.outside) <(described "$tree") >tree.diff || difference+=" files: $(head -c 600 tree.diff | tr '\n' ' ')"
	report "$(as_text "${program##*/}" "$@")" "$difference"
}

expect() {
	local text=$1 wanted=$2 code=0
	shift 2
	"$@" >out 2>err || code=$?
	report "$text" "$( ((code == wanted)) || printf ' exit code %d, not %d; %s' "$code" "$wanted" "$(head -c 500 err | tr '\n' ' ')")"
}
