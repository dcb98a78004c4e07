// The arguments of a pass, and the buffers that each thread has for itself. `generate_source` inserts this file after outer.h and before
// loop.cpp.

struct PassArguments {  // of a forward or backward pass, in the order of `PassArguments` in compiled.py
    int64_t T, B, H, rows_per_block, threads, max_offset, chunk_steps;
    const real** inputs;             // the input of each projection, (T, B, K)
    const int64_t* projection_sizes; // its K
    const real** projection_weights; // its weight (G·H, K); null if `hoisted` holds the projected rows
    const real** projection_bias;    // its bias (G·H), or null
    real** hoisted;         // the hoisted parts of the terms, (T, B, G, H) for each buffer; null for a projection that is not saved
    real** terms;           // the complete terms in the same layout; null if no terms, or not those of a buffer, are saved
    const real** vectors;   // (H) each
    const real** weights;   // (P·H, H) for each group
    const real** initial;   // (B, H) for each state
    real** history;         // the states after each step
    const int64_t* stride;  // elements between time steps in `history`: B·H, or 0 if only the last step is kept
    real** arguments;       // (T, B, H) for each computed argument, or null
    const int64_t* offsets; // the neighbours of all stencils, concatenated; their absolute values are at most `max_offset`
    const real **taps, **transposed_taps; // the weights (taps, H) of each stencil and of its transpose
    real **d_inputs, **d_projection_weights, **d_projection_bias, **d_weights; // backward: where to write gradients, or null
    real* partial_sums;     // backward: the threads' partial sums of weight gradients, partial_sums_size() elements each

    int64_t group_width(int g) const { return groups[g].count * H; }
    WeightGradient weight_gradient(int p) const {  // the p-th weight: first those of the projections, then those of the groups
        if (p >= PROJECTIONS) return {group_width(p - PROJECTIONS), H, false, d_weights[p - PROJECTIONS], nullptr};
        return {widths[p] * H, projection_sizes[p], d_projection_bias[p] != nullptr, d_projection_weights[p], d_projection_bias[p]};
    }
    int64_t partial_sums_offset(int p) const {  // of the p-th weight gradient in a thread's partial sums
        int64_t sum = 0;
        for (int q = 0; q < p; q++) sum += weight_gradient(q).gradient ? weight_gradient(q).size() : 0;
        return sum;
    }
    int64_t partial_sums_size() const { return partial_sums_offset(PROJECTIONS + GROUPS); }  // elements of a thread's partial sums
    real* term(real** of, int i, int64_t t, int64_t row) const {
        return of[slots[i].buffer] + ((t * B + row) * slots[i].width + slots[i].slot) * H;
    }
    const real* previous_state(int s, int64_t t, int64_t row) const { return t ? after(s, t - 1, row) : initial[s] + row * H; }
    real* after(int s, int64_t t, int64_t row) const { return history[s] + t * stride[s] + row * H; }
};

struct Scratch {  // one thread's recurrent products of a step, or their gradients: the groups side by side
    int64_t width = 0, column[TERMS], start[GROUPS + 1];
    real* values;
    Scratch(const PassArguments& c) {
        for (int g = 0; g < GROUPS; g++) {
            start[g] = width;
            for (int k = 0; k < groups[g].count; k++) column[groups[g].terms[k]] = width + k * c.H;
            width += c.group_width(g);
        }
        values = new real[c.rows_per_block * width + 1]();
    }
    ~Scratch() { delete[] values; }
    real* at(int64_t m, int64_t n) const { return values + m * width + n; }
};

struct ProjectionRows {  // computes projections for `chunk_steps` steps; a thread's buffer holds those that are not saved
    const PassArguments& c;
    real** const kept;
    const int64_t chunk_steps;
    real* local[PROJECTIONS + 1];
    ProjectionRows(const PassArguments& c, real** kept, int64_t chunk_steps) : c(c), kept(kept), chunk_steps(chunk_steps) {
        for (int f = 0; f < PROJECTIONS; f++)
            local[f] = kept && kept[f] ? nullptr : new real[chunk_steps * c.rows_per_block * widths[f] * c.H];
    }
    ~ProjectionRows() { for (int f = 0; f < PROJECTIONS; f++) delete[] local[f]; }
    void compute(real** packed, int64_t t, int64_t first, int64_t rows) const {
        for (int f = 0; f < PROJECTIONS; f++) {
            if (!packed[f]) continue;
            const int64_t K = c.projection_sizes[f], N = widths[f] * c.H, times = c.T - t < chunk_steps ? c.T - t : chunk_steps;
            real* out = local[f] ? local[f] : kept[f] + (t * c.B + first) * N;
            const Strides strides = {c.B * K, 0, (local[f] ? c.rows_per_block : c.B) * N};
            product(rows, N, K, c.inputs[f] + (t * c.B + first) * K, K, packed[f], c.projection_bias[f], 0, out, N, times, strides);
        }
    }
    const real* at(int i, int64_t t, int64_t first, int64_t m) const {
        const Slot s = slots[i];
        const bool is_local = s.buffer < PROJECTIONS && local[s.buffer];
        if (!is_local) return c.term(kept, i, t, first + m);
        return local[s.buffer] + ((t % chunk_steps * c.rows_per_block + m) * s.width + s.slot) * c.H;
    }
};

struct TermGradients {  // the gradients of the terms: a thread's buffer of one chunk of steps for those that are not returned
    const PassArguments& c;
    real** const buffers;
    real* local[BUFFERS + 1];
    OuterProducts outer[PROJECTIONS + GROUPS + 1];
    TermGradients(const PassArguments& c, real** buffers, real* partial_sums) : c(c), buffers(buffers) {
        for (int b = 0; b < BUFFERS; b++)
            local[b] = buffers[b] ? nullptr : new real[c.chunk_steps * c.rows_per_block * widths[b] * c.H + NR]();
        for (int p = 0; p < PROJECTIONS + GROUPS; p++)
            if (c.weight_gradient(p).gradient)
                outer[p].allocate(c.weight_gradient(p), c.chunk_steps * c.rows_per_block, partial_sums + c.partial_sums_offset(p));
    }
    ~TermGradients() {
        for (int b = 0; b < BUFFERS; b++) delete[] local[b];
        for (OuterProducts& o : outer) o.release();
    }
    real* at(int i, int64_t t, int64_t first, int64_t m) const {
        const Slot s = slots[i];
        if (!local[s.buffer]) return c.term(buffers, i, t, first + m);
        return local[s.buffer] + ((t % c.chunk_steps * c.rows_per_block + m) * s.width + s.slot) * c.H;
    }
    // Computes the gradients of the inputs, and accumulates those of the weights, from the chunk that begins at t.
    void add_weight_gradients(real** transposed_projections, int64_t t, int64_t first, int64_t rows) {
        const int64_t times = c.T - t < c.chunk_steps ? c.T - t : c.chunk_steps;
        for (int f = 0; f < PROJECTIONS; f++) {
            const int64_t K = c.projection_sizes[f], N = widths[f] * c.H, stride = c.B * K;
            real* to = value_buffers[f] < 0 ? c.d_inputs[f] : buffers[value_buffers[f]];
            if (!local[f] || !to) continue;
            to += (t * c.B + first) * K;
            const bool overwrite = value_buffers[f] < 0;
            const real* weight = transposed_projections[f];
            if (has_few_columns(K))
                for (int64_t i = 0; i < times; i++)
                    narrow_product(rows, N, K, local[f] + i * c.rows_per_block * N, weight, overwrite, to + i * stride);
            else
                product(rows, K, N, local[f], N, weight, overwrite ? nullptr : to, K, to, K, times, {c.rows_per_block * N, stride, stride});
        }
        for (int p = 0; p < PROJECTIONS + GROUPS; p++) {
            if (!outer[p].partial_sum) continue;
            auto argument = [&](int64_t r) -> const real* {
                const int64_t at = t + r / rows, row = first + r % rows;
                if (p < PROJECTIONS) return c.inputs[p] + (at * c.B + row) * c.projection_sizes[p];
                const Group& group = groups[p - PROJECTIONS];
                return group.computed < 0 ? c.previous_state(group.state, at, row) : c.arguments[group.computed] + (at * c.B + row) * c.H;
            };
            if (p < PROJECTIONS && outer[p].fits_one_tile()) {
                const int64_t N = widths[p] * c.H;
                for (int64_t i = 0; i < times; i++)
                    outer[p].add(rows, [&](int64_t r) { return argument(i * rows + r); }, local[p] + i * c.rows_per_block * N);
                continue;
            }
            outer[p].add(times * rows, c.H, argument, [&](int64_t k, int64_t r) -> const real* {
                if (p < PROJECTIONS) return local[p] + ((r / rows * c.rows_per_block + r % rows) * widths[p] + k) * c.H;
                return at(groups[p - PROJECTIONS].terms[k], t + r / rows, first, r % rows);
            });
        }
    }
};

struct StencilRows {  // one row per stencil, padded with zeros at both ends; `sum` adds up neighbours at +offset (SIGN 1) or -offset (-1)
    const PassArguments& c;
    const int64_t width;
    real* const values;
    StencilRows(const PassArguments& c)
        : c(c), width(round_up(c.H + 2 * c.max_offset + VL, VL)), values(new real[STENCILS * width + 1]()) {}
    ~StencilRows() { delete[] values; }
    real* at(int n, int64_t j) const { return values + n * width + c.max_offset + j; }
    void load_row(int64_t t, int64_t row) const {
        for (int n = 0; n < STENCILS; n++)
            __builtin_memcpy(at(n, 0), c.previous_state(stencil_inputs[n].state, t, row), c.H * sizeof(real));
    }
    template <int SIGN> V sum(int n, const real* weights, int64_t j) const {
        V total = {};
        const int64_t* offsets = c.offsets + stencil_inputs[n].first;
        for (int k = 0; k < stencil_inputs[n].taps; k++)
            total += load(weights + k * c.H + j, c.H - j) * load(at(n, j + SIGN * offsets[k]), VL);
        return total;
    }
};
