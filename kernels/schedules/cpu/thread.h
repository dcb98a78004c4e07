// What both directions of the loop are given, and what each of their threads has to itself. Printed between
// the products and loop.cpp.

struct Call {  // what both directions are given
    int64_t T, B, H, block, threads, reach, steps;
    const real** inputs;    // what each feed is applied to, (T, B, K)
    const int64_t* depth;   // its K
    const real** feed;      // its matrix (G·H, K), or null where `hoisted` has its rows already
    const real** bias;      // its bias (G·H), or null
    real** hoisted;         // the hoisted parts of the terms, (T, B, G, H) for each buffer; null where nothing is kept of a feed
    real** terms;           // the whole terms in the same layout; null where none, or those of a buffer, are not kept
    const real** vectors;   // (H) each
    const real** weights;   // (P·H, H) for each group
    const real** initial;   // (B, H) for each state
    real** history;         // the states after each step
    const int64_t* stride;  // from one time to the next in `history`: B·H, or 0 where only the last is kept
    real** arguments;       // (T, B, H) for each computed argument, or null
    const int64_t* offsets; // of each stencil's neighbours, one stencil's behind another's; at most `reach`
    const real **taps, **turned; // their weights, (taps, H) for each stencil, and those of the transposed ones
    real **d_inputs, **d_feed, **d_bias, **d_weights; // in reverse, where it is wanted: what to write the gradients of the above to
    real* shares;           // each thread's part of those of the matrices, shares() elements for each

    int64_t products(int g) const { return groups[g].count * H; }
    Matrix matrix(int p) const {  // the p-th of the feeds' and, behind them, of the groups'
        if (p < FEEDS) return {widths[p] * H, depth[p], d_bias[p] != nullptr, d_feed[p], d_bias[p]};
        return {products(p - FEEDS), H, false, d_weights[p - FEEDS], nullptr};
    }
    int64_t share(int count) const {  // the elements of a thread's part of the first `count` of them
        int64_t sum = 0;
        for (int p = 0; p < count; p++) sum += matrix(p).gradient ? matrix(p).size() : 0;
        return sum;
    }
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

struct Rows {  // a thread's rows of the feeds for `steps` steps, of those feeds that lie nowhere in memory
    const Call& c;
    real** const kept;
    const int64_t steps;
    real* local[FEEDS + 1];
    Rows(const Call& c, real** kept, int64_t steps) : c(c), kept(kept), steps(steps) {
        for (int f = 0; f < FEEDS; f++) local[f] = kept && kept[f] ? nullptr : new real[steps * c.block * widths[f] * c.H];
    }
    ~Rows() { for (int f = 0; f < FEEDS; f++) delete[] local[f]; }
    void compute(real** packed, int64_t t, int64_t first, int64_t rows) const {
        for (int f = 0; f < FEEDS; f++) {
            if (!packed[f]) continue;
            const int64_t K = c.depth[f], N = widths[f] * c.H, times = c.T - t < steps ? c.T - t : steps;
            real* out = local[f] ? local[f] : kept[f] + (t * c.B + first) * N;
            const Next next = {c.B * K, 0, (local[f] ? c.block : c.B) * N};
            product(rows, N, K, c.inputs[f] + (t * c.B + first) * K, K, packed[f], c.bias[f], 0, out, N, times, next);
        }
    }
    const real* at(int i, int64_t t, int64_t first, int64_t m) const {
        const Slot s = slots[i];
        const bool here = s.buffer < FEEDS && local[s.buffer];
        return here ? local[s.buffer] + ((t % steps * c.block + m) * s.width + s.slot) * c.H : c.term(kept, i, t, first + m);
    }
};

struct Behind {  // a thread's gradients of the terms for a chunk of steps, where none of their buffer leave, and what becomes of them
    const Call& c;
    real** const buffers;
    real* local[BUFFERS + 1];
    Outer outer[FEEDS + GROUPS + 1];
    Behind(const Call& c, real** buffers, real* share) : c(c), buffers(buffers) {
        for (int b = 0; b < BUFFERS; b++) local[b] = buffers[b] ? nullptr : new real[c.steps * c.block * widths[b] * c.H + NR]();
        for (int p = 0; p < FEEDS + GROUPS; p++)
            if (c.matrix(p).gradient) outer[p].open(c.matrix(p), c.steps * c.block, share + c.share(p));
    }
    ~Behind() {
        for (int b = 0; b < BUFFERS; b++) delete[] local[b];
        for (Outer& o : outer) o.close();
    }
    real* at(int i, int64_t t, int64_t first, int64_t m) const {
        const Slot s = slots[i];
        if (!local[s.buffer]) return c.term(buffers, i, t, first + m);
        return local[s.buffer] + ((t % c.steps * c.block + m) * s.width + s.slot) * c.H;
    }
    void follow(real** turned, int64_t t, int64_t first, int64_t rows) {  // the chunk that begins at t
        const int64_t times = c.T - t < c.steps ? c.T - t : c.steps;
        for (int f = 0; f < FEEDS; f++) {
            const int64_t K = c.depth[f], N = widths[f] * c.H, next = c.B * K;
            real* to = onto[f] < 0 ? c.d_inputs[f] : buffers[onto[f]];
            if (!local[f] || !to) continue;
            to += (t * c.B + first) * K;
            if (few(K))
                for (int64_t i = 0; i < times; i++)
                    product_of_few(rows, N, K, local[f] + i * c.block * N, turned[f], onto[f] < 0, to + i * next);
            else product(rows, K, N, local[f], N, turned[f], onto[f] < 0 ? nullptr : to, K, to, K, times, {c.block * N, next, next});
        }
        for (int p = 0; p < FEEDS + GROUPS; p++) {
            if (!outer[p].share) continue;
            auto argument = [&](int64_t r) -> const real* {
                const int64_t at = t + r / rows, row = first + r % rows;
                if (p < FEEDS) return c.inputs[p] + (at * c.B + row) * c.depth[p];
                const Group& group = groups[p - FEEDS];
                return group.computed < 0 ? c.before(group.state, at, row) : c.arguments[group.computed] + (at * c.B + row) * c.H;
            };
            if (p < FEEDS && outer[p].narrow()) {
                const int64_t N = widths[p] * c.H;
                for (int64_t i = 0; i < times; i++)
                    outer[p].add(rows, [&](int64_t r) { return argument(i * rows + r); }, local[p] + i * c.block * N);
                continue;
            }
            outer[p].add(times * rows, c.H, argument, [&](int64_t k, int64_t r) -> const real* {
                if (p < FEEDS) return local[p] + ((r / rows * c.block + r % rows) * widths[p] + k) * c.H;
                return at(groups[p - FEEDS].terms[k], t + r / rows, first, r % rows);
            });
        }
    }
};

struct Around {  // a row for each stencil, with zeros beyond both of its ends, to sum over neighbours ahead (SIGN 1) or behind (-1)
    const Call& c;
    const int64_t width;
    real* const values;
    Around(const Call& c) : c(c), width(round_up(c.H + 2 * c.reach + VL, VL)), values(new real[NEARS * width + 1]()) {}
    ~Around() { delete[] values; }
    real* at(int n, int64_t j) const { return values + n * width + c.reach + j; }
    void fill(int64_t t, int64_t row) const {
        for (int n = 0; n < NEARS; n++) __builtin_memcpy(at(n, 0), c.before(nears[n].state, t, row), c.H * sizeof(real));
    }
    template <int SIGN> V sum(int n, const real* weights, int64_t j) const {
        V total = {};
        const int64_t* offsets = c.offsets + nears[n].first;
        for (int k = 0; k < nears[n].taps; k++) total += load(weights + k * c.H + j, c.H - j) * load(at(n, j + SIGN * offsets[k]), VL);
        return total;
    }
};
