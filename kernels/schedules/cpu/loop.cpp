// The loop over time on a CPU, forward and backward, for any plan. What is printed in front of this file: `real`; STATES,
// TERMS, FEEDS, GROUPS, COMPUTED, NEARS, VECTORS, BUFFERS; the tables `slots`, `groups` and `nears`; a struct Step, and one for
// each stage that computes arguments, with the function (`run`), its `adjoint` and its `inputs`; with_stage(), which finds the
// latter by number; and what is in vector.h, product.h, columns.h, outer.h and thread.h.
//
// Each thread runs whole sequences for a block of rows. The matrices are packed once per call. The products in front of the loop
// run CHUNK steps ahead of it: their rows are still in the cache when the steps read them, and where nothing is kept they are never
// all in memory. In reverse the gradients of those products follow the loop by `steps`: what it finds for a chunk goes into the
// gradients of the inputs and of the matrices while it is in the cache, and is never all in memory either.

}  // namespace

extern "C" void forward(const Call* call) {
    const Call& c = *call;
    const int64_t H = c.H, blocks = (c.B + c.block - 1) / c.block;
    real *packed[GROUPS + 1], *fed[FEEDS + 1];
    for (int s = 0; s < STATES; s++) fresh(c.history[s], c.stride[s] * c.T * sizeof(real));
    for (int f = 0; f < FEEDS; f++)
        if (c.feed[f] && c.hoisted[f]) fresh(c.hoisted[f], c.T * c.B * widths[f] * H * sizeof(real));
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
        Rows ahead(c, c.hoisted, CHUNK);

        // to(k, m): where the k-th result of row m goes, twice if it is kept besides.
        auto pointwise = [&](auto function, int64_t t, int64_t first, int64_t rows, auto to) {
            using F = decltype(function);
            for (int64_t m = 0; m < rows; m++) {
                const real *from[F::count] = {}, *plus[F::count] = {};
                real *kept[F::count] = {}, *here[F::outputs], *besides[F::outputs];
#pragma GCC unroll 64
                for (int k = 0; k < F::count; k++) {
                    const Leaf leaf = F::inputs[k];
                    if (leaf.kind == STATE) from[k] = c.before(leaf.index, t, first + m);
                    if (leaf.kind == VECTOR) from[k] = c.vectors[leaf.index];
                    if (leaf.kind != TERM) continue;
                    const Slot slot = slots[leaf.index];
                    if (slot.hoisted) from[k] = ahead.at(leaf.index, t, first, m);
                    if (slot.product) plus[k] = products.at(m, products.column[leaf.index]);
                    if (slot.product && c.terms && F::last) kept[k] = c.term(c.terms, leaf.index, t, first + m);
                }
                for (int k = 0; k < F::outputs; k++) here[k] = to(k, m, &besides[k]);
                if (F::last) around.fill(t, first + m);
                across(H, [&](int64_t j, auto left) {
                    V in[F::count], out[F::outputs];
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        const bool term = leaf.kind == TERM;
                        if (leaf.kind == NEAR) in[k] = around.sum<1>(leaf.index, c.taps[leaf.index], j);
                        else in[k] = !term || slots[leaf.index].hoisted ? load(from[k] + j, left) : V{};
                        if (!term || !slots[leaf.index].product) continue;
                        in[k] += load(plus[k] + j, left);
                        if (kept[k]) store(kept[k] + j, in[k], left);
                    }
                    F::run(in, out);
#pragma GCC unroll 64
                    for (int k = 0; k < F::outputs; k++) {
                        store(here[k] + j, out[k], left);
                        if (!F::last && besides[k]) store(besides[k] + j, out[k], left);
                    }
                });
            }
        };

#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * c.B / blocks, rows = (block + 1) * c.B / blocks - first;
            for (int64_t t = 0; t < c.T; t++) {
                if (t % CHUNK == 0) ahead.compute(fed, t, first, rows);
                for (int g = 0; g < GROUPS; g++) {
                    const Group& group = groups[g];
                    if (group.leads) with_stage(group.stage, [&](auto stage) {
                        pointwise(stage, t, first, rows, [&](int k, int64_t m, real** besides) {
                            const int n = group.computed + k;
                            *besides = c.arguments ? c.arguments[n] + (t * c.B + first + m) * H : nullptr;
                            return arguments + (n * c.block + m) * H;
                        });
                    });
                    const real* a = group.computed < 0 ? c.before(group.state, t, first) : arguments + group.computed * c.block * H;
                    product(rows, c.products(g), H, a, H, packed[g], nullptr, 0, products.at(0, products.start[g]), products.width);
                }
                pointwise(Step{}, t, first, rows, [&](int k, int64_t m, real**) { return c.after(k, t, first + m); });
            }
        }
        delete[] arguments;
    }
    for (int g = 0; g < GROUPS; g++) delete[] packed[g];
    for (int f = 0; f < FEEDS; f++) delete[] fed[f];
}

// dy (T, B, H) or null; carried: the gradients of the final states in, of the initial states out, (B, H) each;
// d_buffers like buffers, null where none of a buffer leave; d_vectors (blocks, H) each, a partial sum for every block of rows.
extern "C" void backward(const Call* call, const real* dy, real** carried, real** d_buffers, real** d_vectors) {
    const Call& c = *call;
    const int64_t H = c.H, blocks = (c.B + c.block - 1) / c.block;
    real *packed[GROUPS + 1], *turned[FEEDS + 1], *fed[FEEDS + 1];
    for (int b = 0; b < BUFFERS; b++) fresh(d_buffers[b], c.T * c.B * widths[b] * H * sizeof(real));
    for (int f = 0; f < FEEDS; f++) {
        fresh(c.d_inputs[f], c.T * c.B * c.depth[f] * sizeof(real));
        turned[f] = d_buffers[f] ? nullptr : new real[round_up(c.depth[f], NR) * widths[f] * H];
        fed[f] = c.terms[f] ? nullptr : new real[round_up(widths[f] * H, NR) * c.depth[f]];
    }
    for (int g = 0; g < GROUPS; g++) packed[g] = new real[round_up(H, NR) * c.products(g)];
#pragma omp parallel num_threads(c.threads)
    {
        for (int g = 0; g < GROUPS; g++) pack(H, c.products(g), packed[g], [&](int64_t n, int64_t k) { return c.weights[g][k * H + n]; });
        for (int f = 0; f < FEEDS; f++) {
            const int64_t N = widths[f] * H, K = c.depth[f];
            if (turned[f] && few(K)) turn(N, K, turned[f], c.feed[f]);
            else if (turned[f]) pack(K, N, turned[f], [&](int64_t n, int64_t k) { return c.feed[f][k * K + n]; });
            if (fed[f]) pack(N, K, fed[f], [&](int64_t n, int64_t k) { return c.feed[f][n * K + k]; });
        }
        Rows ahead(c, c.terms, c.steps);
        Behind behind(c, d_buffers, c.shares + omp_get_thread_num() * c.share(FEEDS + GROUPS));
        Scratch d_products(c);
        real* d_states = new real[STATES * c.block * H];
        real* d_arguments = new real[(COMPUTED + 1) * c.block * H];
        real* d_vector = new real[(VECTORS + 1) * H]();  // over a chunk: a sum of sums loses less than one of as many numbers
        Around around(c), d_around(c);
        auto d_state = [&](int s, int64_t m) { return d_states + (s * c.block + m) * H; };

        // The last function's adjoint reaches every leaf first and writes; a stage's adds to what is there. upstream(k, m): the gradient
        // of the k-th result of row m, a sum of two where there is a second.
        auto adjoint = [&](auto function, int64_t t, int64_t first, int64_t rows, auto upstream) {
            using F = decltype(function);
            for (int64_t m = 0; m < rows; m++) {
                const real *from[F::count] = {}, *up[F::outputs], *more[F::outputs];
                real *to[F::count] = {}, *product[F::count] = {};
#pragma GCC unroll 64
                for (int k = 0; k < F::count; k++) {
                    const Leaf leaf = F::inputs[k];
                    if (leaf.kind == STATE) from[k] = c.before(leaf.index, t, first + m), to[k] = d_state(leaf.index, m);
                    if (leaf.kind == VECTOR) from[k] = c.vectors[leaf.index], to[k] = d_vector + leaf.index * H;
                    if (leaf.kind == NEAR) to[k] = d_around.at(leaf.index, 0);
                    if (leaf.kind != TERM) continue;
                    from[k] = ahead.at(leaf.index, t, first, m), to[k] = behind.at(leaf.index, t, first, m);
                    if (slots[leaf.index].product) product[k] = d_products.at(m, d_products.column[leaf.index]);
                }
                for (int k = 0; k < F::outputs; k++) up[k] = upstream(k, m, &more[k]);
                if (F::last) around.fill(t, first + m);
                across(H, [&](int64_t j, auto left) {
                    V in[F::count + F::outputs], out[F::count];
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        in[k] = leaf.kind == NEAR ? around.sum<1>(leaf.index, c.taps[leaf.index], j) : load(from[k] + j, left);
                    }
#pragma GCC unroll 64
                    for (int k = 0; k < F::outputs; k++) {
                        in[F::count + k] = load(up[k] + j, left);
                        if (F::last && k == 0 && more[k]) in[F::count + k] += load(more[k] + j, left);
                    }
                    F::adjoint(in, out);
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        auto add = [&](real* at, bool over) { store(at + j, over ? out[k] : out[k] + load(at + j, left), left); };
                        add(to[k], leaf.kind == NEAR || (leaf.kind != VECTOR && F::last));
                        if (leaf.kind == TERM && slots[leaf.index].product) add(product[k], F::last);
                    }
                });
                for (int n = 0; n < NEARS && F::last; n++)
                    across(H, [&](int64_t j, auto left) {
                        real* at = d_state(nears[n].state, m) + j;
                        store(at, load(at, left) + d_around.sum<-1>(n, c.turned[n], j), left);
                    });
            }
        };

#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * c.B / blocks, rows = (block + 1) * c.B / blocks - first;
            for (int s = 0; s < STATES; s++)
                for (int64_t m = 0; m < rows; m++) __builtin_memcpy(d_state(s, m), carried[s] + (first + m) * H, H * sizeof(real));
            for (int64_t t = c.T - 1; t >= 0; t--) {
                if (t == c.T - 1 || (t + 1) % c.steps == 0) ahead.compute(fed, t / c.steps * c.steps, first, rows);
                adjoint(Step{}, t, first, rows, [&](int s, int64_t m, const real** more) {
                    *more = s == 0 && dy ? dy + (t * c.B + first + m) * H : nullptr;
                    return d_state(s, m);
                });
                for (int g = GROUPS - 1; g >= 0; g--) {
                    const Group& group = groups[g];
                    const int64_t K = c.products(g);
                    real* out = group.computed < 0 ? d_state(group.state, 0) : d_arguments + group.computed * c.block * H;
                    const real* base = group.computed < 0 ? out : nullptr;
                    product(rows, H, K, d_products.at(0, d_products.start[g]), d_products.width, packed[g], base, H, out, H);
                    if (group.leads) with_stage(group.stage, [&](auto stage) {
                        adjoint(stage, t, first, rows, [&](int k, int64_t m, const real**) {
                            return d_arguments + ((group.computed + k) * c.block + m) * H;
                        });
                    });
                }
                if (t % c.steps) continue;
                behind.follow(turned, t, first, rows);
                for (int v = 0; v < VECTORS; v++)
                    across(H, [&](int64_t j, auto left) {
                        real *sum = d_vector + v * H + j, *total = d_vectors[v] + block * H + j;
                        store(total, load(total, left) + load(sum, left), left);
                        store(sum, V{}, left);
                    });
            }
            for (int s = 0; s < STATES; s++)
                for (int64_t m = 0; m < rows; m++) __builtin_memcpy(carried[s] + (first + m) * H, d_state(s, m), H * sizeof(real));
        }
        for (int p = 0; p < FEEDS + GROUPS; p++)
            if (c.matrix(p).gradient) combine(c.matrix(p), c.shares + c.share(p), c.share(FEEDS + GROUPS), omp_get_num_threads());
        delete[] d_states;
        delete[] d_arguments;
        delete[] d_vector;
    }
    for (int g = 0; g < GROUPS; g++) delete[] packed[g];
    for (int f = 0; f < FEEDS; f++) delete[] turned[f], delete[] fed[f];
}

extern "C" int64_t shares(const Call* call) { return call->share(FEEDS + GROUPS); }
