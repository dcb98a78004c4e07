// Loads and stores of vectors, and products of a few rows with a packed matrix: panels of NR columns, multiplied by register tiles of up
// to MR rows. `generate_source` inserts this file after vector.h and the tables of the plan, and before columns.h.

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

// Calls body(j, remaining) for each vector of a row of H elements. `remaining` is a compile-time constant except in the last call.
template <class Body> static inline void for_each_vector(int64_t H, Body body) {
    int64_t j = 0;
    for (; j + VL <= H; j += VL) body(j, std::integral_constant<int64_t, VL>{});
    if (j < H) body(j, H - j);
}

static int64_t round_up(int64_t n, int64_t m) { return (n + m - 1) / m * m; }

// Packs a matrix: panels[n / NR][k][n % NR] = w(n, k), zero past N.
template <class W> static void pack(int64_t N, int64_t K, real* panels, W w) {
#pragma omp for
    for (int64_t n0 = 0; n0 < N; n0 += NR)
        for (int64_t k = 0; k < K; k++)
            for (int64_t n = n0; n < n0 + NR; n++) panels[n0 * K + k * NR + n - n0] = n < N ? w(n, k) : real(0);
}

// c = base + a · panel for the first `columns` columns of the panel. base has row stride ldb and may be c, a bias (ldb = 0), or null for
// zero. TRANSPOSED: a is stored by columns. `panel_stride` is the row stride of the panel: NR, or more if it is part of a wider matrix.
template <int ROWS, bool TRANSPOSED, int WIDE = 2>
static void tile(int64_t K, const real* a, int64_t lda, const real* panel, int64_t panel_stride, const real* base, int64_t ldb, real* c,
                 int64_t ldc, int64_t columns) {
    if (WIDE == 2 && columns <= VL) return tile<ROWS, TRANSPOSED, 1>(K, a, lda, panel, panel_stride, base, ldb, c, ldc, columns);
    V acc[ROWS][WIDE] = {};
    for (int64_t k = 0; k < K; k++) {
        V right[WIDE];
        for (int j = 0; j < WIDE; j++) right[j] = load(panel + k * panel_stride + j * VL, VL);
#pragma GCC unroll 16
        for (int m = 0; m < ROWS; m++) {
            const V x = splat(TRANSPOSED ? a[k * lda + m] : a[m * lda + k]);
            for (int j = 0; j < WIDE; j++) acc[m][j] += x * right[j];
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++)  // unrolled like the loop above, or the sums would be kept in memory
#pragma GCC unroll 2
        for (int j = 0; j < WIDE; j++) {
            const int64_t n = columns - j * VL;
            if (n > 0) store(c + m * ldc + j * VL, base ? acc[m][j] + load(base + m * ldb + j * VL, n) : acc[m][j], n);
        }
}

template <int ROWS, bool TRANSPOSED, class... Rest> static void tiles(int rows, Rest... rest) {
    if (rows == ROWS) tile<ROWS, TRANSPOSED>(rest...);
    else if constexpr (ROWS > 1) tiles<ROWS - 1, TRANSPOSED>(rows, rest...);
}

// c (rows, N) = base + a (rows, K) · panels, repeated `times` times; `strides` is what a, base and c advance by each time.
struct Strides { int64_t a, base, c; };
static void product(int64_t rows, int64_t N, int64_t K, const real* a, int64_t lda, const real* panels, const real* base, int64_t ldb,
                    real* c, int64_t ldc, int64_t times = 1, Strides strides = {0, 0, 0}) {
    const int64_t count = (rows + MR - 1) / MR;
    for (int64_t n = 0; n < N; n += NR)
        for (int64_t t = 0; t < times; t++)
            for (int64_t i = 0; i < count; i++) {
                const int64_t first = i * rows / count, last = (i + 1) * rows / count;
                tiles<MR, false>(int(last - first), K, a + t * strides.a + first * lda, lda, panels + n * K, NR,
                          base ? base + t * strides.base + first * ldb + n : base, ldb, c + t * strides.c + first * ldc + n, ldc, N - n);
            }
}

// Requests huge pages for newly allocated memory: its first write costs a page fault per page, and huge pages cost fewer.
static void advise_huge_pages(const void* p, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = uintptr_t(1) << 21, from = (uintptr_t(p) + page - 1) & -page, to = (uintptr_t(p) + bytes) & -page;
    if (p && from < to) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}
