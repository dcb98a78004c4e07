"""Faults that a careful person could make, each with the tests that must find it.

A fault replaces one text of a module by another. None fails when the module is imported. The names of test files are
here alone: a file that is renamed is renamed here.
"""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: what is wrong, the module first.
        module: the path of the file.
        old: a text that is in it once.
        new: what stands there instead.
        tests: files, or tests where a file takes minutes; the fastest first.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Tells a changed row from the one that was planted; its tests may be others."""
        return digest("\0".join((self.module, self.old, self.new)))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


DERIVE = (
    Fault(
        "graph-difference-keeps-its-sign", "kernels/derive/graph.py",
        "return d, -d", "return d, d",
        ("tests/test_derive.py",),
    ),
    Fault(
        "graph-quotient-forgets-it-divided", "kernels/derive/graph.py",
        "return d / a[1], -(d / a[1] * self)", "return d / a[1], -(d / a[1] * a[0])",
        ("tests/test_derive.py",),
    ),
    Fault(
        "graph-zero-minus-is-folded", "kernels/derive/graph.py",
        '(op == "add" and numbers[0] == 0)', '(op in ("add", "sub") and numbers[0] == 0)',
        ("tests/test_graph.py",),
    ),
    Fault(
        "graph-at-least-is-at-most", "kernels/derive/graph.py",
        'return FUNCTIONS["at_most"](other, self)', 'return FUNCTIONS["at_most"](self, other)',
        ("tests/test_graph.py", "tests/test_functions.py"),
    ),
    Fault(
        "graph-negative-power-is-not-turned", "kernels/derive/graph.py",
        "return self if n == 1 else 1 / self**-n", "return self if n == 1 else self**-n",
        ("tests/test_graph.py",),
    ),
    Fault(
        "graph-product-is-as-wide-as-its-operand", "kernels/derive/graph.py",
        'width = "H" if op == "product" else "D=H" if len(widths) > 1', 'width = "D=H" if len(widths) > 1',
        ("tests/test_graph.py",),
    ),
    Fault(
        "trace-last-name-wins", "kernels/derive/trace.py",
        "if isinstance(node, Node) and not node.name:", "if isinstance(node, Node):",
        ("tests/test_graph.py", "tests/test_plan.py", "tests/test_derive.py"),
    ),
    Fault(
        "trace-second-state-may-be-unused", "kernels/derive/trace.py",
        "for s in states[1:] if s not in nodes", "for s in states[2:] if s not in nodes",
        ("tests/test_wrong_cells.py",),
    ),
    Fault(
        "trace-heads-of-an-input-matrix", "kernels/derive/trace.py",
        'if name not in products or products[name].args[0].width == "D":', "if name not in products:",
        ("tests/test_wrong_cells.py",),
    ),
    Fault(
        "plan-constants-leave-their-sum", "kernels/derive/plan.py",
        'if id(n) not in self.stateful and n.op != "const"]', "if id(n) not in self.stateful]",
        ("tests/test_plan.py",),
    ),
    Fault(
        "plan-biases-stay-in-the-loop", "kernels/derive/plan.py",
        "if not any(id(n) in self.fed for n in hoisted):", "if not all(id(n) in self.fed for n in hoisted):",
        ("tests/test_plan.py",),
    ),
    Fault(
        "plan-namesakes-share-a-vector", "kernels/derive/plan.py",
        "if self.vectors.get(leaf, node) is not node:", "if self.vectors.get(leaf, node).name != node.name:",
        ("tests/test_plan.py",),
    ),
    Fault(
        "adjoint-last-path-wins", "kernels/derive/adjoint.py",
        "gradient[node] = value if node not in gradient else gradient[node] + value", "gradient[node] = value",
        ("tests/test_derive.py",),
    ),
    Fault(
        "adjoint-affine-by-its-outermost-node", "kernels/derive/adjoint.py",
        'return not any(node.op == "state" for node in walk(slopes))', 'return not any(node.op == "state" for node in slopes)',
        ("tests/test_scan.py",),
    ),
    Fault(
        "adjoint-brackets-on-the-right-are-lost", "kernels/derive/adjoint.py",
        "(level == around and right) or ", "",
        ("tests/test_derive.py",),
    ),
    Fault(
        "buffers-value-counted-among-terms", "kernels/derive/buffers.py",
        "value_index = {plan.terms[i].hoisted: k for k, i in enumerate(values)}",
        "value_index = {plan.terms[i].hoisted: i for i in values}",
        ("tests/test_plan.py", "tests/test_compiled.py"),
    ),
    Fault(
        "buffers-only-one-stage-starts", "kernels/derive/buffers.py",
        "computed, computed == first))", "computed, computed == 0))",
        ("tests/test_plan.py", "tests/test_schedules.py::test_custom_cells"),
    ),
)  # fmt: skip

SCHEDULES = (
    Fault(
        "interface-given-history-keeps-the-last-state", "kernels/schedules/interface.py",
        "return self.save_for_backward or self.history is not None", "return self.save_for_backward",
        ("tests/test_scan.py::test_low_memory", "tests/test_lowmemory.py",),
    ),
    Fault(
        "cpu-vector-gradient-of-the-first-block", "kernels/schedules/cpu/compiled.py",
        "return Gradients(d_terms, [d.sum(0) for d in d_vectors]", "return Gradients(d_terms, [d[0] for d in d_vectors]",
        ("tests/test_compiled.py",),
    ),
    Fault(
        "cpu-products-follow-wide-batches-alone", "kernels/schedules/cpu/compiled.py",
        "threads * columns <= T * B", "threads * columns <= B",
        ("tests/test_compiled.py",),
    ),
    Fault(
        "cpu-writer-feed-goes-to-another-buffer", "kernels/schedules/cpu/library.py",
        "else len(place.feeds) + feed.value for feed", "else feed.value for feed",
        ("tests/test_compiled.py",),
    ),
    Fault(
        "cpu-writer-hoisted-values-are-not-read", "kernels/schedules/cpu/library.py",
        "{int(term.hoisted is not None)}", "{int(term.feed is not None)}",
        ("tests/test_compiled.py",),
    ),
    Fault(
        "cpu-writer-last-stencil-first", "kernels/schedules/cpu/library.py",
        "{sum(counts[:k])}", "{sum(counts[k + 1 :])}",
        ("tests/test_stencil.py",),
    ),
    Fault(
        "cpu-loop-feeds-stop-after-a-chunk", "kernels/schedules/cpu/loop.cpp",
        "if (t % CHUNK == 0) ahead.compute", "if (t == 0) ahead.compute",
        ("tests/test_compiled.py",),
    ),
    Fault(
        "cpu-loop-vector-gradient-of-one-chunk", "kernels/schedules/cpu/loop.cpp",
        "store(total, load(total, left) + load(sum, left), left);", "store(total, load(sum, left), left);",
        ("tests/test_compiled.py",),
    ),
    Fault(
        "cpu-loop-stencil-gradient-looks-ahead", "kernels/schedules/cpu/loop.cpp",
        "d_around.sum<-1>(n, c.turned[n], j)", "d_around.sum<1>(n, c.turned[n], j)",
        ("tests/test_stencil.py",),
    ),
    Fault(
        "stepwise-state-before-is-the-state-after", "kernels/schedules/stepwise/pointwise_kernel.py",
        "at = row + (t.to(tl.int64) - 1) * B", "at = row + t.to(tl.int64) * B",
        ("tests/test_schedules.py",),
    ),
    Fault(
        "stepwise-stage-overwrites-a-gradient", "kernels/schedules/stepwise/steps.py",
        "stores.append((out, Operand(self.carried[i]), add))", "stores.append((out, Operand(self.carried[i]), False))",
        ("tests/test_schedules.py",),
    ),
    Fault(
        "stepwise-initial-gradient-without-products", "kernels/schedules/stepwise/steps.py",
        "self.carried[group.state] += d", "self.carried[group.state] = d",
        ("tests/test_schedules.py",),
    ),
    Fault(
        "stepwise-output-gradient-of-one-time", "kernels/schedules/stepwise/steps.py",
        "upstream[0].append(Operand(self.dy, 1, 1))", "upstream[0].append(Operand(self.dy))",
        ("tests/test_schedules.py",),
    ),
    Fault(
        "stepwise-graph-is-shared-by-streams", "kernels/schedules/stepwise/cuda_graph.py",
        "state.device, current_stream_handle(state.device), torch", "state.device, torch",
        ("tests/test_schedules.py::test_replay_on_two_streams",),
    ),
    Fault(
        "triton-tanh-series-has-another-digit", "kernels/schedules/triton_functions.py",
        "(0.13333333333333333 - s", "(0.13433333333333333 - s",
        ("tests/test_functions.py",),
    ),
    Fault(
        "triton-maximum-loses-nan", "kernels/schedules/triton_functions.py",
        "tl.where(a > b, a, tl.where(b >= a, b, a + b))", "tl.where(a > b, a, b)",
        ("tests/test_functions.py",),
    ),
    Fault(
        "persistent-output-gradient-to-the-last-state", "kernels/schedules/persistent/time_loop.py",
        "add_to(upstream, S, 0, d_output", "add_to(upstream, S, S - 1, d_output",
        ("tests/test_resident.py",),
    ),
    Fault(
        "persistent-first-product-is-transposed", "kernels/schedules/persistent/launch.py",
        "self.view_slot(filled.terms, i)[0][0] @ weight", "self.view_slot(filled.terms, i)[0][0] @ weight.t()",
        ("tests/test_resident.py",),
    ),
    Fault(
        "persistent-rows-are-one-term-wide", "kernels/schedules/persistent/launch.py",
        "buffers[buffer].select(2, slot), self.layout.widths[buffer] * self.H", "buffers[buffer].select(2, slot), self.H",
        ("tests/test_resident.py",),
    ),
    Fault(
        "scan-first-state-of-a-chunk-is-the-initial-one", "kernels/schedules/scan/scan_kernels.py",
        "later = mask_if(n, elements, t > tl.maximum(start - 1, 0))", "later = mask_if(n, elements, t > start)",
        ("tests/test_scan.py",),
    ),
    Fault(
        "scan-every-chunk-has-the-initial-gradient", "kernels/schedules/scan/scan_kernels.py",
        "if start == 0:", "if start < T:",
        ("tests/test_scan.py",),
    ),
    Fault(
        "scan-initial-state-is-ignored", "kernels/schedules/scan/scan_kernels.py",
        "states = load_vectors(initial, n, inside)", "states = constant_tiles(S, -1, BLOCK)",
        ("tests/test_scan.py",),
    ),
    Fault(
        "scan-map-of-a-chunk-is-transposed", "kernels/schedules/scan/scan_kernels.py",
        "total += slopes[CORE[k]] * columns[j][CORE[k]]", "total += slopes[CORE[k]] * columns[k][CORE[j]]",
        ("tests/test_scan.py",),
    ),
    Fault(
        "stencil-handed-on-state-begins-with-its-own", "kernels/schedules/stencil/stencil.py",
        "longer[of][0] = loop.states[of]", "longer[of][0] = loop.states[s]",
        ("tests/test_stencil.py",),
    ),
    Fault(
        "stencil-gradient-looks-ahead", "kernels/schedules/stencil/stencil_kernels.py",
        "transposed_taps[k], OFFSETS, k, -1, unit, H)", "transposed_taps[k], OFFSETS, k, 1, unit, H)",
        ("tests/test_stencil.py",),
    ),
)  # fmt: skip

LAYER = (
    Fault(
        "rnn-dropout-on-the-input", "kernels/layer/rnn.py",
        "if layer and self.dropout:", "if self.dropout:",
        ("tests/test_rnn.py::test_dropout",),
    ),
    Fault(
        "rnn-reverse-direction-stays-reversed", "kernels/layer/rnn.py",
        "outputs.append(reverse(y) if direction else y)", "outputs.append(y)",
        ("tests/test_rnn.py::test_final_states",),
    ),
    Fault(
        "rnn-directions-share-an-initial-state", "kernels/layer/rnn.py",
        "[s[len(final)] for s in states]", "[s[layer * self.directions] for s in states]",
        ("tests/test_rnn.py::test_torch",),
    ),
    Fault(
        "rnn-lengths-count-steps-of-a-batch-first", "kernels/layer/rnn.py",
        "T, B = input.shape[:2] if not self.batch_first else input.shape[1::-1]", "T, B = input.shape[:2]",
        ("tests/test_dropin.py::test_lengths", "tests/test_dropin.py::test_bad_lengths"),
    ),
    Fault(
        "inputs-state-of-another-dtype", "kernels/layer/inputs.py",
        "if state.dtype != x.dtype or state.device != x.device:", "if state.device != x.device:",
        ("tests/test_rnn.py::test_bad_input",),
    ),
    Fault(
        "inputs-cast-without-autocast", "kernels/layer/inputs.py",
        "if given.is_floating_point() and autocasts(given.device.type) else given", "if given.is_floating_point() else given",
        ("tests/test_rnn.py::test_bad_input",),
    ),
    Fault(
        "packed-ended-sequences-in-the-order-they-end", "kernels/layer/packed.py",
        "ended.insert(0, [s[B:] for s in states])", "ended.append([s[B:] for s in states])",
        ("tests/test_dropin.py::test_ragged",),
    ),
    Fault(
        "packed-all-are-reversed-as-the-longest", "kernels/layer/packed.py",
        "(first[lengths[b] - 1 - t] + b)", "(first[lengths[0] - 1 - t] + b)",
        ("tests/test_dropin.py::test_ragged",),
    ),
    Fault(
        "packed-previous-input-is-the-first", "kernels/layer/packed.py",
        "before = part[-1]", "before = part[0]",
        ("tests/test_dropin.py::test_ragged",),
    ),
    Fault(
        "torch-weights-any-nonlinearity", "kernels/layer/torch_weights.py",
        " and all(getattr(module, k) == v for k, v in twin.options.items())", "",
        ("tests/test_rnn.py::test_torch",),
    ),
    Fault(
        "torch-weights-evaluation-is-forgotten", "kernels/layer/torch_weights.py",
        "return rnn.train(module.training)", "return rnn",
        ("tests/test_rnn.py::test_back_to_torch",),
    ),
    Fault(
        "input-products-previous-input-is-the-next", "kernels/layer/input_products.py",
        "torch.cat([first, x[:-1]])", "torch.cat([first, x[1:]])",
        ("tests/test_grammar.py::test_many_steps",),
    ),
    Fault(
        "input-products-one-bias-of-two", "kernels/layer/input_products.py",
        "return sum(found[1:], found[0]) if found else None", "return found[0] if found else None",
        ("tests/test_compiled.py::test_two_biases_of_one_sum",),
    ),
    Fault(
        "autograd-matrix-gradient-without-the-first-step", "kernels/layer/autograd.py",
        "torch.mm(d[:B].t(), loop.states[group.state], out=out)", "out.zero_()",
        ("tests/test_resident.py",),
    ),
    Fault(
        "autograd-slots-of-one-buffer-are-one-range", "kernels/layer/autograd.py",
        "slots[k] != (buffer, slot + k - first)", "slots[k][0] != buffer",
        ("tests/test_lowmemory.py::test_custom_cells",),
    ),
    Fault(
        "autograd-first-value-is-fed-no-gradient", "kernels/layer/autograd.py",
        "if feed.value >= 0:  # its", "if feed.value > 0:  # its",
        ("tests/test_resident.py",),
    ),
    Fault(
        "checkpointing-states-before-are-those-after", "kernels/layer/checkpointing.py",
        "return history[first - 1 : first - 1 + len(after)], after", "return history[first : first + len(after)], after",
        ("tests/test_lowmemory.py",),
    ),
    Fault(
        "checkpointing-gradient-of-the-first-chunk-alone", "kernels/layer/checkpointing.py",
        "total += d", "total.copy_(d)",
        ("tests/test_lowmemory.py",),
    ),
    Fault(
        "checkpointing-eager-chunks-forget-the-previous-input", "kernels/layer/checkpointing.py",
        "        before = part[-1]", "        before = None",
        ("tests/test_grammar.py::test_many_steps",),
    ),
    Fault(
        "recompute-adds-to-what-was-there", "kernels/layer/recompute.py",
        "beta=int(hoisted))", "beta=1)",
        ("tests/test_lowmemory.py",),
    ),
    Fault(
        "custom-op-heads-are-no-part-of-a-name", "kernels/layer/custom_op.py",
        ", sorted(cell.heads.items())))", "))",
        ("tests/test_operator.py::test_heads_are_part_of_a_name",),
    ),
    Fault(
        "custom-op-another-cell-of-that-name", "kernels/layer/custom_op.py",
        "and digest(cells.load(cell.name)) == made", "and made",
        ("tests/test_operator.py::test_heads_are_part_of_a_name", "tests/test_operator.py::test_a_cell_of_ones_own"),
    ),
    Fault(
        "gradcheck-stages-are-not-checked", "kernels/layer/gradcheck.py",
        "functions = [*(s.argument for s in plan.stages if s.argument), plan.step]", "functions = [plan.step]",
        ("tests/test_proof.py",),
    ),
    Fault(
        "gradcheck-a-failure-is-remembered", "kernels/layer/gradcheck.py",
        "    generator = torch.Generator().manual_seed(0)\n", "    known.touch()\n    generator = torch.Generator().manual_seed(0)\n",
        ("tests/test_proof.py",),
    ),
)  # fmt: skip

CELLS = (
    Fault(
        "gru-update-gate-is-turned", "cells/gru.py",
        "return (1 - z) * n + z * h", "return z * n + (1 - z) * h",
        ("tests/test_cells.py",),
    ),
    Fault(
        "wave-damping-drives", "cells/wave.py",
        "waves = 2 * u - (1 - dt * p.b) * before", "waves = 2 * u - (1 + dt * p.b) * before",
        ("tests/test_wave.py", "tests/test_family.py"),
    ),
    Fault(
        "functions-hard-sigmoid-slopes-at-its-ends", "cells/grammar/functions.py",
        "where(abs(v) < 3, 1.0, 0.0) / 6", "where(abs(v) <= 3, 1.0, 0.0) / 6",
        ("tests/test_functions.py",),
    ),
    Fault(
        "cell-blocks-are-drawn-as-wide-as-heads", "cells/grammar/cell.py",
        "value.shape[0] if value.dim() < 3 else value.shape[0] * value.shape[1]", "value.shape[0]",
        ("tests/test_cells.py", "tests/test_grammar.py"),
    ),
    Fault(
        "stencil-transposed-is-itself", "cells/grammar/stencil.py",
        "(tuple(-k for k in at), w)", "(tuple(k for k in at), w)",
        ("tests/test_operators.py",),
    ),
)  # fmt: skip

ANALYSIS = (
    Fault(
        "median-ci-covers-nine-of-ten", "bench/analysis/median_ci.py",
        "TAIL = (1 - 0.95) / 2", "TAIL = 1 - 0.95",
        ("tests/test_estimate.py",),
    ),
    Fault(
        "median-ci-upper-median", "bench/analysis/median_ci.py",
        "values[:, (n - 1) // 2 : n // 2 + 1]", "values[:, n // 2 : n // 2 + 1]",
        ("tests/test_estimate.py",),
    ),
    Fault(
        "median-ci-outliers-are-thrice-as-far", "bench/analysis/median_ci.py",
        "FENCE = 1.5", "FENCE = 3.0",
        ("tests/test_estimate.py",),
    ),
    Fault(
        "summary-speedup-is-turned", "bench/analysis/summary.py",
        "theirs[number] / taken for number", "taken / theirs[number] for number",
        ("tests/test_summary.py",),
    ),
    Fault(
        "summary-training-counts-as-inference", "bench/analysis/summary.py",
        "return FLOPS[record.case.mode] * record.flops", "return record.flops",
        ("tests/test_summary.py",),
    ),
    Fault(
        "verdict-interval-may-hold-one", "bench/analysis/verdict.py",
        "> margin and not ratio.low <= 1 <= ratio.high:", "> margin:",
        ("tests/test_verdict.py",),
    ),
    Fault(
        "verdict-tie-looks-at-the-lower-end", "bench/analysis/verdict.py",
        "max(relative_difference(ratio.low), relative_difference(ratio.high)) <= WIDEST", "relative_difference(ratio.low) <= WIDEST",
        ("tests/test_verdict.py",),
    ),
    Fault(
        "roofline-caches-hold-one-pass-of-two", "bench/analysis/roofline.py",
        "demand.bytes - passes * constants.cache", "demand.bytes - constants.cache",
        ("tests/test_light.py",),
    ),
    Fault(
        "roofline-floor-is-a-sum", "bench/analysis/roofline.py",
        "return max(self.products, self.memory, self.chain)", "return self.products + self.memory + self.chain",
        ("tests/test_light.py",),
    ),
    Fault(
        "comparison-a-failure-is-pooled-away", "bench/analysis/comparison.py",
        "worst = min(records", "worst = max(records",
        ("tests/test_compare.py",),
    ),
    Fault(
        "comparison-the-quieter-run-sets-the-margin", "bench/analysis/comparison.py",
        "margin = max(a.margin, b.margin)", "margin = min(a.margin, b.margin)",
        ("tests/test_compare.py",),
    ),
)  # fmt: skip

BENCH = (
    Fault(
        "gate-scalar-by-accident-zero-is-wrong", "bench/measure/gate.py",
        "if reference.gradients[name].numel() == 1 or has_kink(problem)]", "if has_kink(problem)]",
        ("tests/test_gate.py",),
    ),
    Fault(
        "gate-last-step-is-not-kept", "bench/measure/gate.py",
        "torch.linspace(0, T - 1, min(T, STEPS)", "torch.linspace(0, T - 2, min(T, STEPS)",
        ("tests/test_gate.py",),
    ),
    Fault(
        "gate-late-writes-are-not-waited-for", "bench/measure/gate.py",
        "seen = batch_tensor(result).clone()", "seen = batch_tensor(result)",
        ("tests/test_gate.py",),
    ),
    Fault(
        "clock-interval-is-a-rank-too-narrow", "bench/measure/clock.py",
        "(ordered[n - rank] - ordered[rank - 1])", "(ordered[n - rank] - ordered[rank])",
        ("tests/test_clock.py",),
    ),
    Fault(
        "clock-order-is-the-same-in-every-round", "bench/measure/clock.py",
        "for key in order.sample(waiting, len(waiting)):", "for key in list(waiting):",
        ("tests/test_clock.py",),
    ),
    Fault(
        "energy-counter-never-starts-again", "bench/measure/energy.py",
        "self.total += after - before if after >= before else after - before + most + 1", "self.total += max(0, after - before)",
        ("tests/test_energy.py",),
    ),
    Fault(
        "lower-bound-first-step-waits-too", "bench/measure/lower_bound.py",
        "(T * len(plan.stages) - 1) * passes", "T * len(plan.stages) * passes",
        ("tests/test_light.py",),
    ),
    Fault(
        "schema-lower-bound-keeps-its-old-names", "bench/records/schema.py",
        'rename(line["lower_bound"], LOWER_BOUND_NAMES)', 'rename(line["lower_bound"], RECORD_NAMES)',
        ("tests/test_backend_table.py", "tests/test_golden.py"),
    ),
    Fault(
        "backend-table-low-memory-is-lost-with-a-name", "bench/records/backend_table.py",
        "return OLD_NAMES.get(name, name) + backend[len(name) :]", "return OLD_NAMES.get(name, name)",
        ("tests/test_backend_table.py",),
    ),
    Fault(
        "resume-another-commit-goes-on", "bench/records/resume.py",
        '"torchrecurrent", "packages", "commit", "dirty",', '"torchrecurrent", "packages",',
        ("tests/test_cli.py::test_a_run_is_not_resumed_on_another_machine",),
    ),
    Fault(
        "records-partial-line-takes-a-newline-along", "bench/records/records_file.py",
        'whole = data.rfind(b"\\n") + 1', 'whole = max(0, data.rfind(b"\\n"))',
        ("tests/test_isolation.py::test_killed_in_the_middle_of_a_line_and_resumed",),
    ),
    Fault(
        "records-full-disk-leaves-half-a-line", "bench/records/records_file.py",
        "        stream.truncate(end)\n", "",
        ("tests/test_cli.py::test_a_full_disk_loses_nothing",),
    ),
    Fault(
        "records-skipped-beside-measured", "bench/records/records_file.py",
        'if line.status != "skipped" or line.case not in measured', 'if line.status != "skipped" or line.case in measured',
        ("tests/test_suites.py::test_a_budget_leaves_out_and_resume_goes_on",),
    ),
    Fault(
        "supervisor-what-failed-is-asked-for-again", "bench/harness/supervisor.py",
        "unit = unit.without([*end.cases, *failed])", "unit = unit.without(end.cases)",
        ("tests/test_isolation.py",),
    ),
    Fault(
        "supervisor-three-bad-cases-are-a-bad-machine", "bench/harness/supervisor.py",
        "deaths = 0 if end.cases else deaths + 1", "deaths += 1",
        ("tests/test_isolation.py",),
    ),
    Fault(
        "supervisor-budget-leaves-out-what-is-measured", "bench/harness/supervisor.py",
        'unit.kind != "gradients" for case in unit.cases if case not in had):', 'unit.kind != "gradients" for case in unit.cases):',
        ("tests/test_isolation.py",),
    ),
    Fault(
        "jobs-late-cases-are-tried-again", "bench/harness/jobs.py",
        'if status in ("crashed", "timeout")])', 'if status == "crashed"])',
        ("tests/test_isolation.py",),
    ),
    Fault(
        "jobs-last-shard-is-empty", "bench/harness/jobs.py",
        "turn[unit.kind] % parts == part % parts else []", "turn[unit.kind] % parts == part else []",
        ("tests/test_merge.py",),
    ),
    Fault(
        "merge-a-slower-part-is-no-disagreement", "bench/harness/merge_shards.py",
        "if a.high < b.low or b.high < a.low:", "if a.high < b.low:",
        ("tests/test_merge.py",),
    ),
    Fault(
        "table-csv-has-six-digits", "bench/render/table.py",
        'f"{scale * number:.12g}"', 'f"{scale * number:.6g}"',
        ("tests/test_sheets.py", "tests/test_export.py", "tests/test_golden.py"),
    ),
    Fault(
        "table-mib-are-megabytes", "bench/render/table.py",
        '"mib": 2.0**-20', '"mib": 1e-6',
        ("tests/test_sheets.py", "tests/test_export.py", "tests/test_golden.py"),
    ),
    Fault(
        "formatting-small-ratios-have-three-digits", "bench/render/formatting.py",
        "format_number(value, 2 if value < 0.1 else 3)", "format_number(value, 3)",
        ("tests/test_console.py",),
    ),
    Fault(
        "formatting-a-time-that-cannot-be-is-not-marked", "bench/render/formatting.py",
        "BELOW if ratio < 1 else ''", "BELOW if ratio > 1 else ''",
        ("tests/test_report.py",),
    ),
    Fault(
        "case-rows-the-vendor-is-its-own-peer", "bench/render/case_rows.py",
        'case.backend != "vendor" and not case.aa_repeat else None', "not case.aa_repeat else None",
        ("tests/test_export.py", "tests/test_golden.py"),
    ),
    Fault(
        "csv-tables-old-sheets-stay", "bench/render/csv_tables.py",
        "            old.unlink()\n", "            continue\n",
        ("tests/test_sheets.py",),
    ),
    Fault(
        "speed-tables-whole-interval-for-half", "bench/render/speed_tables.py",
        "{format_number(1e3 * time.half, 2)}", "{format_number(1e3 * (time.high - time.low), 2)}",
        ("tests/test_report.py", "tests/test_golden.py"),
    ),
)  # fmt: skip

FAULTS = (*DERIVE, *SCHEDULES, *LAYER, *CELLS, *ANALYSIS, *BENCH)

WAITING: tuple[str, ...] = (
    "cpu-loop-vector-gradient-of-one-chunk",
    "cpu-loop-stencil-gradient-looks-ahead",
    "stepwise-state-before-is-the-state-after",
    "stepwise-stage-overwrites-a-gradient",
    "stepwise-initial-gradient-without-products",
    "stepwise-output-gradient-of-one-time",
    "stepwise-graph-is-shared-by-streams",
    "triton-tanh-series-has-another-digit",
    "triton-maximum-loses-nan",
    "persistent-output-gradient-to-the-last-state",
    "persistent-first-product-is-transposed",
    "persistent-rows-are-one-term-wide",
    "scan-first-state-of-a-chunk-is-the-initial-one",
    "scan-every-chunk-has-the-initial-gradient",
    "scan-initial-state-is-ignored",
    "scan-map-of-a-chunk-is-transposed",
    "stencil-handed-on-state-begins-with-its-own",
    "stencil-gradient-looks-ahead",
    "packed-all-are-reversed-as-the-longest",
    "packed-previous-input-is-the-first",
    "torch-weights-any-nonlinearity",
    "torch-weights-evaluation-is-forgotten",
    "input-products-previous-input-is-the-next",
    "input-products-one-bias-of-two",
    "autograd-matrix-gradient-without-the-first-step",
    "autograd-slots-of-one-buffer-are-one-range",
    "autograd-first-value-is-fed-no-gradient",
    "checkpointing-states-before-are-those-after",
    "checkpointing-gradient-of-the-first-chunk-alone",
    "checkpointing-eager-chunks-forget-the-previous-input",
    "recompute-adds-to-what-was-there",
    "custom-op-heads-are-no-part-of-a-name",
    "custom-op-another-cell-of-that-name",
    "gradcheck-stages-are-not-checked",
    "gradcheck-a-failure-is-remembered",
    "table-csv-has-six-digits",
)
"""Faults that nobody has planted yet, or that no test finds."""
