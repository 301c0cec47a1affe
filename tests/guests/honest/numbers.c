/* guest: flags=-lm
 * Numbers: the two floating-point units, their rounding modes and printf's many formats. */
#include "../check.h"
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>

int main(void) {
    volatile double one = 1, ten = 10, third = one / 3, tiny = DBL_MIN, huge = DBL_MAX, zero = 0;
    printf("%f %e %g %a\n", third, third, third, third);
    printf("%.0f %.17g %.40f\n", 2.5, 0.1, 0.1);
    printf("%10.3f|%-10.3f|%+.3f|%010.3f\n", third, third, third, -third);
    printf("%g %g %g %g\n", 1e-5, 1e5, 1e15, 1e16);
    printf("%g %g %g %g\n", one / zero, -one / zero, zero / zero < 0 ? 1.0 : fabs(zero / zero), -zero);
    printf("%a %a %a\n", tiny / 2, tiny / 4503599627370496.0, huge * 2);
    printf("%Lf %La %.30Lg\n", 1.0L / 3, 1.0L / 3, 1.0L / 3);
    printf("%d %u %x %o %" PRId64 " %" PRIu64 "\n", INT32_MIN, UINT32_MAX, 0xdeadbeef, 8, INT64_MIN, UINT64_MAX);
    printf("%s %.3s %c %% %5s %-5s|\n", "text", "text", 'c', "ab", "ab");
    int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i]);
        volatile double tenth = one / ten;
        volatile long double tenth_x87 = (long double)one / ten;
        printf("mode %d: %a %La %ld\n", i, tenth, tenth_x87, lrint(-2.5));
    }
    fesetround(FE_TONEAREST);
    feclearexcept(FE_ALL_EXCEPT);
    volatile double inexact = one / third / huge / huge;
    (void)inexact;
    CHECK(fetestexcept(FE_UNDERFLOW) && fetestexcept(FE_INEXACT) && !fetestexcept(FE_DIVBYZERO));
    double sum = 0;
    for (int i = 1; i <= 1000; i++) sum += sin(i) * sqrt(i) + cos(i / 7.0) - log(i) / exp(1.0 / i) + pow(i, 0.3);
    printf("%.12f\n", sum);
    CHECK(strtod("0x1.8p1", NULL) == 3.0 && strtod("1e400", NULL) == HUGE_VAL && errno == ERANGE);
    CHECK(strtol("-123abc", NULL, 10) == -123 && strtoul("ffff", NULL, 16) == 65535);
    int a;
    float b;
    char c[8];
    CHECK(sscanf("12 3.5 word", "%d %f %7s", &a, &b, c) == 3 && a == 12 && b == 3.5f && !strcmp(c, "word"));
    uint64_t state = 1;
    __uint128_t product = 1;
    for (int i = 0; i < 100; i++) state = state * 6364136223846793005ull + 1, product = product * state + (product >> 64);
    printf("%016" PRIx64 "%016" PRIx64 " %" PRIu64 "\n", (uint64_t)(product >> 64), (uint64_t)product, (uint64_t)(product % 1000000007));
    return 0;
}
