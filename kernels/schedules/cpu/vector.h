// SIMD vectors of the machine's width: loads, stores, and the functions of the cells, without a math library and without branches.
#include <cstdint>
#include <limits>
#include <type_traits>

#if defined(__AVX512F__)
constexpr int BYTES = 64, MR = 12;
#elif defined(__AVX__)
constexpr int BYTES = 32, MR = 6;
#else
constexpr int BYTES = 16, MR = 6;
#endif
constexpr int VL = BYTES / sizeof(real), NR = 2 * VL;  // elements of a vector; columns of a panel
typedef real V __attribute__((vector_size(BYTES)));
typedef std::conditional_t<sizeof(real) == 4, int32_t, int64_t> integer;
typedef integer I __attribute__((vector_size(BYTES)));

static inline V splat(real x) { return x - V{}; }

static inline V load(const real* p, int64_t n) {
    V v = {};
    if (n >= VL) __builtin_memcpy(&v, p, sizeof(V));
    else __builtin_memcpy(&v, p, n * sizeof(real));
    return v;
}

static inline void store(real* p, V v, int64_t n) {
    if (n >= VL) __builtin_memcpy(p, &v, sizeof(V));
    else __builtin_memcpy(p, &v, n * sizeof(real));
}

// Calls body(j, remaining) for each vector of the elements [from, to). `remaining` is a compile-time constant except in the last call.
template <class Body> static inline void for_each_vector(int64_t from, int64_t to, Body body) {
    int64_t j = from;
    for (; j + VL <= to; j += VL) body(j, std::integral_constant<int64_t, VL>{});
    if (j < to) body(j, to - j);
}

static inline real sum_lanes(V x) {  // pairwise
    real y[VL];
    __builtin_memcpy(y, &x, sizeof x);
#pragma GCC unroll 8
    for (int half = VL / 2; half; half /= 2)
#pragma GCC unroll 16
        for (int k = 0; k < half; k++) y[k] += y[k + half];
    return y[0];
}

constexpr int MANTISSA = sizeof(real) == 4 ? 23 : 52, BIAS = sizeof(real) == 4 ? 127 : 1023;
constexpr real LIMIT = real(BIAS) * real(0.6931471805599453);  // e^LIMIT is the largest power of two

// e^x = 2^n e^r with |r| <= ln 2 / 2: `power` = 2^n and `rest` = e^r - 1 by a Taylor series to the last bit. Below and above,
// 2^n is 0 or the largest power.
struct Exponential { V power, rest; };
struct Taylor {  // 1 / k!
    real of[14];
    constexpr Taylor() : of() {
        double factorial = 1;
        for (int k = 0; k < 14; factorial *= ++k) of[k] = real(1 / factorial);
    }
};
constexpr Taylor taylor;
static inline Exponential exponential(V x) {
    constexpr int degree = sizeof(real) == 4 ? 7 : 13;
    const V limit = splat(LIMIT);
    x = x < -limit ? -limit : x > limit ? limit : x;
    const V round = splat(real(integer(3) << (MANTISSA - 1)));
    const V n = (x * splat(real(1.4426950408889634)) + round) - round;
    const V high = splat(sizeof(real) == 4 ? real(0.693359375) : real(0.693147180369123816490));
    const V low = splat(sizeof(real) == 4 ? real(-2.12194440054690582e-4) : real(1.90821492927058770002e-10));
    const V r = (x - n * high) - n * low;
    V series = splat(taylor.of[degree]);
#pragma GCC unroll 16
    for (int k = degree - 1; k >= 1; k--) series = splat(taylor.of[k]) + series * r;
    const I power = (__builtin_convertvector(n, I) + BIAS) << MANTISSA;
    return {(V)power, series * r};
}

static inline V sigmoid(V x) {  // exactly 0 for very negative x, which silu multiplies it by
    const Exponential e = exponential(-x);
    const V found = splat(1) / (splat(1) + (e.power + e.power * e.rest));
    return x < splat(-LIMIT) ? splat(0) : found;
}

static inline V tanh(V x) {  // by e^2x - 1, which keeps its digits where x is small
    const Exponential e = exponential(x + x);
    const V less = e.power * e.rest + (e.power - splat(1));
    return less / (less + splat(2));
}

static inline V relu(V x) { return x <= splat(0) ? splat(0) : x; }  // NaN stays NaN
static inline V positive(V x) { return x <= splat(0) ? splat(0) : splat(1); }

static inline V less(V a, V b) { return a < b ? splat(1) : splat(0); }
static inline V at_most(V a, V b) { return a <= b ? splat(1) : splat(0); }
static inline V where(V c, V a, V b) { return c != splat(0) ? a : b; }
static inline V maximum(V a, V b) { return a > b ? a : b >= a ? b : a + b; }
static inline V minimum(V a, V b) { return a < b ? a : b <= a ? b : a + b; }
static inline V abs(V x) { return x < splat(0) ? -x : x + splat(0); }
static inline V hard_sigmoid(V x) { return minimum(maximum(x + splat(3), splat(0)), splat(6)) / splat(6); }
static inline V hard_tanh(V x) { return minimum(maximum(x, splat(-1)), splat(1)); }

// One lane at a time, by the compiler's function of the type.
#define EACH_LANE(name, single, whole)                                                                                  \
    static inline V name(V x) {                                                                                         \
        for (int k = 0; k < VL; k++) x[k] = sizeof(real) == 4 ? real(single(float(x[k]))) : real(whole(double(x[k])));  \
        return x;                                                                                                       \
    }
EACH_LANE(sqrt, __builtin_sqrtf, __builtin_sqrt)
EACH_LANE(floor, __builtin_floorf, __builtin_floor)
EACH_LANE(sin, __builtin_sinf, __builtin_sin)
EACH_LANE(cos, __builtin_cosf, __builtin_cos)
EACH_LANE(erf, __builtin_erff, __builtin_erf)

static inline V power(V a, V b) {  // of positive values
    for (int k = 0; k < VL; k++)
        a[k] = a[k] < 0 ? std::numeric_limits<real>::quiet_NaN()
               : sizeof(real) == 4 ? real(__builtin_powf(float(a[k]), float(b[k]))) : real(__builtin_pow(double(a[k]), double(b[k])));
    return a;
}

static inline V exp(V x) {  // (e^(x/2))^2, which covers the whole range of the type
    const Exponential e = exponential(x * splat(0.5));
    const V root = e.power + e.power * e.rest;
    return root * root;
}

static inline V artanh(V s) {  // for |s| up to a third, by its series
    constexpr int terms = sizeof(real) == 4 ? 6 : 16;
    const V q = s * s;
    V series = splat(real(1) / real(2 * terms + 1));
    for (int k = terms - 1; k >= 0; k--) series = splat(real(1) / real(2 * k + 1)) + q * series;
    return s * series;
}

static inline V softplus(V x) {  // max(x, 0) + log(1 + e^-|x|)
    const V e = exp(-abs(x));
    const V tail = artanh(e / (splat(2) + e));
    return maximum(x, splat(0)) + (tail + tail);
}

// x = 2^n m with m around 1, and log m = 2 artanh((m - 1) / (m + 1)).
static inline V log(V x) {
    const V tiny = splat(std::numeric_limits<real>::min()), many = splat(real(integer(1) << MANTISSA));
    const I bits = (I)(x < tiny ? x * many : x);  // what is subnormal becomes normal
    const V third = splat(real(4) / real(3));
    I n = ((bits >> MANTISSA) & (2 * BIAS + 1)) - BIAS;
    V m = (V)((bits & ((integer(1) << MANTISSA) - 1)) | (integer(BIAS) << MANTISSA));
    n = m > third ? n + 1 : n;
    m = m > third ? m * splat(0.5) : m;
    const V high = splat(sizeof(real) == 4 ? real(0.693359375) : real(0.693147180369123816490));
    const V low = splat(sizeof(real) == 4 ? real(-2.12194440054690582e-4) : real(1.90821492927058770002e-10));
    const V power = __builtin_convertvector(n, V) - (x < tiny ? splat(real(MANTISSA)) : splat(0));
    const V tail = artanh((m - splat(1)) / (m + splat(1)));
    const V found = power * high + (power * low + (tail + tail));
    const V infinity = splat(std::numeric_limits<real>::infinity());
    return x > splat(0) ? (x < infinity ? found : x) : x < splat(0) ? splat(std::numeric_limits<real>::quiet_NaN())
           : x == splat(0) ? -infinity : x;
}
