// Products of a few rows with a packed matrix: panels of NR columns, multiplied by register tiles of up to MR rows. product.h says what
// each computes. This file is compiled once for each dtype and storage, after vector.h, product.h and storage.h.

// A panel: an even number of rows if it holds pairs, and the scales of its columns behind them if it has any.
static int64_t panel_rows(int64_t K) { return round_up(K, PAIRS ? 2 : 1); }
static int64_t panel_size(int64_t K) { return panel_rows(K) * NR; }
static int64_t panel_bytes(int64_t K) { return panel_size(K) * sizeof(stored) + SCALES * NR * sizeof(real); }
int64_t packed_bytes(int64_t column, int64_t K) { return column / NR * panel_bytes(K); }
static stored* panel_at(void* panels, int64_t column, int64_t K) { return (stored*)((char*)panels + packed_bytes(column, K)); }
static const stored* panel_at(const void* panels, int64_t column, int64_t K) { return panel_at((void*)panels, column, K); }
static stored* cell_of(stored* panel, int64_t k, int64_t n) { return panel + (PAIRS ? (k / 2 * NR + n) * 2 + k % 2 : k * NR + n); }

// The scales of a panel's columns, the largest |x| of each over 127; NaN if the column has an inf or NaN, which products then return.
static void find_scales(int64_t columns, int64_t K, const real* matrix, int64_t row_stride, real* scales) {
    for (int64_t n = 0; n < columns; n++) {
        real largest = 0, sum = 0;
        for (int64_t k = 0; k < K; k++) {
            const real x = matrix[n * row_stride + k], size = x < 0 ? -x : x;
            largest = size > largest ? size : largest, sum += x - x;
        }
        scales[n] = sum == 0 ? largest / 127 : std::numeric_limits<real>::quiet_NaN();
    }
}

// Reads cache line by cache line, each once: rows a power of two apart share a set of the cache, which holds few of them.
void pack(bool transposed, int64_t N, int64_t K, const real* matrix, int64_t row_stride, void* panels) {
    constexpr int64_t SIDE = 64 / sizeof(real);
    if (transposed) {
#pragma omp for
        for (int64_t k0 = 0; k0 < panel_rows(K); k0 += SIDE)
            for (int64_t n = 0; n < round_up(N, NR); n += VL)
                for (int64_t k = k0; k < panel_rows(K) && k < k0 + SIDE; k++) {
                    const V row = n < N && k < K ? load(matrix + k * row_stride + n, N - n) : V{};
                    stored* to = cell_of(panel_at(panels, n, K), k, n % NR);
                    for (int j = 0; j < VL; j++) narrow(row[j], to + j * (PAIRS ? 2 : 1));
                }
        return;
    }
#pragma omp for
    for (int64_t n0 = 0; n0 < N; n0 += NR) {
        real square[NR][SIDE] = {}, over[NR];
        stored* panel = panel_at(panels, n0, K);
        const int64_t columns = N - n0 < NR ? N - n0 : NR;
        for (int n = 0; n < NR; n++) over[n] = 1;
        if (SCALES) {
            real* scales = (real*)(panel + panel_size(K));
            for (int n = 0; n < NR; n++) scales[n] = 0;
            find_scales(columns, K, matrix + n0 * row_stride, row_stride, scales);
            for (int n = 0; n < NR; n++) over[n] = scales[n] > 0 ? 1 / scales[n] : 0;
        }
        for (int64_t k0 = 0; k0 < K; k0 += SIDE) {
            const int64_t wide = K - k0 < SIDE ? K - k0 : SIDE;
            for (int64_t n = 0; n < columns; n++)
                __builtin_memcpy(square[n], matrix + (n0 + n) * row_stride + k0, (wide == SIDE ? SIDE : wide) * sizeof(real));
            for (int64_t k = 0; k < wide; k++)
                for (int64_t n = 0; n < NR; n++) narrow(SCALES ? square[n][k] * over[n] : square[n][k], cell_of(panel, k0 + k, n));
        }
        for (int64_t n = 0; n < NR && K < panel_rows(K); n++) narrow(0, cell_of(panel, K, n));
    }
}

// c = base + a · panels for the first `columns` columns of WIDE vectors, `next` elements from panel to panel. base has row stride ldb and may
// be c, a bias (ldb = 0), or null for zero. TRANSPOSED: a is stored by columns. `stride` is the row stride of a panel: NR, or more if it is
// part of a wider matrix. Left: real; or uint32_t, pairs of bfloat16, which K then counts.
template <int ROWS, bool TRANSPOSED, int WIDE, class Left, class E>
static void tile(int64_t K, const Left* a, int64_t lda, const E* panels, int64_t next, int64_t stride, const real* base, int64_t ldb, real* c,
                 int64_t ldc, int64_t columns) {
    if constexpr (WIDE == 2)
        if (columns <= VL) return tile<ROWS, TRANSPOSED, 1>(K, a, lda, panels, next, stride, base, ldb, c, ldc, columns);
    constexpr bool pairs = !std::is_same_v<Left, real>;
    V acc[ROWS][WIDE] = {};
    auto add = [&](int64_t k, bool odd) {
        std::conditional_t<pairs, U, V> right[WIDE];
#pragma GCC unroll 8
        for (int j = 0; j < WIDE; j++)
            if constexpr (pairs) __builtin_memcpy(&right[j], panels + j / 2 * next + (k * NR + j % 2 * VL) * 2, BYTES);
            else right[j] = widen(panels + j / 2 * next, k, odd, stride, j % 2);
#pragma GCC unroll 16
        for (int m = 0; m < ROWS; m++) {
            const Left x = TRANSPOSED ? a[k * lda + m] : a[m * lda + k];
#pragma GCC unroll 8
            for (int j = 0; j < WIDE; j++)
                if constexpr (pairs) acc[m][j] = add_pair_products(acc[m][j], x + U{}, right[j]);
                else acc[m][j] += splat(x) * right[j];
        }
    };
    int64_t k = 0;
    if constexpr (PAIRS && !pairs && std::is_same_v<E, stored>) {
        for (; k + 2 <= K; k += 2) add(k, false), add(k + 1, true);
        if (k < K) add(k, false);
    } else for (; k < K; k++) add(k, false);
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++)  // unrolled like the loops above, or the sums would be kept in memory
#pragma GCC unroll 8
        for (int j = 0; j < WIDE; j++) {
            const int64_t n = columns - j * VL;
            if (n <= 0) continue;
            if constexpr (SCALES && std::is_same_v<E, stored>)
                acc[m][j] *= load((const real*)(panels + j / 2 * next + panel_size(K)) + j % 2 * VL, VL);
            store(c + m * ldc + j * VL, base ? acc[m][j] + load(base + m * ldb + j * VL, n) : acc[m][j], n);
        }
}

template <int ROWS, bool TRANSPOSED, class... Rest> static void tiles(int rows, Rest... rest) {
    if (rows == ROWS) tile<ROWS, TRANSPOSED, 2>(rest...);
    else if constexpr (ROWS > 1) tiles<ROWS - 1, TRANSPOSED>(rows, rest...);
}

// Two rows or fewer take several full panels at once: the sums of one panel would wait for each other.
template <class Left>
static void multiply(int64_t rows, Columns columns, int64_t K, const Left* a, int64_t lda, const void* panels, const real* base, int64_t ldb,
                     real* c, int64_t ldc, int64_t times, Strides strides) {
    const int64_t count = (rows + MR - 1) / MR, depth = std::is_same_v<Left, real> ? K : (K + 1) / 2;
    const int64_t next = panel_bytes(K) / sizeof(stored);
    for (int64_t n = columns.from / NR * NR, wide; n < columns.to; n += wide)
        for (int64_t t = 0; t < times; t++) {
            const Left* left = a + t * strides.a;
            const stored* right = panel_at(panels, n, K);
            const real* add = base ? base + t * strides.base + n : nullptr;
            real* out = c + t * strides.c + n;
            wide = rows == 1 ? 4 * NR : rows == 2 ? 2 * NR : NR;
            if (n + wide > columns.to) wide = NR;
            if (wide == 4 * NR) tile<1, false, 8>(depth, left, lda, right, next, NR, add, ldb, out, ldc, wide);
            if (wide == 2 * NR) tile<2, false, 4>(depth, left, lda, right, next, NR, add, ldb, out, ldc, wide);
            for (int64_t i = 0; i < count && wide == NR; i++) {
                const int64_t first = i * rows / count, last = (i + 1) * rows / count;
                tiles<MR, false>(int(last - first), depth, left + first * lda, lda, right, next, int64_t(NR), add ? add + first * ldb : add, ldb,
                                 out + first * ldc, ldc, columns.to - n);
            }
        }
}

// The rows of a product as pairs of bfloat16, `times` times; released by the caller.
static uint32_t* round_rows(int64_t rows, int64_t K, const real* a, int64_t lda, int64_t times, int64_t stride) {
    const int64_t depth = (K + 1) / 2;
    uint32_t* pairs = new uint32_t[times * rows * depth]();
    for (int64_t r = 0; r < times * rows; r++)
        for (int64_t k = 0; k < K; k++) narrow(a[r / rows * stride + r % rows * lda + k], (stored*)(pairs + r * depth) + k);
    return pairs;
}

void product(int64_t rows, Columns columns, int64_t K, const real* a, int64_t lda, const void* panels, const real* base, int64_t ldb,
             real* c, int64_t ldc, int64_t times, Strides strides) {
    if (strides.a == rows * lda && strides.c == rows * ldc && strides.base == rows * ldb) rows *= times, times = 1;  // all rows are in line
    if constexpr (ROUNDS_ROWS) {
        const int64_t depth = (K + 1) / 2;
        uint32_t* pairs = round_rows(rows, K, a, lda, times, strides.a);
        strides.a = rows * depth;
        multiply<uint32_t>(rows, columns, K, pairs, depth, panels, base, ldb, c, ldc, times, strides);
        delete[] pairs;
    } else multiply<real>(rows, columns, K, a, lda, panels, base, ldb, c, ldc, times, strides);
}

void add_outer_products(int64_t K, int64_t count, const real* a, int64_t lda, const real* panel, int64_t panel_stride, real* sum) {
    const int64_t tall = (K + MR - 1) / MR;
    for (int64_t i = 0; i < tall; i++) {
        const int64_t first = i * K / tall, last = (i + 1) * K / tall;
        real* rows = sum + first * NR;
        tiles<MR, true>(int(last - first), count, a + first, lda, panel, int64_t(0), panel_stride, rows, int64_t(NR), rows, int64_t(NR), int64_t(NR));
    }
}

template <int ROWS, int K> static void multiply_columns(int64_t N, const real* a, const real* columns, bool overwrite, real* c) {
    V sum[ROWS][K] = {};
    for_each_vector(0, N, [&](int64_t n, auto remaining) {
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
