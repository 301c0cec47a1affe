"""Exceptions that nobody catches: chained ones, from a generator, in a finalizer, at exit; the traceback goes to stderr, the exit code is 1."""
import atexit, sys, traceback, warnings

class Careless:
    def __del__(self):
        raise RuntimeError("in a finalizer")

def generate(limit):
    for n in range(limit):
        yield 10 // (limit - 1 - n)

def deep(n):
    if n == 0:
        return list(generate(3))
    return deep(n - 1)

def translate():
    try:
        deep(5)
    except ZeroDivisionError as error:
        raise LookupError("translated") from error

def during():
    try:
        translate()
    except LookupError:
        return {}["while it was handled"]

atexit.register(print, "at exit", flush=True)
warnings.warn("a warning with its line")
print("before", flush=True)
# The usual report has an address in it.
sys.unraisablehook = lambda raised: traceback.print_exception(raised.exc_value)
careless = Careless()
del careless
try:
    during()
except KeyError:
    traceback.print_exc(limit=1, file=sys.stdout)
try:
    sys.setrecursionlimit(200)
    (lambda f: f(f))(lambda f: f(f))
except RecursionError as error:
    print(error, flush=True)
finally:
    sys.setrecursionlimit(1000)
try:
    compile("def f(:\n  pass", "typed", "exec")
except SyntaxError as error:
    traceback.print_exception(error, file=sys.stdout)
error = ValueError("with notes")
error.add_note("a note")
error.__context__ = ExceptionGroup("group", [TypeError("one"), OSError(2, "No such file", "name")])
sys.stdout.flush()
during() if len(sys.argv) > 1 else None
raise error
