// Products with a narrow matrix (N, K), K <= VL / 2. Vectors over K would be mostly empty, so vectors run over N. The matrix is stored
// transposed, (K, N). `generate_source` inserts this file after product.h and before outer.h.

static bool has_few_columns(int64_t K) { return K <= VL / 2; }

static void transpose(int64_t N, int64_t K, real* columns, const real* matrix) {
#pragma omp for
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) columns[k * N + n] = matrix[n * K + k];
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

// c (rows, K) = a (rows, N) · matrix if `overwrite`, else c += a · matrix.
template <int MOST = VL / 2>
static void narrow_product(int64_t rows, int64_t N, int64_t K, const real* a, const real* columns, bool overwrite, real* c) {
    if constexpr (MOST > 1)
        if (K < MOST) return narrow_product<MOST - 1>(rows, N, K, a, columns, overwrite, c);
    int64_t m = 0;
    for (; m + 3 <= rows; m += 3) multiply_columns<3, MOST>(N, a + m * N, columns, overwrite, c + m * K);
    for (; m < rows; m++) multiply_columns<1, MOST>(N, a + m * N, columns, overwrite, c + m * K);
}
