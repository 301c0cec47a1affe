"""int, float, complex, decimal, fractions, statistics, math, random, array."""
import array, bisect, cmath, decimal, fractions, heapq, math, operator, random, statistics, sys
from decimal import Decimal

print(2**1000 % (10**9 + 7), math.factorial(200) // math.factorial(198), math.isqrt(10**60), math.gcd(2**60, 6**40), math.comb(50, 25), pow(3, -1, 7))
print(-7 // 2, -7 % 3, 7.5 // -2, divmod(-7.5, 2), round(2.5), round(-0.5), round(1234.5678, -2), 0.1 + 0.2, 1e308 * 10, -1e308 * 10, 5e-324 / 2)
print(float.hex(0.1), float.fromhex("0x1.8p3"), (0.75).as_integer_ratio(), repr(1e16), repr(1e-5), f"{1e21:.3e} {0.1:.25f} {1234567.891:,.2f} {255:#010x} {-5:+d} {0.25:%}")
print(int("zz", 36), int("0b1011", 0), (12345).to_bytes(3, "big"), int.from_bytes(b"\xff\xfe", "little", signed=True), (255).bit_length(), (0b10110).bit_count())
for f in (math.sin, math.cos, math.tan, math.exp, math.log, math.erf, math.gamma, math.atanh, math.cbrt):
    print(f.__name__, repr(f(0.7)))
print(cmath.sqrt(-2), cmath.exp(1j * cmath.pi), abs(3 + 4j), (1 + 2j) ** 3, math.fsum([0.1] * 10), math.dist((1, 2), (4, 6)), math.nextafter(1, 2), math.ulp(1.0))

context = decimal.getcontext()
context.prec = 60
print(Decimal(1) / Decimal(7), Decimal(2).sqrt(), Decimal(10).ln(), Decimal("1.1").exp(), Decimal("1E+5").normalize())
print(Decimal("0.1") + Decimal("0.2"), Decimal("123.456").quantize(Decimal("0.01"), rounding=decimal.ROUND_HALF_EVEN), Decimal("-0"), Decimal("NaN"), Decimal("Infinity") * -1)
for operation in (lambda: Decimal(1) / 0, lambda: Decimal("nonsense"), lambda: Decimal(-1).sqrt()):
    try:
        print(operation())
    except decimal.DecimalException as error:
        print(type(error).__name__)
with decimal.localcontext() as local:
    local.prec = 100
    # Machin's formula.
    def arctan_of_inverse(n):
        total = term = Decimal(1) / n
        k = 1
        while abs(term) > Decimal(10) ** -102:
            term = -term / (n * n)
            k += 2
            total += term / k
        return total
    print(4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)))
print(sum(fractions.Fraction(1, n) for n in range(1, 40)), fractions.Fraction(0.1).limit_denominator(100), fractions.Fraction("3/4") ** -2)

random.seed(7)
sample = [random.gauss(100, 15) for _ in range(10000)]
print(statistics.mean(sample), statistics.stdev(sample), statistics.median(sample), statistics.quantiles(sample, n=4), statistics.correlation(sample[:-1], sample[1:]))
print(random.sample(range(1000), 5), random.choices("abc", weights=[5, 3, 2], k=10), random.randint(0, 2**70), random.random())
shuffled = list(range(10))
random.shuffle(shuffled)
print(shuffled, heapq.nsmallest(3, shuffled), bisect.bisect([1, 3, 3, 5], 3), sorted(shuffled, key=operator.neg)[:3])
numbers = array.array("d", sample)
numbers.byteswap()
print(len(numbers.tobytes()), numbers.itemsize, memoryview(numbers).cast("B")[:8].hex(), sys.maxsize, sys.byteorder)

# The first primes, and a matrix to a power.
sieve = bytearray([1]) * 500001
for n in range(2, 708):
    if sieve[n]:
        sieve[n * n :: n] = bytes(len(range(n * n, 500001, n)))
primes = [n for n in range(2, 500001) if sieve[n]]
print(len(primes), primes[-1], sum(primes))
def times(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
result, base, power = [[1, 0], [0, 1]], [[1, 1], [1, 0]], 5000
while power:
    if power & 1:
        result = times(result, base)
    base, power = times(base, base), power >> 1
print(len(str(result[0][1])), str(result[0][1])[:20])
