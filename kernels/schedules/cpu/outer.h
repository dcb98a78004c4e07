// The gradients of matrices, summed while the rows that they come from are in the cache. Printed between product.h and loop.cpp.

struct Matrix {  // what a matrix's gradient (N, K) is written to; `ones`: behind its columns there is its bias's, (N), which goes to `bias`
    int64_t N, K;
    bool ones;
    real *gradient, *bias;
    int64_t depth() const { return K + ones; }
    int64_t size() const { return round_up(N, NR) * depth(); }
};

// One thread's share of it: outer products of the gradient of what the matrix gave, N wide, and of what it was applied to, K wide and
// with a one behind it for the bias, over the rows of one chunk of steps after another. It lies in panels like a packed matrix.
struct Outer {
    int64_t N, K, depth, apart;
    real *share = nullptr, *rows = nullptr, *panels = nullptr;

    void open(Matrix of, int64_t most, real* memory) {
        N = of.N, K = of.K, depth = of.depth(), apart = depth | 1, share = memory;
        for (int64_t i = 0; i < of.size(); i++) share[i] = 0;
        rows = new real[most * apart];
        panels = new real[round_up(N, NR) * most]();
    }
    void close() { delete[] rows, delete[] panels; }

    template <class Argument> void gather(int64_t count, Argument argument) {
        for (int64_t r = 0; r < count; r++) {
            __builtin_memcpy(rows + r * apart, argument(r), K * sizeof(real));
            if (depth > K) rows[r * apart + K] = 1;
        }
    }

    // argument(r): a row's K elements; gradient(p, r): of its N the p-th H.
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
        const int64_t tall = (depth + MR - 1) / MR;
        for (int64_t n = 0; n < N; n += NR)
            for (int64_t i = 0; i < tall; i++) {
                const int64_t first = i * depth / tall, last = (i + 1) * depth / tall;
                real* sum = share + n * depth + first * NR;
                tiles<MR, true>(int(last - first), count, rows + first, apart, panels + n * count, NR, sum, NR, sum, NR, NR);
            }
    }

    // The same where the K fit one tile: of the gradients (count, N) each is read once then, so they stay where they are.
    bool narrow() const { return depth <= MR; }
    template <class Argument> void add(int64_t count, Argument argument, const real* gradient) {
        gather(count, argument);
        for (int64_t n = 0; n < N; n += NR) {
            real* sum = share + n * depth;
            tiles<MR, true>(int(depth), count, rows, apart, gradient + n, N, sum, NR, sum, NR, NR);
        }
    }
};

// The shares of all threads, `next` elements apart, into the gradient. They are turned in squares,
// so that whole lines of the cache are written.
static void combine(Matrix to, const real* shares, int64_t next, int64_t threads) {
    const int64_t depth = to.depth();
#pragma omp for
    for (int64_t n0 = 0; n0 < to.N; n0 += VL)
        for (int64_t k0 = 0; k0 < depth; k0 += VL) {
            const int64_t tall = depth - k0 < VL ? depth - k0 : VL, wide = to.N - n0 < VL ? to.N - n0 : VL;
            real square[VL][VL];
            for (int64_t k = 0; k < tall; k++) {
                const real* share = shares + n0 / NR * NR * depth + (k0 + k) * NR + n0 % NR;
                V sum = {};
                for (int64_t i = 0; i < threads; i++) sum += load(share + i * next, VL);
                store(square[k], sum, VL);
            }
            for (int64_t n = 0; n < wide; n++)
                for (int64_t k = 0; k < tall; k++)
                    (k0 + k < to.K ? to.gradient[(n0 + n) * to.K + k0 + k] : to.bias[n0 + n]) = square[k][n];
        }
}
