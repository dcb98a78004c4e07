// The arguments of a pass, and the buffers that each thread has for itself. `generate_source` inserts this file after outer.h and before
// loop.cpp.

struct PassArguments {  // of a forward or backward pass, in the order of `PassArguments` in pass_arguments.py
    int64_t T, H, rows_per_block, threads, max_offset, chunk_steps, blocks, patience, allowance, watched_count, turn;
    const int64_t* row_starts;       // (T + 1): the first row of each step in every tensor with rows (T, B, ·), and their number. Step t has
                                     // the rows of the first row_starts[t + 1] - row_starts[t] sequences
    const int64_t* block_starts;     // (blocks + 1): the first sequence of each block, and B
    const int64_t* unit_starts;      // (threads + 1): the first unit of each thread, and H; null if threads share the blocks. Then all of
                                     // `scratch` is theirs together, and states that products read are kept after every step
    const int64_t* heads;            // the diagonal blocks of each group's matrices; 1 if they have none
    const real** inputs;             // the input of each projection, (T, B, K)
    const int64_t* projection_sizes; // its K
    const real** projection_weights; // its weight (G·H, K); null if `hoisted` holds the projected rows
    const real** projection_bias;    // its bias (G·H), or null
    real** hoisted;         // the hoisted parts of the terms, (T, B, G, H) for each buffer; null for a projection that is not saved
    real** terms;           // the complete terms in the same layout; null if no terms, or not those of a buffer, are saved
    const real** vectors;   // (H) each
    const real** weights;   // (P·H, H / heads) for each group: a row of a block
    const real** initial;   // (B, H) for each state
    real** history;         // the states after each step
    const int64_t* keeps;   // whether `history` has the states after every step (1), or only the last (0)
    real** arguments;       // (T, B, H) for each computed argument, or null
    const int64_t* offsets; // the neighbours of all stencils, concatenated; their absolute values are at most `max_offset`
    const real **taps, **transposed_taps; // the weights (taps, H) of each stencil and of its transpose
    real **d_inputs, **d_projection_weights, **d_projection_bias, **d_weights; // backward: where to write gradients, or null
    real** finals;          // forward: where to copy each final state (B, H), or null; only for rows that aren't packed
    void** panels;          // the matrices as products read them, of the groups and the projections, then the transposed ones; null where unused
    const int64_t* unpacked; // which of them to pack first
    const char** watched;   // the parameters that the panels were made from
    const int64_t* watched_sizes;  // their rows, the bytes of a row, and the phases of their checksums
    Checksum** checksums;   // compared if `turn`, the number of the call, is at least 0; else taken
    real* partial_sums;     // backward: the threads' partial sums of weight gradients, partial_sums_size() elements each
    real* scratch;          // scratch_size() elements, if threads share units

    int64_t group_width(int g) const { return groups[g].count * H; }
    int64_t total_width() const {
        int64_t sum = 0;
        for (int g = 0; g < GROUPS; g++) sum += group_width(g);
        return sum;
    }
    int64_t scratch_size() const { return rows_per_block * ((STATES + COMPUTED + 1) * H + 2 * total_width()) + (VECTORS + 1) * H; }
    Team make_team(Barrier& barrier) const { return {barrier, H, patience, allowance, unit_starts, threads, blocks}; }
    int64_t count_threads() const {  // those to start
        return unit_starts && __atomic_load_n(&alone_until, __ATOMIC_RELAXED) > read_clock() ? 1 : threads;
    }
    const void* group_panels(int g, bool transposed) const { return panels[g + transposed * (GROUPS + PROJECTIONS)]; }
    const void* projection_panels(int f, bool transposed) const { return panels[GROUPS + f + transposed * (GROUPS + PROJECTIONS)]; }
    Watched watched_at(int64_t i) const {
        return {watched[i], watched_sizes[3 * i], watched_sizes[3 * i + 1], watched_sizes[3 * i + 2], checksums[i]};
    }
    bool is_stale() const {  // whether a parameter has changed since the panels were packed, as far as this call looks
        if (turn >= 0)
            for (int64_t i = 0; i < watched_count; i++)
                if (!watched_at(i).agrees(turn % watched_at(i).phases)) return true;
        return false;
    }
    void pack_matrices() const {  // by all threads: those that are not packed yet
        for (int i = 0; i < 2 * (GROUPS + PROJECTIONS); i++) {
            if (!unpacked[i]) continue;
            const int p = i % (GROUPS + PROJECTIONS), f = p - GROUPS;
            const int64_t N = f < 0 ? group_width(p) : widths[f] * H, K = f < 0 ? H : projection_sizes[f];
            const real* matrix = f < 0 ? weights[p] : projection_weights[f];
            if (f < 0 && heads[p] > 1) pack_blocks(p, i != p);
            else if (i == p) pack(false, N, K, matrix, K, panels[i]);
            else if (f >= 0 && has_few_columns(K)) transpose(N, K, (real*)panels[i], matrix);
            else pack(true, K, N, matrix, K, panels[i]);
        }
        if (turn >= 0) return;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < watched_count; i++) watched_at(i).take();
    }
    int64_t block_size(int g) const { return H / heads[g]; }
    int64_t block_bytes(int g) const { return packed_bytes(round_up(block_size(g), NR), block_size(g)); }
    void pack_blocks(int g, bool transposed) const {
        const int64_t n = block_size(g);
        for (int64_t b = 0; b < groups[g].count * heads[g]; b++)
            pack(transposed, n, n, weights[g] + b * n * n, n, (char*)panels[g + transposed * (GROUPS + PROJECTIONS)] + b * block_bytes(g));
    }
    // Calls body(e, from, to) for each head with units of a thread, which are `from` to `to` of the head.
    template <class Body> void for_each_head(int g, Units units, Body body) const {
        const int64_t n = block_size(g);
        for (int64_t e = units.from / n; e * n < units.to; e++)
            body(e, units.from > e * n ? units.from - e * n : 0, units.to < (e + 1) * n ? units.to - e * n : n);
    }
    // out (rows, P·H) = a (rows, H) times the matrices of a group, for the terms of some units; up to a panel's columns before them too.
    void multiply(int g, int64_t rows, Units units, const real* a, real* out, int64_t stride) const {
        const int64_t n = block_size(g), P = groups[g].count;
        if (heads[g] == 1 && units.to - units.from == H) product(rows, {0, P * H}, H, a, H, group_panels(g, false), nullptr, 0, out, stride);
        else if (heads[g] == 1)
            for (int64_t p = 0; p < P; p++)
                product(rows, {p * H + units.from, p * H + units.to}, H, a, H, group_panels(g, false), nullptr, 0, out, stride);
        else for_each_head(g, units, [&](int64_t e, int64_t from, int64_t to) {
            for (int64_t p = 0; p < P; p++)
                product(rows, {from, to}, n, a + e * n, H, (const char*)group_panels(g, false) + (p * heads[g] + e) * block_bytes(g), nullptr,
                        0, out + p * H + e * n, stride);
        });
    }
    // out (rows, H) = base + d (rows, P·H) times the transposed matrices of a group, for some units.
    void multiply_transposed(int g, int64_t rows, Units units, const real* d, int64_t stride, const real* base, real* out) const {
        const int64_t n = block_size(g), P = groups[g].count;
        if (heads[g] == 1) return product(rows, {units.from, units.to}, P * H, d, stride, group_panels(g, true), base, H, out, H);
        for_each_head(g, units, [&](int64_t e, int64_t from, int64_t to) {
            for (int64_t p = 0; p < P; p++) {
                const real* add = p ? out : base;
                product(rows, {from, to}, n, d + p * H + e * n, stride, (const char*)group_panels(g, true) + (p * heads[g] + e) * block_bytes(g),
                        add ? add + e * n : nullptr, H, out + e * n, H);
            }
        });
    }
    WeightGradient weight_gradient(int p) const {  // the p-th weight: first those of the projections, then those of the groups
        if (p < PROJECTIONS)
            return {widths[p] * H, projection_sizes[p], d_projection_bias[p] != nullptr, d_projection_weights[p], d_projection_bias[p], 1,
                    widths[p] * H, 0};
        const int g = p - PROJECTIONS;
        return {groups[g].count * block_size(g), block_size(g), false, d_weights[g], nullptr, heads[g], block_size(g), H};
    }
    int64_t partial_sums_offset(int p) const {  // of the p-th weight gradient in a thread's partial sums
        int64_t sum = 0;
        for (int q = 0; q < p; q++) sum += weight_gradient(q).gradient ? weight_gradient(q).size() : 0;
        return sum;
    }
    int64_t partial_sums_size() const { return partial_sums_offset(PROJECTIONS + GROUPS); }  // elements of a thread's partial sums
    real* term(real** of, int i, int64_t t, int64_t row) const {
        return of[slots[i].buffer] + ((row_starts[t] + row) * slots[i].width + slots[i].slot) * H;
    }
    const real* previous_state(int s, int64_t t, int64_t row) const { return t ? after(s, t - 1, row) : initial[s] + row * H; }
    real* after(int s, int64_t t, int64_t row) const { return history[s] + (keeps[s] * row_starts[t] + row) * H; }
    int64_t count_sequences(int64_t t) const { return row_starts[t + 1] - row_starts[t]; }  // at step t
    int64_t count_rows(int64_t t, int64_t first, int64_t last) const {  // of the block of sequences [first, last) at step t
        const int64_t count = count_sequences(t);
        return count < first ? 0 : (count < last ? count : last) - first;
    }
};

// Calls body(t, steps, rows) for each run of steps in [t, end) in which the block [first, last) has equally many rows, equally far apart.
template <class Body> static void for_each_rectangle(const PassArguments& c, int64_t t, int64_t end, int64_t first, int64_t last, Body body) {
    for (int64_t steps; t < end; t += steps) {
        for (steps = 1; t + steps < end && c.count_sequences(t + steps) == c.count_sequences(t);) steps++;
        if (const int64_t rows = c.count_rows(t, first, last)) body(t, steps, rows);
    }
}

struct Scratch {  // recurrent products of a step, or their gradients: the groups side by side
    int64_t width = 0, column[TERMS], start[GROUPS + 1];
    real* values;
    Scratch(const PassArguments& c, real* values) : values(values) {
        for (int g = 0; g < GROUPS; g++) {
            start[g] = width;
            for (int k = 0; k < groups[g].count; k++) column[groups[g].terms[k]] = width + k * c.H;
            width += c.group_width(g);
        }
    }
    real* at(int64_t m, int64_t n) const { return values + m * width + n; }
};

struct ProjectionRows {  // computes projections for `chunk_steps` steps; a thread's buffer holds those that are not saved, or share units
    const PassArguments& c;
    real** const kept;
    const int64_t chunk_steps;
    real* local[PROJECTIONS + 1];
    ProjectionRows(const PassArguments& c, real** kept, int64_t chunk_steps) : c(c), kept(kept), chunk_steps(chunk_steps) {
        for (int f = 0; f < PROJECTIONS; f++)
            local[f] = kept && kept[f] && !(c.unit_starts && c.projection_panels(f, false))
                           ? nullptr : new real[chunk_steps * c.rows_per_block * widths[f] * c.H];
    }
    ~ProjectionRows() { for (int f = 0; f < PROJECTIONS; f++) delete[] local[f]; }
    // For the steps from t to the end of its chunk.
    void compute(int64_t t, int64_t first, int64_t last, Units units) const {
        const int64_t after = (t / chunk_steps + 1) * chunk_steps, end = c.T < after ? c.T : after;
        for (int f = 0; f < PROJECTIONS; f++)
            if (c.projection_panels(f, false)) for_each_rectangle(c, t, end, first, last, [&](int64_t t, int64_t times, int64_t rows) {
                const int64_t K = c.projection_sizes[f], N = widths[f] * c.H, row = c.row_starts[t] + first;
                real* out = local[f] ? local[f] + t % chunk_steps * c.rows_per_block * N : kept[f] + row * N;
                const Strides strides = {c.count_sequences(t) * K, 0, (local[f] ? c.rows_per_block : c.count_sequences(t)) * N};
                auto multiply = [&](int64_t from, int64_t to) {
                    product(rows, {from, to}, K, c.inputs[f] + row * K, K, c.projection_panels(f, false), c.projection_bias[f], 0, out, N, times,
                            strides);
                };
                if (units.to - units.from == c.H) multiply(0, N);
                else for (int64_t p = 0; p < widths[f]; p++) multiply(p * c.H + units.from, p * c.H + units.to);
                if (local[f] && kept && kept[f]) save(f, t, times, first, rows, units);
            });
    }
    void save(int f, int64_t t, int64_t times, int64_t first, int64_t rows, Units units) const {  // a thread's units alone
        for (int64_t s = t; s < t + times; s++)
            for (int64_t m = 0; m < rows; m++)
                for (int64_t p = 0; p < widths[f]; p++)
                    __builtin_memcpy(kept[f] + ((c.row_starts[s] + first + m) * widths[f] + p) * c.H + units.from,
                                     local[f] + ((s % chunk_steps * c.rows_per_block + m) * widths[f] + p) * c.H + units.from,
                                     (units.to - units.from) * sizeof(real));
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
    struct Row { int64_t t, m; }* rows;  // the step and the row in the block of each row of a chunk
    real* const partial_sums;
    OuterProducts outer[PROJECTIONS + GROUPS + 1];
    real* sums_of(int p) const { return partial_sums + c.partial_sums_offset(p); }
    TermGradients(const PassArguments& c, real** buffers, real* partial_sums) : c(c), buffers(buffers), partial_sums(partial_sums) {
        for (int b = 0; b < BUFFERS; b++)
            local[b] = buffers[b] ? nullptr : new real[c.chunk_steps * c.rows_per_block * widths[b] * c.H + NR]();
        rows = new Row[c.chunk_steps * c.rows_per_block];
        for (int p = 0; p < PROJECTIONS + GROUPS; p++)
            if (c.weight_gradient(p).gradient)
                outer[p].allocate(c.weight_gradient(p), c.chunk_steps * c.rows_per_block, sums_of(p));
    }
    ~TermGradients() {
        for (int b = 0; b < BUFFERS; b++) delete[] local[b];
        for (OuterProducts& o : outer) o.release();
        delete[] rows;
    }
    real* at(int i, int64_t t, int64_t first, int64_t m) const {
        const Slot s = slots[i];
        if (!local[s.buffer]) return c.term(buffers, i, t, first + m);
        return local[s.buffer] + ((t % c.chunk_steps * c.rows_per_block + m) * s.width + s.slot) * c.H;
    }
    // Computes the gradients of the inputs, and accumulates those of the weights, from the chunk that begins at t.
    void add_weight_gradients(int64_t t, int64_t first, int64_t last) {
        const int64_t end = c.T - t < c.chunk_steps ? c.T : t + c.chunk_steps;
        for (int f = 0; f < PROJECTIONS; f++)
            for_each_rectangle(c, t, end, first, last, [&](int64_t t, int64_t times, int64_t rows) {
                add_input_gradients(f, c.projection_panels(f, true), t, times, first, rows);
            });
        int64_t count = 0;
        for (int64_t s = t; s < end; s++)
            for (int64_t m = 0; m < c.count_rows(s, first, last); m++) rows[count++] = {s, m};
        for (int p = 0; p < PROJECTIONS + GROUPS; p++) {
            if (!outer[p].partial_sum) continue;
            auto argument = [&](int64_t r) -> const real* {
                const int64_t t = rows[r].t, row = first + rows[r].m;
                if (p < PROJECTIONS) return c.inputs[p] + (c.row_starts[t] + row) * c.projection_sizes[p];
                const Group& group = groups[p - PROJECTIONS];
                if (group.computed < 0) return c.previous_state(group.state, t, row);
                return c.arguments[group.computed] + (c.row_starts[t] + row) * c.H;
            };
            if (p < PROJECTIONS && outer[p].fits_one_tile()) {
                for (int64_t r = 0, here; r < count; r += here) {  // step by step, whose rows are side by side
                    for (here = 1; r + here < count && rows[r + here].t == rows[r].t;) here++;
                    outer[p].add(here, [&](int64_t k) { return argument(r + k); }, local_row(p, rows[r]));
                }
                continue;
            }
            const WeightGradient to = c.weight_gradient(p);
            for (int64_t e = 0; e < to.heads; e++) {
                outer[p].partial_sum = sums_of(p) + e * to.head_size();
                outer[p].add(count, p < PROJECTIONS ? c.H : to.K, [&](int64_t r) { return argument(r) + e * to.K; },
                             [&](int64_t k, int64_t r) -> const real* {
                    if (p < PROJECTIONS) return local_row(p, rows[r]) + k * c.H;
                    return at(groups[p - PROJECTIONS].terms[k], rows[r].t, first, rows[r].m) + e * to.K;
                });
            }
        }
    }
    real* local_row(int b, Row row) const {
        return local[b] + (row.t % c.chunk_steps * c.rows_per_block + row.m) * widths[b] * c.H;
    }
    void add_input_gradients(int f, const void* weight, int64_t t, int64_t times, int64_t first, int64_t rows) const {
        const int64_t K = c.projection_sizes[f], N = widths[f] * c.H, stride = c.count_sequences(t) * K, local_stride = c.rows_per_block * N;
        const bool overwrite = value_buffers[f] < 0;
        real* to = overwrite ? c.d_inputs[f] : buffers[value_buffers[f]];
        if (!local[f] || !to) return;
        to += (c.row_starts[t] + first) * K;
        const real* from = local_row(f, {t, 0});
        if (has_few_columns(K))
            for (int64_t i = 0; i < times; i++) narrow_product(rows, N, K, from + i * local_stride, (const real*)weight, overwrite, to + i * stride);
        else
            product(rows, {0, K}, N, from, N, weight, overwrite ? nullptr : to, K, to, K, times, {local_stride, stride, stride});
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
