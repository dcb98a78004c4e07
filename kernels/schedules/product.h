// Loads and stores of a vector's worth, and products of a few rows with a matrix packed into panels of NR columns, which a register
// tile of up to MR rows walks through. Printed between vector.h and loop.cpp.

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

static int64_t round_up(int64_t n, int64_t m) { return (n + m - 1) / m * m; }

// panels[n / NR][k][n % NR] = w(n, k), zero past N.
template <class W> static void pack(int64_t N, int64_t K, real* panels, W w) {
#pragma omp for
    for (int64_t n0 = 0; n0 < N; n0 += NR)
        for (int64_t k = 0; k < K; k++)
            for (int64_t n = n0; n < n0 + NR; n++) panels[n0 * K + k * NR + n - n0] = n < N ? w(n, k) : real(0);
}

// c = base + a · panel; base (ldb apart) may be c, a bias (0 apart), or null for zero. `columns` of the panel count.
template <int ROWS>
static void tile(int64_t K, const real* a, int64_t lda, const real* panel, const real* base, int64_t ldb, real* c, int64_t ldc, int64_t columns) {
    V acc[ROWS][2] = {};
    for (int64_t k = 0; k < K; k++) {
        const V left = load(panel + k * NR, VL), right = load(panel + k * NR + VL, VL);
#pragma GCC unroll 16
        for (int m = 0; m < ROWS; m++) {
            const V x = splat(a[m * lda + k]);
            acc[m][0] += x * left;
            acc[m][1] += x * right;
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++)  // unrolled like the other, or the sums would live in memory
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const int64_t n = columns - j * VL;
            if (n > 0) store(c + m * ldc + j * VL, base ? acc[m][j] + load(base + m * ldb + j * VL, n) : acc[m][j], n);
        }
}

template <int ROWS, class... Rest> static void tiles(int rows, Rest... rest) {
    if (rows == ROWS) tile<ROWS>(rest...);
    else if constexpr (ROWS > 1) tiles<ROWS - 1>(rows, rest...);
}

// c (rows, N) = base + a (rows, K) · panels, `times` times over: a, base and c move on by the steps of `next` each time.
struct Next { int64_t a, c; };
static void product(int64_t rows, int64_t N, int64_t K, const real* a, int64_t lda, const real* panels, const real* base, int64_t ldb,
                    real* c, int64_t ldc, int64_t times = 1, Next next = {0, 0}) {
    const int64_t count = (rows + MR - 1) / MR;
    for (int64_t n = 0; n < N; n += NR)
        for (int64_t t = 0; t < times; t++)
            for (int64_t i = 0; i < count; i++) {
                const int64_t first = i * rows / count, last = (i + 1) * rows / count;
                tiles<MR>(int(last - first), K, a + t * next.a + first * lda, lda, panels + n * K,
                          base ? base + first * ldb + n : base, ldb, c + t * next.c + first * ldc + n, ldc, N - n);
            }
}

// A call's large tensors are fresh memory, of which each page costs a fault when it is first written: large pages cost few.
static void fresh(const void* p, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = uintptr_t(1) << 21, from = (uintptr_t(p) + page - 1) & -page, to = (uintptr_t(p) + bytes) & -page;
    if (p && from < to) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}
