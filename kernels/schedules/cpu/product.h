// Matrices in the layout that products read them in, and the products of product.cpp, which is compiled once for each dtype and storage
// and linked to every loop. `read_headers` inserts this file after vector.h.

#include <omp.h>
#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

#define HIDDEN __attribute__((visibility("hidden")))

static int64_t round_up(int64_t n, int64_t m) { return (n + m - 1) / m * m; }

// Packs a matrix (N, K), matrix[n * row_stride + k], or matrix[k * row_stride + n] if `transposed`, into panels of NR columns; zero past N.
// All threads of a team share the work.
HIDDEN void pack(bool transposed, int64_t N, int64_t K, const real* matrix, int64_t row_stride, void* panels);

// The bytes of the packed columns before a column, which is a multiple of NR.
HIDDEN int64_t packed_bytes(int64_t column, int64_t K);

// A narrow matrix (N, K), K <= VL / 2, is stored transposed, (K, N): vectors over K would be mostly empty, so vectors run over N.
static bool has_few_columns(int64_t K) { return K <= VL / 2; }

static void transpose(int64_t N, int64_t K, real* columns, const real* matrix) {
#pragma omp for
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) columns[k * N + n] = matrix[n * K + k];
}

// c (rows, N) = base + a (rows, K) · panels in some columns, repeated `times` times; `strides` is what a, base and c advance by each time.
// base has row stride ldb and may be c, a bias (ldb = 0), or null for zero. `columns.from` is rounded down to a whole panel.
struct Columns { int64_t from, to; };
struct Strides { int64_t a, base, c; };
HIDDEN void product(int64_t rows, Columns columns, int64_t K, const real* a, int64_t lda, const void* panels, const real* base, int64_t ldb,
                    real* c, int64_t ldc, int64_t times = 1, Strides strides = {0, 0, 0});

// sum (K, NR) += a^T (K, count) · panel (count, NR), whose rows are lda and panel_stride apart.
HIDDEN void add_outer_products(int64_t K, int64_t count, const real* a, int64_t lda, const real* panel, int64_t panel_stride, real* sum);

// c (rows, K) = a (rows, N) · a narrow matrix if `overwrite`, else c += a · matrix.
HIDDEN void narrow_product(int64_t rows, int64_t N, int64_t K, const real* a, const real* columns, bool overwrite, real* c);

// Requests huge pages for newly allocated memory: its first write costs a page fault per page, and huge pages cost fewer.
static void advise_huge_pages(const void* p, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = uintptr_t(1) << 21, from = (uintptr_t(p) + page - 1) & -page, to = (uintptr_t(p) + bytes) & -page;
    if (p && from < to) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}
