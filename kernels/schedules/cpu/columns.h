// Products with a matrix (N, K) of few columns: by vectors of columns most of each would be idle, so the sums run along the rows. Its
// columns lie one behind the other. Printed between product.h and thread.h.

static bool few(int64_t K) { return K <= VL / 2; }

static void turn(int64_t N, int64_t K, real* columns, const real* matrix) {
#pragma omp for
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) columns[k * N + n] = matrix[n * K + k];
}

template <int ROWS, int K> static void sums(int64_t N, const real* a, const real* columns, bool over, real* c) {
    V sum[ROWS][K] = {};
    across(N, [&](int64_t n, auto left) {
        V row[ROWS];
#pragma GCC unroll 8
        for (int m = 0; m < ROWS; m++) row[m] = load(a + m * N + n, left);
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) {
            const V column = load(columns + k * N + n, left);
#pragma GCC unroll 8
            for (int m = 0; m < ROWS; m++) sum[m][k] += row[m] * column;
        }
    });
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 8
        for (int k = 0; k < K; k++) c[m * K + k] = total(sum[m][k]) + (over ? real(0) : c[m * K + k]);
}

// c (rows, K) = a (rows, N) · the matrix; added to what is there if it isn't `over`.
template <int MOST = VL / 2>
static void product_of_few(int64_t rows, int64_t N, int64_t K, const real* a, const real* columns, bool over, real* c) {
    if constexpr (MOST > 1)
        if (K < MOST) return product_of_few<MOST - 1>(rows, N, K, a, columns, over, c);
    int64_t m = 0;
    for (; m + 3 <= rows; m += 3) sums<3, MOST>(N, a + m * N, columns, over, c + m * K);
    for (; m < rows; m++) sums<1, MOST>(N, a + m * N, columns, over, c + m * K);
}
