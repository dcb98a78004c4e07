"""The table of whole layers: what it takes for a call, and what `auto` does by it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import cells
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer import measured_layers, torch_operator
from kernels.layer.measured_layers import MeasuredLayer, find_device
from kernels.schedules.newton import newton
from kernels.schedules.persistent import tuning

TABLES = tuning.FOLDER
DEVICE = "stand-in"
PLAN = plan(cells.load("lstm"))
FASTER, SLOWER = {"ours": 2e-3, "theirs": 1e-3}, {"ours": 1e-3, "theirs": 2e-3}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path) -> Iterator[Path]:
    """No tables, and this machine in the place of a GPU."""
    monkeypatch.setattr(tuning, "FOLDER", tmp_path / "tuned")
    monkeypatch.setattr(measured_layers, "find_device", lambda device: DEVICE)
    measured_layers.load_table.cache_clear()
    yield tmp_path / "tuned"
    measured_layers.load_table.cache_clear()


def measured(**changes: object) -> MeasuredLayer:
    """An LSTM for which torch was faster, but for what is said."""
    given = {
        "cell": "lstm", "step": tuning.fingerprint(PLAN), "mode": "training", "T": 64, "B": 16, "D": 128, "H": 32, "dtype": "float32",
        "tf32": False, "schedule": "persistent", **FASTER, "torch": "2.11.0", "triton": "3.6.0", "source": "a-run",
    }  # fmt: skip
    return MeasuredLayer(**given | changes)


def prefers(
    T: int = 64, B: int = 16, D: int = 128, H: int = 32, dtype: torch.dtype = torch.float32, cell: str = "lstm", trains: bool = True
) -> bool:
    x = torch.empty(T, B, D, dtype=dtype, requires_grad=trains)
    return measured_layers.find_fastest(plan(cells.load(cell)), x, [torch.empty(B, H, dtype=dtype)] * 2, {}) == "torch"


@pytest.fixture(autouse=True)
def one_precision() -> Iterator[None]:
    """float32 in float32 everywhere: cuDNN has tf32 for a default, cuBLAS doesn't."""
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    torch.backends.cudnn.allow_tf32 = False
    yield
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


def test_without_a_table_nothing_is_known():
    assert not prefers()


def test_what_was_measured():
    measured_layers.add_layers(DEVICE, [measured()])
    assert prefers()
    measured_layers.add_layers(DEVICE, [measured(**SLOWER)])
    assert not prefers(), "the later measurement counts"
    measured_layers.add_layers(DEVICE, [measured(theirs=1e-3, ours=1e-3)])
    assert not prefers(), "what is no faster is not taken"


@pytest.mark.parametrize("name", ["T", "B", "D"])
@pytest.mark.parametrize("factor, near", [(0.5, True), (2, True), (0.25, False), (4, False)])
def test_sizes_within_a_factor_of_two(name, factor, near):
    sizes = {"T": 64, "B": 32, "D": 512}
    measured_layers.add_layers(DEVICE, [measured(**sizes)])
    assert prefers(**sizes | {name: int(sizes[name] * factor)}) is near
    step = {"T": 1, "B": 8, "D": 128}[name]
    if factor in (0.5, 2):
        assert not prefers(**sizes | {name: int(sizes[name] * factor) + (step if factor == 2 else -step)}), "one beyond"


OTHERS = {
    "cell": {"cell": "gru"}, "dtype": {"dtype": torch.float16}, "mode": {"trains": False}, "larger H": {"H": 33}, "smaller H": {"H": 31},
    "B that is no multiple of 8": {"B": 17}, "D that is no multiple of 128": {"D": 129},
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_is_guessed_of_another(other):
    measured_layers.add_layers(DEVICE, [measured()])
    assert not prefers(**OTHERS[other])


def test_the_nearest_counts():
    """Between two, the one that is nearer; at one distance, torch's only where it was faster in both."""
    measured_layers.add_layers(DEVICE, [measured(B=16), measured(B=64, **SLOWER)])
    assert prefers(B=24) and not prefers(B=40) and not prefers(B=32) and not prefers(B=56)
    measured_layers.add_layers(DEVICE, [measured(B=64)])
    assert prefers(B=24) and prefers(B=40) and prefers(B=32) and prefers(B=56)
    measured_layers.add_layers(DEVICE, [measured(B=32, **SLOWER)])
    assert not prefers(B=32) and prefers(B=16)


@pytest.mark.parametrize("sizes", [(8, 8), (64, 24), (33, 40), (1, 1)])
def test_of_two_lengths_and_batches(sizes):
    """The nearest measured cases within reach decide any call."""
    T, B = sizes
    given = [measured(T=t, B=b, **(FASTER if (t + b) % 3 else SLOWER)) for t in (8, 16, 64) for b in (8, 16, 32)]
    found = measured_layers.find_nearest(given, T, B, 128)
    ratio = {layer: max(T / layer.T, layer.T / T) * max(B / layer.B, layer.B / B) for layer in given}
    within = [layer for layer in given if max(T / layer.T, layer.T / T, B / layer.B, layer.B / B) <= 2]
    assert set(found) <= set(within) and bool(found) is bool(within)
    assert all(ratio[layer] == min(ratio[other] for other in within) for layer in found)


def test_not_where_torch_was_told_otherwise():
    measured_layers.add_layers(DEVICE, [measured()])
    with torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
        assert not prefers()
    torch.use_deterministic_algorithms(True)
    try:
        assert not prefers()
    finally:
        torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    assert not prefers(), "tf32 in cuDNN alone"
    torch.backends.cuda.matmul.allow_tf32 = True
    assert not prefers(), "measured without"
    measured_layers.add_layers(DEVICE, [measured(tf32=True)])
    assert prefers()
    with torch.no_grad():
        assert not prefers()


def test_a_cpu_has_no_table():
    assert find_device(torch.device("cpu")) is None


def test_the_table_survives(folder):
    measured_layers.add_layers(DEVICE, [measured(), measured(cell="gru", step="0" * 12)])
    measured_layers.add_layers(DEVICE, [replace(measured(), source="another-run")])
    measured_layers.load_table.cache_clear()
    assert [path.name for path in folder.iterdir()] == ["stand-in.layers.json"]
    found = [layer for layers_of_kind in measured_layers.load_table(DEVICE).values() for layer in layers_of_kind]
    assert sorted((layer.cell, layer.source) for layer in found) == [("gru", "a-run"), ("lstm", "another-run")]
    assert [json.loads(line.rstrip(","))["cell"] for line in measured_layers.table_path(DEVICE).read_text().splitlines()[1:-1]] == [
        "gru",
        "lstm",
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[", "", "Expecting|Extra data"),
        ('"cell":"lstm",', "", "entry 1 lacks cell"),
        ('"cell"', '"sell":1,"cell"', "entry 1 has the unknown sell"),
        ('"B":16', '"B":"16"', "B of entry 1 is '16', and no int"),
        ('"B":16', '"B":0', "lstm has a size or a time that isn't above 0"),
        ('"ours":0.002', '"ours":NaN', "lstm has a size or a time that isn't above 0"),
        ('"mode":"training"', '"mode":"backward"', "mode of entry 1 is 'backward', and not training or inference"),
        ('"tf32":false', '"tf32":0', "tf32 of entry 1 is 0, and no bool"),
    ],
)
def test_a_table_with_a_fault_is_named(before, after, said):
    measured_layers.add_layers(DEVICE, [measured()])
    file = measured_layers.table_path(DEVICE)
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after, 1))
    with pytest.raises(tuning.TableError, match=f"stand-in.layers.json: .*({said})"):
        prefers()


@pytest.fixture
def ran(monkeypatch) -> list[tuple[int, int]]:
    """The T and B of every layer that torch's operator ran."""
    found, run = [], torch_operator.apply
    monkeypatch.setattr(
        torch_operator, "apply", lambda cell, x, *rest, **packed: (found.append(tuple(x.shape[:2])), run(cell, x, *rest, **packed))[1]
    )
    return found


def test_what_auto_takes(ran):
    """By the table, in every call anew; never with low memory, in a graph, or by another name."""
    rnn, x = RNN("lstm", 128, 32), torch.randn(64, 16, 128)
    before = rnn(x)[0]
    assert not ran
    measured_layers.add_layers(DEVICE, [measured()])
    y = rnn(x)[0]
    assert ran == [(64, 16)] and torch.allclose(y, before, atol=1e-5) and torch.equal(rnn(x)[0], y)
    ran.clear()
    with torch.no_grad():
        rnn(x)
    rnn.requires_grad_(False)(x)
    rnn.requires_grad_(True)(x[:8])
    rnn(x[:, :0])
    for options in ({"memory": "low"}, {"backend": "compiled"}, {"backend": "eager"}):
        RNN("lstm", 128, 32, **options)(x)
    torch._dynamo.reset()
    torch.compile(rnn, backend="aot_eager", fullgraph=True)(x)
    rnn.exclude_torch_operator = True
    rnn(x)
    assert not ran


def test_each_layer_and_direction_for_itself(ran):
    """Their widths differ; a packed batch counts with its longest length, and runs in one call."""
    measured_layers.add_layers(DEVICE, [measured(D=64, T=48, B=8)])
    rnn = RNN("lstm", 128, 32, num_layers=2, bidirectional=True)
    rnn(torch.randn(48, 8, 128))
    assert ran == [(48, 8)] * 2, "the second layer, which is given both directions of the first"
    ran.clear()
    measured_layers.add_layers(DEVICE, [measured(D=128, T=48, B=8)])
    RNN("lstm", 128, 32)(torch.randn(60, 16, 128), lengths=[60] * 8 + [40] * 8)
    assert ran == [(60 * 8 + 40 * 8, 1)], "all rows: 60 steps of 16 are in reach"


def test_a_cell_of_the_same_equations_is_none_that_torch_has(ran):
    """It has names of its own for what is learned."""
    measured_layers.add_layers(DEVICE, [measured()])
    rnn = RNN(cells.load("lstm").step, 128, 32)
    assert tuning.fingerprint(rnn.plan) == tuning.fingerprint(PLAN)
    rnn(torch.randn(64, 16, 128))
    assert not ran


def test_newton_where_it_was_measured_faster(monkeypatch):
    """For a cell that torch lacks, and for one that it has; by name, with low memory, lengths or deterministic algorithms as before."""
    ran, run = [], newton.forward
    monkeypatch.setattr(newton, "forward", lambda inputs: (ran.append(inputs.T), run(inputs))[1])
    for name in ("minimal", "lstm"):
        step, theirs = tuning.fingerprint(plan(cells.load(name))), None if name == "minimal" else 2e-3
        rnn, x = RNN(name, 128, 32), torch.randn(64, 16, 128)
        before = rnn(x)[0]
        fastest = measured(cell=name, step=step, schedule="newton", ours=1e-3, theirs=theirs)
        measured_layers.add_layers(DEVICE, [fastest])
        assert not ran
        assert torch.allclose(rnn(x)[0], before, atol=1e-5) and ran == [64]
        ran.clear()
        rnn(x, lengths=[64] * 8 + [40] * 8)
        rnn(x[:8])
        for options in ({"memory": "low"}, {"backend": "compiled"}, {"backend": "eager"}):
            RNN(name, 128, 32, **options)(x)
        torch.use_deterministic_algorithms(True)
        try:
            rnn(x)
        finally:
            torch.use_deterministic_algorithms(False)
        for slower in ({"schedule": "persistent"}, {"schedule": "newton", "theirs": 5e-4}):
            measured_layers.add_layers(DEVICE, [replace(fastest, **slower)])
            rnn(x)
        assert not ran


@pytest.mark.parametrize(
    "cell, dtype, T, B, H, wanted",
    [
        ("lstm", torch.float16, 1024, 16, 768, True),
        ("lstm", torch.float16, 700, 24, 512, True),
        ("lstm", torch.float16, 1024, 64, 512, False),
        ("lstm", torch.float16, 1024, 17, 768, False),
        ("lstm", torch.bfloat16, 1024, 16, 768, False),
        ("lstm", torch.float32, 1024, 16, 768, False),
        ("lstm", torch.float16, 1024, 16, 640, False),
        ("gru", torch.float16, 1024, 16, 768, False),
        ("vanilla", torch.float16, 1024, 16, 256, True),
        ("vanilla", torch.float16, 1024, 16, 512, False),
        ("vanilla_relu", torch.float16, 1024, 16, 256, False),
    ],
)
@pytest.mark.parametrize("trains", [True, False])
def test_what_auto_takes_on_an_h200(monkeypatch, cell, dtype, T, B, H, wanted, trains):
    """By the published table: cuDNN's persistent kernels where they were faster, and nothing beyond what was measured."""
    monkeypatch.setattr(tuning, "FOLDER", TABLES)
    monkeypatch.setattr(measured_layers, "find_device", lambda device: "nvidia-h200")
    assert prefers(T, B, H, H, dtype, cell, trains) is wanted
