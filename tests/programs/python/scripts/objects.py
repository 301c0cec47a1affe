"""collections, dataclasses, enum, typing, itertools, functools, contextlib, abc, match, generators, weakref."""
import abc, collections, contextlib, copy, dataclasses, enum, functools, gc, inspect, itertools, operator, pprint, sys, types, typing, weakref

@dataclasses.dataclass(order=True, frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0
    tags: tuple[str, ...] = dataclasses.field(default=(), compare=False, repr=False)
    def __post_init__(self):
        if self.x < 0:
            raise ValueError(f"{self.x} is negative")

print(Point(1), Point(1, 2) < Point(2, 1), dataclasses.replace(Point(1, 2), y=5), dataclasses.asdict(Point(3, tags=("a",))), {Point(1): "hashed"}[Point(1)])
for wrong in (lambda: Point(-1), lambda: setattr(Point(1), "x", 2), lambda: Point(), lambda: Point(1) < 1):
    try:
        wrong()
    except Exception as error:
        print(type(error).__name__, error)

class Colour(enum.Enum):
    RED = enum.auto()
    GREEN = enum.auto()
    CRIMSON = RED
class Access(enum.Flag):
    READ, WRITE, RUN = 1, 2, 4
print(list(Colour), Colour.CRIMSON, Colour["GREEN"], Colour(1), Access.READ | Access.RUN, Access.WRITE in Access(6), ~Access.READ)

counts = collections.Counter("the quick brown fox jumps over the lazy dog")
print(counts.most_common(4), counts["z"], sum((counts & collections.Counter("foxes")).values()))
groups = collections.defaultdict(list)
for word in "one two three four five six".split():
    groups[len(word)].append(word)
ordered = collections.OrderedDict(sorted(groups.items()))
ordered.move_to_end(3)
print(ordered, collections.ChainMap({"a": 1}, {"a": 2, "b": 3})["b"], collections.deque(range(10), maxlen=3), collections.namedtuple("Pair", "a b")(1, 2))

print(list(itertools.islice(itertools.chain.from_iterable(itertools.combinations(range(4), n) for n in range(5)), 9)), list(itertools.groupby("aabbbc"))[1][0])
print(list(itertools.accumulate([3, 1, 4, 1, 5], max)), list(itertools.pairwise("abcd")), sum(1 for _ in itertools.permutations(range(7))), list(itertools.zip_longest("ab", "c", fillvalue="-")))

@functools.lru_cache(maxsize=None)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
print(fibonacci(150), fibonacci.cache_info(), functools.reduce(operator.mul, range(1, 11)))
@functools.singledispatch
def describe(value):
    return f"something: {value}"
@describe.register
def _(value: int):
    return f"integer {value}"
@describe.register(list)
def _(value):
    return [describe(each) for each in value]
print(describe([1, "two", [3]]))

def shape(value):
    match value:
        case []:
            return "empty"
        case [int(x), int(y)] if x == y:
            return f"twice {x}"
        case {"kind": "circle", "radius": (int() | float()) as radius, **rest}:
            return f"circle {radius} {rest}"
        case Point(x=0):
            return "on the axis"
        case str() | bytes():
            return "text"
        case _:
            return "other"
print([shape(value) for value in ([], [2, 2], {"kind": "circle", "radius": 1.5, "colour": "red"}, Point(0, 9), b"x", 4)])

@contextlib.contextmanager
def guarded(name):
    print("enter", name)
    try:
        yield name.upper()
    except KeyError as error:
        print("swallowed", error)
    finally:
        print("leave", name)
with contextlib.ExitStack() as stack:
    print([stack.enter_context(guarded(name)) for name in "abc"])
    raise KeyError("missing")

class Base(abc.ABC):
    registry: typing.ClassVar[dict] = {}
    def __init_subclass__(cls, **options):
        Base.registry[cls.__name__] = options
    @abc.abstractmethod
    def name(self): ...
class Left(Base, side="left"):
    def name(self):
        return "left"
class Right(Base, side="right"):
    def name(self):
        return "right"
class Both(Left, Right):
    def name(self):
        return super().name() + "+" + Right.name(self)
print(Base.registry, Both().name(), [each.__name__ for each in Both.__mro__], Base.__abstractmethods__)
try:
    Base()
except TypeError as error:
    print(error)

class Celsius:
    def __set_name__(self, owner, name):
        self.name = "_" + name
    def __get__(self, instance, owner=None):
        return getattr(instance, self.name, 0) if instance else self
    def __set__(self, instance, value):
        setattr(instance, self.name, round(value, 1))
class Oven:
    heat = Celsius()
oven = Oven()
oven.heat = 180.26
print(oven.heat, vars(oven), inspect.signature(Point.__init__), typing.get_type_hints(Point)["x"])

def averages():
    total, n, mean = 0, 0, None
    while True:
        try:
            value = yield mean
        except ZeroDivisionError:
            value = 0
        if value is None:
            return total
        total, n = total + value, n + 1
        mean = total / n
running = averages()
next(running)
print(running.send(10), running.send(20), running.throw(ZeroDivisionError))
try:
    next(running)
except StopIteration as stop:
    print("returned", stop.value)

class Node:
    pass
node = Node()
node.itself, watched = node, weakref.ref(node)
del node
gc.collect()
print(watched() is None, copy.deepcopy([[1], {2: [3]}]), eval("a + b", {"a": 1}, {"b": 2}), types.SimpleNamespace(a=1))
pprint.pprint({f"key {n}": list(range(n * 3)) for n in range(8)}, width=60)
try:
    raise ExceptionGroup("several", [ValueError(1), TypeError(2), ExceptionGroup("inner", [ValueError(3)])])
except* ValueError as group:
    print("values", group)
except* TypeError as group:
    print("types", group)
print(sys.getrecursionlimit(), sys.version_info[:2], sys.implementation.name, sys.flags.isolated)
