// Weight gradients, accumulated while the rows that they are computed from are in the cache. `generate_source` inserts this file after
// the tables of the plan and before thread.h.

// The gradient (N, K) of each head of a weight and, with `has_bias`, the gradient (N) of its bias. The accumulator has the bias as its last
// column. Row n of head e is row n / rows · stride + e · rows + n % rows of `gradient`.
struct WeightGradient {
    int64_t N, K;
    bool has_bias;
    real *gradient, *bias;
    int64_t heads, rows, stride;
    int64_t depth() const { return K + has_bias; }
    int64_t head_size() const { return round_up(N, NR) * depth(); }
    int64_t size() const { return heads * head_size(); }
    int64_t row_of(int64_t n, int64_t e) const { return n / rows * stride + e * rows + n % rows; }
};

// One thread's partial sum of a weight gradient: dW += d_output^T (N, rows) · input (rows, K), chunk by chunk. A column of ones is
// appended to the input for the bias. The sum is stored in panels like a packed matrix.
struct OuterProducts {
    int64_t N, K, depth, row_stride;
    real *partial_sum = nullptr, *rows = nullptr, *panels = nullptr;

    void allocate(WeightGradient gradient, int64_t max_rows, real* partial_sum) {
        N = gradient.N, K = gradient.K, depth = gradient.depth(), row_stride = depth | 1, this->partial_sum = partial_sum;
        for (int64_t i = 0; i < gradient.size(); i++) partial_sum[i] = 0;
        rows = new real[max_rows * row_stride];
        panels = new real[round_up(N, NR) * max_rows]();
    }
    void release() { delete[] rows, delete[] panels; }

    template <class Argument> void gather(int64_t count, Argument argument) {
        for (int64_t r = 0; r < count; r++) {
            __builtin_memcpy(rows + r * row_stride, argument(r), K * sizeof(real));
            if (depth > K) rows[r * row_stride + K] = 1;
        }
    }

    // argument(r): row r of the input, K elements. gradient(p, r): elements p·H to (p + 1)·H of row r of d_output.
    template <class Argument, class Gradient> void add(int64_t count, int64_t H, Argument argument, Gradient gradient) {
        gather(count, argument);
        for (int64_t r = 0; r < count; r++)
            for (int64_t n = 0, take; n < N; n += take) {
                const int64_t from = n % H, into = n % NR;
                take = NR - into < H - from ? NR - into : H - from;
                const real* piece = gradient(n / H, r) + from;
                real* to = panels + (n - into) * count + r * NR + into;
                for (int64_t j = 0; j < take; j += VL) store(to + j, load(piece + j, take - j), take - j);
            }
        for (int64_t n = 0; n < N; n += NR) add_outer_products(depth, count, rows, row_stride, panels + n * count, NR, partial_sum + n * depth);
    }

    // The same if K fits one register tile: each element of d_output (count, N) is then read once, so it is not copied into panels.
    bool fits_one_tile() const { return depth <= MR; }
    template <class Argument> void add(int64_t count, Argument argument, const real* gradient) {
        gather(count, argument);
        for (int64_t n = 0; n < N; n += NR) add_outer_products(depth, count, rows, row_stride, gradient + n, N, partial_sum + n * depth);
    }
};

// Adds up the partial sums of all threads, `thread_stride` elements apart, into the gradient. Transposes in squares so that whole cache
// lines are written.
static void reduce_partial_sums(WeightGradient to, int64_t e, const real* partial_sums, int64_t thread_stride, int64_t threads) {
    const int64_t depth = to.depth();
#pragma omp for
    for (int64_t n0 = 0; n0 < to.N; n0 += VL)
        for (int64_t k0 = 0; k0 < depth; k0 += VL) {
            const int64_t tall = depth - k0 < VL ? depth - k0 : VL, wide = to.N - n0 < VL ? to.N - n0 : VL;
            real square[VL][VL];
            for (int64_t k = 0; k < tall; k++) {
                const real* partial_sum = partial_sums + n0 / NR * NR * depth + (k0 + k) * NR + n0 % NR;
                V sum = {};
                for (int64_t i = 0; i < threads; i++) sum += load(partial_sum + i * thread_stride, VL);
                store(square[k], sum, VL);
            }
            for (int64_t n = 0; n < wide; n++)
                for (int64_t k = 0; k < tall; k++)
                    (k0 + k < to.K ? to.gradient[to.row_of(n0 + n, e) * to.K + k0 + k] : to.bias[n0 + n]) = square[k][n];
        }
}
