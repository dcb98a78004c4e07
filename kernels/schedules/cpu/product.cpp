// Products of a few rows with a packed matrix: panels of NR columns, multiplied by register tiles of up to MR rows. product.h says what
// each computes. This file is compiled once for each dtype, after vector.h and product.h.

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

// The same for few rows and full panels, several at once: the sums of one panel would wait for each other.
template <int ROWS, int PANELS>
static void wide_tile(int64_t K, const real* a, int64_t lda, const real* panels, const real* base, int64_t ldb, real* c, int64_t ldc) {
    V acc[ROWS][2 * PANELS] = {};
    for (int64_t k = 0; k < K; k++)
#pragma GCC unroll 8
        for (int j = 0; j < 2 * PANELS; j++) {
            const V right = load(panels + (j / 2 * K + k) * NR + j % 2 * VL, VL);
#pragma GCC unroll 2
            for (int m = 0; m < ROWS; m++) acc[m][j] += splat(a[m * lda + k]) * right;
        }
#pragma GCC unroll 2
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 8
        for (int j = 0; j < 2 * PANELS; j++)
            store(c + m * ldc + j * VL, base ? acc[m][j] + load(base + m * ldb + j * VL, VL) : acc[m][j], VL);
}

void product(int64_t rows, int64_t N, int64_t K, const real* a, int64_t lda, const real* panels, const real* base, int64_t ldb,
             real* c, int64_t ldc, int64_t times, Strides strides) {
    if (strides.a == rows * lda && strides.c == rows * ldc && strides.base == rows * ldb) rows *= times, times = 1;  // all rows are in line
    const int64_t count = (rows + MR - 1) / MR;
    for (int64_t n = 0, wide; n < N; n += wide)
        for (int64_t t = 0; t < times; t++) {
            const real *left = a + t * strides.a, *right = panels + n * K, *add = base ? base + t * strides.base + n : nullptr;
            real* out = c + t * strides.c + n;
            wide = rows == 1 ? 4 * NR : rows == 2 ? 2 * NR : NR;
            if (n + wide > N) wide = NR;
            if (wide == 4 * NR) wide_tile<1, 4>(K, left, lda, right, add, ldb, out, ldc);
            if (wide == 2 * NR) wide_tile<2, 2>(K, left, lda, right, add, ldb, out, ldc);
            for (int64_t i = 0; i < count && wide == NR; i++) {
                const int64_t first = i * rows / count, last = (i + 1) * rows / count;
                tiles<MR, false>(int(last - first), K, left + first * lda, lda, right, NR, add ? add + first * ldb : add, ldb,
                                 out + first * ldc, ldc, N - n);
            }
        }
}

void add_outer_products(int64_t K, int64_t count, const real* a, int64_t lda, const real* panel, int64_t panel_stride, real* sum) {
    const int64_t tall = (K + MR - 1) / MR;
    for (int64_t i = 0; i < tall; i++) {
        const int64_t first = i * K / tall, last = (i + 1) * K / tall;
        real* rows = sum + first * NR;
        tiles<MR, true>(int(last - first), count, a + first, lda, panel, panel_stride, rows, NR, rows, NR, NR);
    }
}

template <int ROWS, int K> static void multiply_columns(int64_t N, const real* a, const real* columns, bool overwrite, real* c) {
    V sum[ROWS][K] = {};
    for_each_vector(N, [&](int64_t n, auto remaining) {
        V row[ROWS];
#pragma GCC unroll 8
        for (int m = 0; m < ROWS; m++) row[m] = load(a + m * N + n, remaining);
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) {
            const V column = load(columns + k * N + n, remaining);
#pragma GCC unroll 8
            for (int m = 0; m < ROWS; m++) sum[m][k] += row[m] * column;
        }
    });
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) c[m * K + k] = sum_lanes(sum[m][k]) + (overwrite ? real(0) : c[m * K + k]);
}

template <int MOST>
static void narrow_product_up_to(int64_t rows, int64_t N, int64_t K, const real* a, const real* columns, bool overwrite, real* c) {
    if constexpr (MOST > 1)
        if (K < MOST) return narrow_product_up_to<MOST - 1>(rows, N, K, a, columns, overwrite, c);
    int64_t m = 0;
    for (; m + 3 <= rows; m += 3) multiply_columns<3, MOST>(N, a + m * N, columns, overwrite, c + m * K);
    for (; m < rows; m++) multiply_columns<1, MOST>(N, a + m * N, columns, overwrite, c + m * K);
}

void narrow_product(int64_t rows, int64_t N, int64_t K, const real* a, const real* columns, bool overwrite, real* c) {
    narrow_product_up_to<VL / 2>(rows, N, K, a, columns, overwrite, c);
}
