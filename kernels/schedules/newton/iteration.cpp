// An iteration of the newton schedule on a CPU, all but its products. `cpu_form.generate_source` inserts before this file: vector.h; STATES;
// a struct for each pointwise function of the plan, of which Function0 is the linearised step; state_of, the state that each of its inputs
// is, or -1; and with_function(), which finds a function by number.

#include <omp.h>

struct Operand { real* data; int64_t stride; };  // rows, and the elements from one to the next: 0 for one row that all share

// Evaluates a function for all rows, and writes its outputs, null for those that aren't needed, or adds to them.
extern "C" void evaluate(int64_t function, const Operand* in, const Operand* out, int64_t rows, int64_t H, int64_t add, int64_t threads) {
    with_function(function, [&](auto chosen) {
        using F = decltype(chosen);
#pragma omp parallel for num_threads(threads)
        for (int64_t row = 0; row < rows; row++) {
            const real* source[F::count];
            real* to[F::outputs];
            for (int k = 0; k < F::count; k++) source[k] = in[k].data + row * in[k].stride;
            for (int k = 0; k < F::outputs; k++) to[k] = out[k].data ? out[k].data + row * out[k].stride : nullptr;
            for_each_vector(0, H, [&](int64_t j, auto remaining) {
                V inputs[F::count], results[F::outputs];
#pragma GCC unroll 64
                for (int k = 0; k < F::count; k++) inputs[k] = load(source[k] + j, remaining);
                F::run(inputs, results);
#pragma GCC unroll 64
                for (int k = 0; k < F::outputs; k++)
                    if (to[k]) store(to[k] + j, add ? results[k] + load(to[k] + j, remaining) : results[k], remaining);
            });
        }
    });
}

struct IterationBuffers {  // in the order of `IterationBuffers` in cpu_form.py
    int64_t T, B, H, threads;
    real** rows;      // (T + 1, B, H) for each state
    real** values;    // (T, B, H) for each state, and for each slope
    real* largest;    // (threads, T, B, STATES, 2), zero: the largest residual of the units of a thread, and the largest finite element of
                      // the value and of the row before
};

static V inside(V v, int64_t remaining) {
    for (int64_t k = remaining; k < VL; k++) v[k] = 0;
    return v;
}
static V finite(V v) { return v < splat(std::numeric_limits<real>::infinity()) ? v : splat(0); }
static real largest_lane(V v) {  // NaN if one is
    real found = v[0];
    for (int k = 1; k < VL; k++) found = v[k] > found || v[k] != v[k] ? v[k] : found;
    return found;
}

// Adds to the trajectory the affine scan of its residuals. What overflows becomes 0. Threads share the units of all sequences.
// value_at(row): a function (j, remaining, before, found) that finds the values of a row, and behind them the slopes.
template <bool REVERSED, class ValueAt> static void update(const IterationBuffers& c, ValueAt value_at) {
    const int64_t H = c.H, elements = c.B * H, line = 64 / sizeof(real);
#pragma omp parallel num_threads(c.threads)
    {
        const int64_t me = omp_get_thread_num(), count = omp_get_num_threads();
        auto cut = [&](int64_t k) { return k == count ? elements : k * elements / count / H * H + k * elements / count % H / line * line; };
        real* kept = new real[2 * STATES * H];  // of a sequence: the rows before the update, and the changes, of the step before
        for (int64_t first = cut(me), b = first / H; first < cut(me + 1); first = ++b * H) {
            const int64_t from = first % H, to = cut(me + 1) < (b + 1) * H ? cut(me + 1) - b * H : H;
            for (int s = 0; s < STATES; s++)
                for (int64_t j = from; j < to; j++) {
                    kept[s * H + j] = c.rows[s][((REVERSED ? c.T : 0) * c.B + b) * H + j];
                    kept[(STATES + s) * H + j] = 0;
                }
            for (int64_t i = 0; i < c.T; i++) {
                const int64_t t = REVERSED ? c.T - 1 - i : i, row = t * c.B + b;
                const auto find = value_at(row);
                real* now[STATES];
                V residual[STATES] = {}, scale[STATES] = {};
                for (int s = 0; s < STATES; s++) now[s] = c.rows[s] + (REVERSED ? row : row + c.B) * H;
                for_each_vector(from, to, [&](int64_t j, auto remaining) {
                    V before[STATES], change[STATES], found[STATES + STATES * STATES];
#pragma GCC unroll 16
                    for (int s = 0; s < STATES; s++) {
                        before[s] = load(kept + s * H + j, remaining);
                        change[s] = load(kept + (STATES + s) * H + j, remaining);
                    }
                    find(j, remaining, before, found);
#pragma GCC unroll 16
                    for (int s = 0; s < STATES; s++) {
                        const V old = load(now[s] + j, remaining), off = found[s] - old;
                        residual[s] = maximum(residual[s], inside(abs(off), remaining));
                        scale[s] = maximum(scale[s], inside(maximum(finite(abs(found[s])), finite(abs(before[s]))), remaining));
                        V total = off;
#pragma GCC unroll 16
                        for (int r = 0; r < STATES; r++) total += found[STATES + s * STATES + r] * change[r];
                        const V moved = old + total;
                        store(now[s] + j, finite(abs(moved)) == abs(moved) ? moved : splat(0), remaining);
                        store(kept + s * H + j, old, remaining);
                        store(kept + (STATES + s) * H + j, total, remaining);
                    }
                });
                for (int s = 0; s < STATES; s++) {
                    real* at = c.largest + (((me * c.T + t) * c.B + b) * STATES + s) * 2;
                    at[0] = largest_lane(residual[s]), at[1] = largest_lane(scale[s]);
                }
            }
        }
        delete[] kept;
    }
}

// Updates the states: evaluates the linearised step on the way.
extern "C" void update_states(const IterationBuffers* trajectory, const Operand* in) {
    using F = Function0;
    update<false>(*trajectory, [&](int64_t row) {
        struct Sources { const real* of[F::count]; } sources;
        for (int k = 0; k < F::count; k++) sources.of[k] = in[k].data + row * in[k].stride;
        return [sources](int64_t j, auto remaining, const V* before, V* found) {
            V inputs[F::count];
#pragma GCC unroll 64
            for (int k = 0; k < F::count; k++)
                inputs[k] = state_of[k] < 0 ? load(sources.of[k] + j, remaining) : before[state_of[k] < 0 ? 0 : state_of[k]];
            F::run(inputs, found);
        };
    });
}

// Updates the gradients of the states: their values and slopes are given.
extern "C" void update_gradients(const IterationBuffers* trajectory) {
    const IterationBuffers& c = *trajectory;
    update<true>(c, [&](int64_t row) {
        return [&c, row](int64_t j, auto remaining, const V*, V* found) {
#pragma GCC unroll 64
            for (int k = 0; k < STATES + STATES * STATES; k++) found[k] = load(c.values[k] + row * c.H + j, remaining);
        };
    });
}
