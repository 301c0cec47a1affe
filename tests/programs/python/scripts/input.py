"""stdin: its first lines by input(), the rest as bytes."""
import sys

print([input("? ") for _ in range(3)])
rest = sys.stdin.buffer.read()
print(len(rest), rest[-20:], sys.stdin.read())
sys.stderr.write("one line to stderr\n")
try:
    input()
except EOFError as error:
    print(error)
sys.exit("and a reason, which is exit code 1")
