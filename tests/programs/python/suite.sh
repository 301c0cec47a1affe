# What Python's standard library does with texts, numbers, objects, times, files and loops, and how its programs fail.

source "$sources/program.sh"
scripts=$sources/scripts

# -I and -B: isolated from the user's settings, and without writing byte code into the standard library outside.
for name in texts digests numbers objects times loops tested fails caches; do
	same_tree "$scripts" /dev/null -I -B "$tree/$name.py"
done
same_tree "$scripts" /dev/null -I -B "$tree/trees.py" "$tree/made"
same_tree "$scripts" /dev/null -I -B "$tree/fails.py" chained
same_tree "$scripts" "$scripts/input.py" -I -B "$tree/input.py"

same "$scripts/numbers.py" -I -B -
same /dev/null -B -c 'import sys; print(sys.argv, sys.path[:2], sys.prefix)' one two
same /dev/null -I -B -c 'import sys; sys.exit(7)'
same /dev/null -I -B -m this
same /dev/null -I -B -m json.tool --no-such-option
same "$python/encodings/aliases.py" -I -B -m tokenize
same /dev/null -I -B "$tree/absent.py"
same /dev/null -V
same /dev/null
expect 'abort() is SIGABRT: 134' 134 "$ampoule" run "${options[@]}" "$program" -I -B -c 'import os; os.abort()'
expect 'the standard library is read-only' 30 "$ampoule" run "${options[@]}" "$program" -I -B -c '
import sys
try:
    open("/usr/lib/python3.11/written-by-a-guest", "w")
except OSError as error:
    sys.exit(error.errno)'
