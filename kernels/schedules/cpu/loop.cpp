// The time loop on a CPU, forward and backward, for any plan. `generate_source` inserts before this file: `real`; STATES, TERMS,
// PROJECTIONS, GROUPS, COMPUTED, STENCILS, VECTORS, BUFFERS; the tables `slots`, `groups` and `stencil_inputs`; a struct Step, and one
// for each stage that computes operands, with the function (`evaluate`), its `adjoint` and its `inputs`; with_stage(), which finds a
// stage by number; and vector.h, product.h, checksum.h, outer.h and thread.h.
//
// Each thread runs whole sequences for a block of rows, or some units of all rows (`Team`). Matrices that aren't packed yet are packed first. The input projections are computed
// PROJECTION_CHUNK_STEPS steps ahead of the loop: their rows are still in the cache when the steps read them, and unless they are saved
// they are never all in memory. In the backward pass the gradients of the projections are computed after each chunk of `chunk_steps`
// steps: the gradients of the terms of that chunk are still in the cache, and are never all in memory either.

}  // closes the anonymous namespace that generate_source() opened

// Returns 1, and computes nothing, if the panels are of other weights.
extern "C" int64_t forward(const PassArguments* pass) {
    const PassArguments& c = *pass;
    const int64_t H = c.H, total_rows = c.row_starts[c.T];
    if (c.is_stale()) return 1;
    for (int s = 0; s < STATES; s++) advise_huge_pages(c.history[s], c.keeps[s] * total_rows * H * sizeof(real));
    for (int f = 0; f < PROJECTIONS; f++)
        if (c.projection_weights[f] && c.hoisted[f]) advise_huge_pages(c.hoisted[f], total_rows * widths[f] * H * sizeof(real));
    Barrier barrier;
#pragma omp parallel num_threads(c.count_threads())
    {
        c.pack_matrices();
        Team team = c.make_team(barrier);
        real* own = new real[c.rows_per_block * (c.total_width() + (c.unit_starts ? 0 : (COMPUTED + 1) * H)) + 1]();
        Scratch products(c, own);
        StencilRows stencil_rows(c);
        real* arguments = c.unit_starts ? c.scratch : own + c.rows_per_block * c.total_width();
        real* rows_between = new real[ROWS * round_up(H, VL) + 1];
        ProjectionRows projection_rows(c, c.hoisted, PROJECTION_CHUNK_STEPS);

        // destination_of(k, m, copy): where to store result k of row m, and in `copy` where to store it a second time, or null.
        auto pointwise = [&](auto function, int64_t t, int64_t first, int64_t rows, auto destination_of) {
            using F = decltype(function);
            for (int64_t m = 0; m < rows; m++) {
                const real *source[F::count] = {}, *addend[F::count] = {};
                real *saved_term[F::count] = {}, *destination[F::outputs], *second_destination[F::outputs];
#pragma GCC unroll 64
                for (int k = 0; k < F::count; k++) {
                    const Leaf leaf = F::inputs[k];
                    if (leaf.kind == STATE) source[k] = c.previous_state(leaf.index, t, first + m);
                    if (leaf.kind == VECTOR) source[k] = c.vectors[leaf.index];
                    if (leaf.kind != TERM) continue;
                    const Slot slot = slots[leaf.index];
                    if (slot.hoisted) source[k] = projection_rows.at(leaf.index, t, first, m);
                    if (slot.product) addend[k] = products.at(m, products.column[leaf.index]);
                    if (slot.product && c.terms && F::is_step) saved_term[k] = c.term(c.terms, leaf.index, t, first + m);
                }
                for (int k = 0; k < F::outputs; k++) destination[k] = destination_of(k, m, &second_destination[k]);
                if (F::is_step) stencil_rows.load_row(t, first + m);
                run_passes<typename F::Evaluate>(team.units.from, team.units.to, rows_between, [&](int64_t j, auto remaining, V* in) {
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        const bool term = leaf.kind == TERM;
                        if (leaf.kind == STENCIL) in[k] = stencil_rows.sum<1>(leaf.index, c.taps[leaf.index], j);
                        else in[k] = !term || slots[leaf.index].hoisted ? load(source[k] + j, remaining) : V{};
                        if (term && slots[leaf.index].product) in[k] += load(addend[k] + j, remaining);
                    }
                }, [&](int64_t j, auto remaining, const V* in, const V* out) {
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++)
                        if (saved_term[k]) store(saved_term[k] + j, in[k], remaining);
#pragma GCC unroll 64
                    for (int k = 0; k < F::outputs; k++) {
                        store(destination[k] + j, out[k], remaining);
                        if (!F::is_step && second_destination[k]) store(second_destination[k] + j, out[k], remaining);
                    }
                });
            }
        };

        for (int64_t block = team.block; block < team.last_block; block++) {
            const int64_t first = c.block_starts[block], last = c.block_starts[block + 1];
            for (int64_t t = 0; t < c.T; t++) {
                const int64_t rows = c.count_rows(t, first, last);
                if (!rows) break;
                if (t % PROJECTION_CHUNK_STEPS == 0) projection_rows.compute(t, first, last, team.units);
                for (int g = 0; g < GROUPS; g++) {
                    const Group& group = groups[g];
                    if (group.runs_stage_function) with_stage(group.stage, [&](auto stage) {
                        pointwise(stage, t, first, rows, [&](int k, int64_t m, real** copy) {
                            const int n = group.computed + k;
                            *copy = c.arguments ? c.arguments[n] + (c.row_starts[t] + first + m) * H : nullptr;
                            return arguments + (n * c.rows_per_block + m) * H;
                        });
                        team.wait();
                    });
                    const real* a =
                        group.computed < 0 ? c.previous_state(group.state, t, first) : arguments + group.computed * c.rows_per_block * H;
                    c.multiply(g, rows, team.units, a, products.at(0, products.start[g]), products.width);
                }
                pointwise(Step{}, t, first, rows, [&](int k, int64_t m, real**) { return c.after(k, t, first + m); });
                if (!GROUPS) continue;  // no unit reads another one
                team.wait();
                if (!team.goes_on([&] { if (t + 1 < c.T) projection_rows.compute(t + 1, first, last, team.units); })) break;
            }
            if (!GROUPS) team.wait();
            for (int s = 0; s < STATES && !(team.shares_units && team.me); s++)
                if (c.finals[s]) __builtin_memcpy(c.finals[s] + first * H, c.after(s, c.T - 1, first), (last - first) * H * sizeof(real));
        }
        delete[] own;
        delete[] rows_between;
    }
    return 0;
}

// A sequence may end before the others: the sequences are sorted by length, longest first, and step t has rows of those that reach it.
//
// dy: (T, B, H) or null. d_states: (B, H) each; the gradients of the final states on entry, and of the initial states on return.
// d_buffers: the gradients of the terms, (T, B, G, H) each, null for a buffer that is not returned. d_vectors: (blocks, H) each, a partial
// sum for every block of rows.
extern "C" void backward(const PassArguments* pass, const real* dy, real** d_states, real** d_buffers, real** d_vectors) {
    const PassArguments& c = *pass;
    const int64_t H = c.H, total_rows = c.row_starts[c.T];
    for (int b = 0; b < BUFFERS; b++) advise_huge_pages(d_buffers[b], total_rows * widths[b] * H * sizeof(real));
    for (int f = 0; f < PROJECTIONS; f++) advise_huge_pages(c.d_inputs[f], total_rows * c.projection_sizes[f] * sizeof(real));
    Barrier barrier;
#pragma omp parallel num_threads(c.count_threads())
    {
        c.pack_matrices();
        Team team = c.make_team(barrier);
        ProjectionRows projection_rows(c, c.terms, c.chunk_steps);
        TermGradients term_gradients(c, d_buffers, c.partial_sums + omp_get_thread_num() * c.partial_sums_size());
        real* own = c.unit_starts ? nullptr : new real[c.scratch_size()]();
        real* block_d_states = own ? own : c.scratch;
        real* d_arguments = block_d_states + STATES * c.rows_per_block * H;
        real* d_vector = d_arguments + (COMPUTED + 1) * c.rows_per_block * H;  // summed per chunk, then over chunks: that loses less to rounding
        real* two_steps = d_vector + (VECTORS + 1) * H;
        Scratch d_products(c, two_steps);
        real* rows_between = new real[ROWS * round_up(H, VL) + 1];
        StencilRows stencil_rows(c), d_stencil_rows(c);
        auto d_state = [&](int s, int64_t m) { return block_d_states + (s * c.rows_per_block + m) * H; };

        // The adjoint of the step runs first and overwrites the gradient of every leaf; the adjoint of a stage adds to it.
        // upstream(k, m, second): the gradient of result k of row m, and in `second` a second gradient to add, or null.
        auto adjoint = [&](auto function, int64_t t, int64_t first, int64_t rows, auto upstream) {
            using F = decltype(function);
            for (int64_t m = 0; m < rows; m++) {
                const real *source[F::count] = {}, *upstream_gradient[F::outputs], *second_gradient[F::outputs];
                real *destination[F::count] = {}, *product_destination[F::count] = {};
#pragma GCC unroll 64
                for (int k = 0; k < F::count; k++) {
                    const Leaf leaf = F::inputs[k];
                    if (leaf.kind == STATE) source[k] = c.previous_state(leaf.index, t, first + m), destination[k] = d_state(leaf.index, m);
                    if (leaf.kind == VECTOR) source[k] = c.vectors[leaf.index], destination[k] = d_vector + leaf.index * H;
                    if (leaf.kind == STENCIL) destination[k] = d_stencil_rows.at(leaf.index, 0);
                    if (leaf.kind != TERM) continue;
                    source[k] = projection_rows.at(leaf.index, t, first, m), destination[k] = term_gradients.at(leaf.index, t, first, m);
                    if (slots[leaf.index].product) product_destination[k] = d_products.at(m, d_products.column[leaf.index]);
                }
                for (int k = 0; k < F::outputs; k++) upstream_gradient[k] = upstream(k, m, &second_gradient[k]);
                if (F::is_step) stencil_rows.load_row(t, first + m);
                run_passes<typename F::Adjoint>(team.units.from, team.units.to, rows_between, [&](int64_t j, auto remaining, V* in) {
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        if (leaf.kind == STENCIL) in[k] = stencil_rows.sum<1>(leaf.index, c.taps[leaf.index], j);
                        else in[k] = load(source[k] + j, remaining);
                    }
#pragma GCC unroll 64
                    for (int k = 0; k < F::outputs; k++) {
                        in[F::count + k] = load(upstream_gradient[k] + j, remaining);
                        if (F::is_step && k == 0 && second_gradient[k]) in[F::count + k] += load(second_gradient[k] + j, remaining);
                    }
                }, [&](int64_t j, auto remaining, const V*, const V* out) {
#pragma GCC unroll 64
                    for (int k = 0; k < F::count; k++) {
                        const Leaf leaf = F::inputs[k];
                        auto add = [&](real* at, bool overwrite) {
                            store(at + j, overwrite ? out[k] : out[k] + load(at + j, remaining), remaining);
                        };
                        add(destination[k], leaf.kind == STENCIL || (leaf.kind != VECTOR && F::is_step));
                        if (leaf.kind == TERM && slots[leaf.index].product) add(product_destination[k], F::is_step);
                    }
                });
                for (int n = 0; n < STENCILS && F::is_step; n++)
                    for_each_vector(0, H, [&](int64_t j, auto remaining) {
                        real* at = d_state(stencil_inputs[n].state, m) + j;
                        store(at, load(at, remaining) + d_stencil_rows.sum<-1>(n, c.transposed_taps[n], j), remaining);
                    });
            }
        };

        for (int64_t block = team.block; block < team.last_block; block++) {
            const int64_t first = c.block_starts[block], last = c.block_starts[block + 1];
            auto copy_states = [&](auto copy) {
                for (int s = 0; s < STATES; s++)
                    for (int64_t m = 0; m < last - first; m++)
                        copy(d_state(s, m) + team.units.from, d_states[s] + (first + m) * H + team.units.from,
                             (team.units.to - team.units.from) * sizeof(real));
            };
            copy_states([](real* here, const real* there, int64_t bytes) { __builtin_memcpy(here, there, bytes); });
            bool goes_on = true;
            for (int64_t t = c.T - 1; t >= 0 && goes_on; t--) {  // a sequence that has ended at t keeps the gradient of its final states until its last step
                const int64_t rows = c.count_rows(t, first, last);
                auto compute_projections = [&] { projection_rows.compute(t / c.chunk_steps * c.chunk_steps, first, last, team.units); };
                if (t == c.T - 1 || (t + 1) % c.chunk_steps == 0) compute_projections();
                d_products.values = two_steps + t % 2 * c.rows_per_block * d_products.width;  // a thread may still read those of step t + 1
                adjoint(Step{}, t, first, rows, [&](int s, int64_t m, const real** second) {
                    *second = s == 0 && dy ? dy + (c.row_starts[t] + first + m) * H : nullptr;
                    return d_state(s, m);
                });
                for (int g = GROUPS - 1; g >= 0; g--) {
                    const Group& group = groups[g];
                    if (g == GROUPS - 1 || group.stage != groups[g + 1].stage) team.wait();
                    if (!(goes_on = team.goes_on(compute_projections))) break;
                    real* out = group.computed < 0 ? d_state(group.state, 0) : d_arguments + group.computed * c.rows_per_block * H;
                    const real* base = group.computed < 0 ? out : nullptr;
                    c.multiply_transposed(g, rows, team.units, d_products.at(0, d_products.start[g]), d_products.width, base, out);
                    if (group.runs_stage_function) with_stage(group.stage, [&](auto stage) {
                        adjoint(stage, t, first, rows, [&](int k, int64_t m, const real**) {
                            return d_arguments + ((group.computed + k) * c.rows_per_block + m) * H;
                        });
                    });
                }
                if (t % c.chunk_steps || !goes_on) continue;
                term_gradients.add_weight_gradients(t, first, last);
                for (int v = 0; v < VECTORS; v++)
                    for_each_vector(team.units.from, team.units.to, [&](int64_t j, auto remaining) {
                        real *sum = d_vector + v * H + j, *total = d_vectors[v] + block * H + j;
                        store(total, load(total, remaining) + load(sum, remaining), remaining);
                        store(sum, V{}, remaining);
                    });
            }
            if (goes_on) copy_states([](const real* here, real* there, int64_t bytes) { __builtin_memcpy(there, here, bytes); });
        }
#pragma omp barrier
        for (int p = 0; p < PROJECTIONS + GROUPS; p++)
            for (int64_t e = 0; c.weight_gradient(p).gradient && e < c.weight_gradient(p).heads; e++)
                reduce_partial_sums(c.weight_gradient(p), e, c.partial_sums + c.partial_sums_offset(p) + e * c.weight_gradient(p).head_size(),
                                    c.partial_sums_size(), omp_get_num_threads());
        delete[] own;
        delete[] rows_between;
    }
}

extern "C" int64_t partial_sums_size(const PassArguments* pass) { return pass->partial_sums_size(); }
extern "C" int64_t scratch_size(const PassArguments* pass) { return pass->scratch_size(); }
