// The loop over time on a CPU, forward and backward, for any plan. What is printed in front of this file: `real`; STATES,
// TERMS, FEEDS, GROUPS, COMPUTED, NEARS; the tables `slots`, `groups` and `nears`; a struct Step, and one for each stage that
// computes arguments, with the function (`run`), its `adjoint` and its `inputs`; with_stage(), which finds the latter by number;
// and what is in vector.h and product.h.
//
// Each thread runs whole sequences for a block of rows. The matrices are packed once per call. The products in front of the loop
// run CHUNK steps ahead of it: their rows are still in the cache when the steps read them, and without gradients they are never
// all in memory.

struct Call {  // what both directions are given
    int64_t T, B, H, block, threads, reach;
    const real** inputs;    // what each feed is applied to, (T, B, K)
    const int64_t* depth;   // its K
    const real** feed;      // its matrix (G·H, K), or null where `hoisted` has its rows already
    const real** bias;      // its bias (G·H), or null
    real** hoisted;         // the hoisted parts of the terms, (T, B, G, H) for each buffer; null where nothing is kept of a feed
    real** terms;           // the whole terms in the same layout, or null where none are kept
    const real** vectors;   // (H) each
    const real** weights;   // (P·H, H) for each group
    const real** initial;   // (B, H) for each state
    real** history;         // the states after each step
    const int64_t* stride;  // from one time to the next in `history`: B·H, or 0 where only the last is kept
    real** arguments;       // (T, B, H) for each computed argument, or null
    const int64_t* offsets; // of each stencil's neighbours, one stencil's behind another's; at most `reach`
    const real **taps, **turned; // their weights, (taps, H) for each stencil, and those of the transposed ones

    int64_t products(int g) const { return groups[g].count * H; }
    real* term(real** of, int i, int64_t t, int64_t row) const {
        return of[slots[i].buffer] + ((t * B + row) * slots[i].width + slots[i].slot) * H;
    }
    const real* before(int s, int64_t t, int64_t row) const { return t ? after(s, t - 1, row) : initial[s] + row * H; }
    real* after(int s, int64_t t, int64_t row) const { return history[s] + t * stride[s] + row * H; }
};

struct Scratch {  // one thread's products, or their gradients: the groups side by side
    int64_t width = 0, column[TERMS], start[GROUPS + 1];
    real* values;
    Scratch(const Call& c) {
        for (int g = 0; g < GROUPS; g++) {
            start[g] = width;
            for (int k = 0; k < groups[g].count; k++) column[groups[g].terms[k]] = width + k * c.H;
            width += c.products(g);
        }
        values = new real[c.block * width + 1]();
    }
    ~Scratch() { delete[] values; }
    real* at(int64_t m, int64_t n) const { return values + m * width + n; }
};

struct Around {  // a row for each stencil, with zeros beyond both of its ends, to sum over neighbours ahead (SIGN 1) or behind (-1)
    const Call& c;
    const int64_t width;
    real* const values;
    Around(const Call& c) : c(c), width(round_up(c.H + 2 * c.reach + VL, VL)), values(new real[NEARS * width + 1]()) {}
    ~Around() { delete[] values; }
    real* at(int n, int64_t j) const { return values + n * width + c.reach + j; }
    template <int SIGN> V sum(int n, const real* weights, int64_t j) const {
        V total = {};
        const int64_t* offsets = c.offsets + nears[n].first;
        for (int k = 0; k < nears[n].taps; k++) total += load(weights + k * c.H + j, c.H - j) * load(at(n, j + SIGN * offsets[k]), VL);
        return total;
    }
};

}  // namespace

extern "C" void forward(const Call* call) {
    const Call& c = *call;
    const int64_t H = c.H, blocks = (c.B + c.block - 1) / c.block;
    real *packed[GROUPS + 1], *fed[FEEDS + 1];
    for (int s = 0; s < STATES; s++) fresh(c.history[s], c.stride[s] * c.T * sizeof(real));
    for (int f = 0; f < FEEDS; f++)
        if (c.feed[f]) fresh(c.hoisted[f], c.T * c.B * widths[f] * H * sizeof(real));
    for (int g = 0; g < GROUPS; g++) packed[g] = new real[round_up(c.products(g), NR) * H];
    for (int f = 0; f < FEEDS; f++) fed[f] = c.feed[f] ? new real[round_up(widths[f] * H, NR) * c.depth[f]] : nullptr;
#pragma omp parallel num_threads(c.threads)
    {
        for (int g = 0; g < GROUPS; g++) pack(c.products(g), H, packed[g], [&](int64_t n, int64_t k) { return c.weights[g][n * H + k]; });
        for (int f = 0; f < FEEDS; f++)
            if (fed[f]) pack(widths[f] * H, c.depth[f], fed[f], [&](int64_t n, int64_t k) { return c.feed[f][n * c.depth[f] + k]; });
        Scratch products(c);
        Around around(c);
        real* arguments = new real[(COMPUTED + 1) * c.block * H];
        real* ahead[FEEDS + 1];  // a chunk's rows of a feed of which nothing is kept
        for (int f = 0; f < FEEDS; f++) ahead[f] = c.hoisted[f] ? nullptr : new real[CHUNK * c.block * widths[f] * H];

        auto feed = [&](int64_t t, int64_t first, int64_t rows) {
            for (int f = 0; f < FEEDS; f++) {
                if (!fed[f]) continue;
                const int64_t K = c.depth[f], N = widths[f] * H, times = c.T - t < CHUNK ? c.T - t : CHUNK;
                real* out = ahead[f] ? ahead[f] : c.hoisted[f] + (t * c.B + first) * N;
                const Next next = {c.B * K, (ahead[f] ? c.block : c.B) * N};
                product(rows, N, K, c.inputs[f] + (t * c.B + first) * K, K, fed[f], c.bias[f], 0, out, N, times, next);
            }
        };
        auto hoisted = [&](int i, int64_t t, int64_t first, int64_t m) -> const real* {
            const Slot s = slots[i];
            const bool local = s.buffer < FEEDS && ahead[s.buffer];
            return local ? ahead[s.buffer] + ((t % CHUNK * c.block + m) * s.width + s.slot) * H : c.term(c.hoisted, i, t, first + m);
        };

        auto pointwise = [&](auto function, int64_t t, int64_t first, int64_t rows, auto write) {
            using F = decltype(function);
            for (int64_t m = 0; m < rows; m++) {
                for (int n = 0; n < NEARS && F::last; n++) __builtin_memcpy(around.at(n, 0), c.before(nears[n].state, t, first + m), H * sizeof(real));
                for (int64_t j = 0; j < H; j += VL) {
                    V in[F::count], out[F::outputs];
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        if (leaf.kind == STATE) in[k] = load(c.before(leaf.index, t, first + m) + j, H - j);
                        if (leaf.kind == VECTOR) in[k] = load(c.vectors[leaf.index] + j, H - j);
                        if (leaf.kind == NEAR) in[k] = around.sum<1>(leaf.index, c.taps[leaf.index], j);
                        if (leaf.kind != TERM) continue;
                        const bool product = slots[leaf.index].product;
                        in[k] = slots[leaf.index].hoisted ? load(hoisted(leaf.index, t, first, m) + j, H - j) : V{};
                        if (product) in[k] += load(products.at(m, products.column[leaf.index] + j), H - j);
                        if (product && c.terms && F::last) store(c.term(c.terms, leaf.index, t, first + m) + j, in[k], H - j);
                    }
                    F::run(in, out);
#pragma GCC unroll 64
                    for (int k = 0; k < F::outputs; k++) write(k, m, j, out[k]);
                }
            }
        };

#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * c.B / blocks, rows = (block + 1) * c.B / blocks - first;
            for (int64_t t = 0; t < c.T; t++) {
                if (t % CHUNK == 0) feed(t, first, rows);
                for (int g = 0; g < GROUPS; g++) {
                    const Group& group = groups[g];
                    if (group.leads) with_stage(group.stage, [&](auto stage) {
                        pointwise(stage, t, first, rows, [&](int k, int64_t m, int64_t j, V v) {
                            const int n = group.computed + k;
                            if (c.arguments) store(c.arguments[n] + (t * c.B + first + m) * H + j, v, H - j);
                            store(arguments + (n * c.block + m) * H + j, v, H - j);
                        });
                    });
                    const real* a = group.computed < 0 ? c.before(group.state, t, first) : arguments + group.computed * c.block * H;
                    product(rows, c.products(g), H, a, H, packed[g], nullptr, 0, products.at(0, products.start[g]), products.width);
                }
                pointwise(Step{}, t, first, rows, [&](int k, int64_t m, int64_t j, V v) {
                    store(c.after(k, t, first + m) + j, v, H - j);
                });
            }
        }
        delete[] arguments;
        for (int f = 0; f < FEEDS; f++) delete[] ahead[f];
    }
    for (int g = 0; g < GROUPS; g++) delete[] packed[g];
    for (int f = 0; f < FEEDS; f++) delete[] fed[f];
}

// dy (T, B, H) or null; carried: the gradients of the final states in, of the initial states out, (B, H) each;
// d_buffers like buffers; d_vectors (blocks, H) each, a partial sum for every block of rows.
extern "C" void backward(const Call* call, const real* dy, real** carried, real** d_buffers, real** d_vectors) {
    const Call& c = *call;
    const int64_t H = c.H, blocks = (c.B + c.block - 1) / c.block;
    real* packed[GROUPS + 1];
    for (int i = 0; i < TERMS; i++) fresh(d_buffers[slots[i].buffer], c.T * c.B * slots[i].width * H * sizeof(real));
    for (int g = 0; g < GROUPS; g++) packed[g] = new real[round_up(H, NR) * c.products(g)];
#pragma omp parallel num_threads(c.threads)
    {
        for (int g = 0; g < GROUPS; g++) pack(H, c.products(g), packed[g], [&](int64_t n, int64_t k) { return c.weights[g][k * H + n]; });
        Scratch d_products(c);
        real* d_states = new real[STATES * c.block * H];
        real* d_arguments = new real[(COMPUTED + 1) * c.block * H];
        Around around(c), d_around(c);
        auto d_state = [&](int s, int64_t m) { return d_states + (s * c.block + m) * H; };

        // The last function's adjoint reaches every leaf first and writes; a stage's adds to what is there.
        auto adjoint = [&](auto function, int64_t t, int64_t first, int64_t rows, int64_t block, auto upstream) {
            using F = decltype(function);
            for (int64_t m = 0; m < rows; m++) {
                for (int n = 0; n < NEARS && F::last; n++) __builtin_memcpy(around.at(n, 0), c.before(nears[n].state, t, first + m), H * sizeof(real));
                for (int64_t j = 0; j < H; j += VL) {
                    V in[F::count + F::outputs], out[F::count];
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        if (leaf.kind == STATE) in[k] = load(c.before(leaf.index, t, first + m) + j, H - j);
                        if (leaf.kind == VECTOR) in[k] = load(c.vectors[leaf.index] + j, H - j);
                        if (leaf.kind == TERM) in[k] = load(c.term(c.terms, leaf.index, t, first + m) + j, H - j);
                        if (leaf.kind == NEAR) in[k] = around.sum<1>(leaf.index, c.taps[leaf.index], j);
                    }
#pragma GCC unroll 64
                    for (int k = 0; k < F::outputs; k++) in[F::count + k] = upstream(k, m, j);
                    F::adjoint(in, out);
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        auto add = [&](real* to, bool over) { store(to + j, over ? out[k] : out[k] + load(to + j, H - j), H - j); };
                        if (leaf.kind == STATE) add(d_state(leaf.index, m), F::last);
                        if (leaf.kind == VECTOR) add(d_vectors[leaf.index] + block * H, false);
                        if (leaf.kind == NEAR) store(d_around.at(leaf.index, j), out[k], H - j);
                        if (leaf.kind != TERM) continue;
                        add(c.term(d_buffers, leaf.index, t, first + m), F::last);
                        if (slots[leaf.index].product) add(d_products.at(m, d_products.column[leaf.index]), F::last);
                    }
                }
                for (int n = 0; n < NEARS && F::last; n++)
                    for (int64_t j = 0; j < H; j += VL) {
                        real* to = d_state(nears[n].state, m) + j;
                        store(to, load(to, H - j) + d_around.sum<-1>(n, c.turned[n], j), H - j);
                    }
            }
        };

#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * c.B / blocks, rows = (block + 1) * c.B / blocks - first;
            for (int s = 0; s < STATES; s++)
                for (int64_t m = 0; m < rows; m++) __builtin_memcpy(d_state(s, m), carried[s] + (first + m) * H, H * sizeof(real));
            for (int64_t t = c.T - 1; t >= 0; t--) {
                adjoint(Step{}, t, first, rows, block, [&](int s, int64_t m, int64_t j) {
                    V d = load(d_state(s, m) + j, H - j);
                    if (s == 0 && dy) d += load(dy + (t * c.B + first + m) * H + j, H - j);
                    return d;
                });
                for (int g = GROUPS - 1; g >= 0; g--) {
                    const Group& group = groups[g];
                    const int64_t K = c.products(g);
                    real* out = group.computed < 0 ? d_state(group.state, 0) : d_arguments + group.computed * c.block * H;
                    const real* base = group.computed < 0 ? out : nullptr;
                    product(rows, H, K, d_products.at(0, d_products.start[g]), d_products.width, packed[g], base, H, out, H);
                    if (group.leads) with_stage(group.stage, [&](auto stage) {
                        adjoint(stage, t, first, rows, block, [&](int k, int64_t m, int64_t j) {
                            return load(d_arguments + ((group.computed + k) * c.block + m) * H + j, H - j);
                        });
                    });
                }
            }
            for (int s = 0; s < STATES; s++)
                for (int64_t m = 0; m < rows; m++) __builtin_memcpy(carried[s] + (first + m) * H, d_state(s, m), H * sizeof(real));
        }
        delete[] d_states;
        delete[] d_arguments;
    }
    for (int g = 0; g < GROUPS; g++) delete[] packed[g];
}
