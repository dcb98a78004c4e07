// Vectors as wide as the machine's, and the functions of the cells on them: no library, no branches.
#include <cstdint>
#include <limits>

#if defined(__AVX512F__)
constexpr int BYTES = 64, MR = 12;
#elif defined(__AVX__)
constexpr int BYTES = 32, MR = 6;
#else
constexpr int BYTES = 16, MR = 6;
#endif
constexpr int VL = BYTES / sizeof(real), NR = 2 * VL;  // elements of a vector; columns of a panel
typedef real V __attribute__((vector_size(BYTES)));
typedef std::conditional_t<sizeof(real) == 4, int32_t, int64_t> whole;
typedef whole I __attribute__((vector_size(BYTES)));

static inline V splat(real x) { return x - V{}; }

// e^x = 2^n e^r with |r| <= ln 2 / 2: `power` = 2^n and `rest` = e^r - 1 by a Taylor series to the last bit. Below and above,
// 2^n is 0 or the largest power.
struct Exponential { V power, rest; };
static inline Exponential exponential(V x) {
    constexpr int mantissa = sizeof(real) == 4 ? 23 : 52, bias = sizeof(real) == 4 ? 127 : 1023;
    constexpr int degree = sizeof(real) == 4 ? 7 : 13;
    const V limit = splat(real(bias) * real(0.6931471805599453));
    x = x < -limit ? -limit : x > limit ? limit : x;
    const V round = splat(real(whole(3) << (mantissa - 1)));
    const V n = (x * splat(real(1.4426950408889634)) + round) - round;
    const V high = splat(sizeof(real) == 4 ? real(0.693359375) : real(0.693147180369123816490));
    const V low = splat(sizeof(real) == 4 ? real(-2.12194440054690582e-4) : real(1.90821492927058770002e-10));
    const V r = (x - n * high) - n * low;
    V series = splat(1);
    for (int k = degree; k >= 2; k--) series = splat(1) + series * r * splat(real(1) / real(k));
    const I power = (__builtin_convertvector(n, I) + bias) << mantissa;
    return {(V)power, series * r};
}

static inline V sigmoid(V x) {
    const Exponential e = exponential(-x);
    return splat(1) / (splat(1) + (e.power + e.power * e.rest));
}

static inline V tanh(V x) {  // by e^2x - 1, which keeps its digits where x is small
    const Exponential e = exponential(x + x);
    const V less = e.power * e.rest + (e.power - splat(1));
    return less / (less + splat(2));
}

static inline V relu(V x) { return x <= splat(0) ? splat(0) : x; }  // NaN stays NaN
static inline V positive(V x) { return x <= splat(0) ? splat(0) : splat(1); }
