// The passes of a function over a row, and the sums over its units between them. `generate_source` inserts this file after outer.h.

enum Kind_of_sum { SUM, MEAN, MAX };
struct Sum { Kind_of_sum kind; int heads; };  // `heads` is 0 for a row that is kept as it is

// Replaces each of the `heads` equal parts of a row of H units by its sum, mean or maximum.
static void reduce_row(Sum sum, real* row, int64_t H) {
    const int64_t n = H / sum.heads;
    for (int head = 0; head < sum.heads; head++, row += n) {
        V total = splat(sum.kind == MAX ? -std::numeric_limits<real>::infinity() : real(0));
        for_each_vector(0, n, [&](int64_t j, auto remaining) {
            V v = load(row + j, remaining);
            if (sum.kind != MAX) { total += v; return; }
            for (int64_t k = remaining; k < VL; k++) v[k] = v[0];
            total = maximum(total, v);
        });
        real found = total[0];
        if (sum.kind == MAX) for (int k = 1; k < VL; k++) found = total[k] > found || total[k] != total[k] ? total[k] : found;
        else found = sum.kind == MEAN ? sum_lanes(total) / n : sum_lanes(total);
        for_each_vector(0, n, [&](int64_t j, auto remaining) { store(row + j, splat(found), remaining); });
    }
}

// Runs the passes of F over the units [from, to) of a row, from pass K on. A function that sums over units is given all units.
// load_inputs(j, remaining, in): loads the inputs of a vector. store_results(j, remaining, in, out): takes its results.
// rows: F::rows of them, round_up(to, VL) elements apart.
template <class F, int K = 0, class Load, class Store>
static inline __attribute__((always_inline)) void run_passes(int64_t from, int64_t to, real* rows, Load load_inputs, Store store_results) {
    constexpr int first = K ? F::ends[K ? K - 1 : 0] : 0, end = F::ends[K];
    const int64_t width = round_up(to, VL);
    for_each_vector(from, to, [&](int64_t j, auto remaining) {
        V in[F::count + F::rows], out[F::most];
        load_inputs(j, remaining, in);
#pragma GCC unroll 64
        for (int r = 0; r < first; r++) in[F::count + r] = load(rows + r * width + j, VL);
        F::template run<K>(in, out);
        if constexpr (K == F::passes - 1) store_results(j, remaining, in, out);
#pragma GCC unroll 64
        for (int r = first; r < end; r++) store(rows + r * width + j, out[r - first], VL);
    });
    if constexpr (K < F::passes - 1) {
        for (int r = first; r < end; r++)
            if (F::sums[r].heads) reduce_row(F::sums[r], rows + r * width, to);
        run_passes<F, K + 1>(from, to, rows, load_inputs, store_results);
    }
}
