// How products read a packed matrix: as values of STORED, which may be narrower than `real`; sums are `real`. `build_products` inserts this
// file before product.cpp, and defines STORED: real, or where real is float also bfloat16, float16 or int8 (then NARROW is defined too).
//
// A bfloat16 is the upper half of a float. Two of a column, k and k + 1, lie side by side: one load, a shift and a mask widen both. Where
// the processor multiplies pairs (AVX512-BF16), or ROUND_ROWS asks for the same results without it, the rows of a product are rounded to
// bfloat16 too. An int8 is a column's value over the column's scale, which stands behind its panel.

static inline void narrow(real x, real* to) { *to = x; }
static inline V widen(const real* panel, int64_t k, bool, int64_t stride, int j) { return load(panel + k * stride + j * VL, VL); }

#ifdef NARROW
#ifdef __AVX2__
#include <immintrin.h>
#endif

typedef uint32_t U __attribute__((vector_size(BYTES)));
struct bfloat16 { uint16_t bits; };
struct float16 { uint16_t bits; };
typedef int8_t int8;

static inline uint32_t float_bits(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
}

// Nearest values, to even in a tie; NaN stays NaN.
static inline void narrow(float x, bfloat16* to) {
    const uint32_t bits = float_bits(x);
    to->bits = x != x ? uint16_t(bits >> 16 | 64) : uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
static inline void narrow(float x, float16* to) {
#if defined(__AVX2__) && defined(__F16C__)
    to->bits = uint16_t(_cvtss_sh(x, 0));
#else
    const uint32_t bits = float_bits(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) to->bits = sign | 0x7E00;
    else if (magnitude >= 0x477FF000) to->bits = sign | 0x7C00;
    else if (magnitude >= 0x38800000) to->bits = sign | (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    else to->bits = sign | (float_bits(__builtin_fabsf(x) + 0.5f) - 0x3F000000);  // subnormal: the sum rounds to multiples of 2^-24
#endif
}
static inline void narrow(float x, int8* to) { *to = int8(x < 0 ? x - 0.5f : x + 0.5f); }

// Vector j of row k of a panel; `odd` is k % 2.
static inline V widen(const bfloat16* panel, int64_t k, bool odd, int64_t stride, int j) {
    U pairs;
    __builtin_memcpy(&pairs, panel + 2 * (k / 2 * stride + j * VL), BYTES);
    return odd ? (V)(pairs >> 16 << 16) : (V)(pairs << 16);
}
static inline V widen(const float16* panel, int64_t k, bool, int64_t stride, int j) {
    const float16* at = panel + k * stride + j * VL;
#if defined(__AVX512F__)
    return (V)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)at));
#elif defined(__AVX2__) && defined(__F16C__)
    return (V)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)at));
#else
    typedef uint16_t Halves __attribute__((vector_size(BYTES / 2)));
    Halves halves;
    __builtin_memcpy(&halves, at, sizeof halves);
    const U x = __builtin_convertvector(halves, U), magnitude = (x & 0x7FFF) << 13;
    const V scaled = (V)magnitude * splat(real(5.192296858534828e33));  // 2^112: subnormal ones become normal
    const U bits = magnitude >= (0x7C00u << 13) ? magnitude | 0x7F800000 : (U)scaled;
    return (V)(bits | (x & 0x8000) << 16);
#endif
}
static inline V widen(const int8* panel, int64_t k, bool, int64_t stride, int j) {
#if defined(__AVX512F__)
    return __builtin_convertvector((I)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)(panel + k * stride + j * VL))), V);
#elif defined(__AVX2__)
    return __builtin_convertvector((I)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)(panel + k * stride + j * VL))), V);
#else
    typedef int8_t Bytes __attribute__((vector_size(BYTES / 4)));
    Bytes bytes;
    __builtin_memcpy(&bytes, panel + k * stride + j * VL, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, I), V);
#endif
}

// sum + x[0] · y[0] + x[1] · y[1] in every lane, of pairs of bfloat16.
static inline V add_pair_products(V sum, U x, U y) {
#ifdef __AVX512BF16__
    return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
#else
    return sum + (V)(x << 16) * (V)(y << 16) + (V)(x >> 16 << 16) * (V)(y >> 16 << 16);
#endif
}

typedef STORED stored;
constexpr bool PAIRS = std::is_same_v<stored, bfloat16>, SCALES = std::is_same_v<stored, int8>;
#if defined(__AVX512BF16__) || defined(ROUND_ROWS)
constexpr bool ROUNDS_ROWS = PAIRS;
#else
constexpr bool ROUNDS_ROWS = false;
#endif
#else
typedef real stored;
typedef V U;
constexpr bool PAIRS = false, SCALES = false, ROUNDS_ROWS = false;
static inline V add_pair_products(V sum, U, U) { return sum; }
#endif
