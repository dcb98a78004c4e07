"""Files that hold no cell: each gets one line, its own, that says what to write and ends with the user's line."""

import re

import pytest

from tests.command_line import bench

__all__ = ["bench"]

BEGIN = "import math\n\nimport numpy as np\nimport torch\n\nfrom cells import cell\nfrom cells.grammar.functions import *\n\n\n"

WRONG = {
    "branches": (
        "def mine(h, x, W, b):\n    z = W.z(x)\n    if z > 0:  # here\n        z = -z\n    return tanh(W.h(h) + z)\n",
        "a cell can't branch on a value.* choose with where",
    ),
    "takes the larger": ("def mine(h, x, W, b):\n    return max(W.h(h), W.x(x))  # here\n", r"can't branch on a value.* maximum\(a, b\)"),
    "asks between": ("def mine(h, x, W, b):\n    return where(0 < h < 1, W.x(x), h)  # here\n", "can't branch on a value"),
    "of torch": (
        "def mine(h, x, W, b):\n    return torch.sin(W.h(h) + W.x(x))  # here\n",
        r"torch's sin can't be derived here: write sin\(v\)",
    ),
    "of math": (
        "def mine(h, x, W, b):\n    return math.erf(W.h(h) + W.x(x))  # here\n",
        "a value is not a number, so math .*sigmoid, silu",
    ),
    "of NumPy": (
        "def mine(h, x, W, b):\n    return np.tanh(W.h(h) + W.x(x))  # here\n",
        "does not support ufuncs.*functions of cells.grammar.functions",
    ),
    "a method": ("def mine(h, x, W, b):\n    return (W.h(h) + W.x(x)).tanh()  # here\n", r"a value has no \.tanh: write tanh\(v\)"),
    "a remainder": ("def mine(h, x, W, b):\n    return W.h(h) + W.x(x) % 3  # here\n", r"write floor\(v / p\) for v // p, and v - p"),
    "unknown": (
        "def mine(h, x, W, b):\n    return swish(W.h(h) + W.x(x))  # here\n",
        "name 'swish' is not defined: import it; the functions of cells.grammar.functions are abs, clamp",
    ),
    "one state of two": (
        "def mine(h, c, x, W, b):  # here\n    return tanh(W.h(h) + W.x(x) + c)\n",
        "returns 1 states, its signature has 2: return the next h, c",
    ),
    "nothing": ("def mine(h, x, W, b):  # here\n    h = tanh(W.h(h) + W.x(x))\n", "returns a NoneType, not a value: return the next h"),
    "a comparison": (
        "def mine(h, x, W, b):\n    return tanh(W.h(h) + W.x(x)) * (h > 0)  # here\n",
        r"a comparison is not a value: write where",
    ),
    "returns a comparison": (
        "def mine(h, x, W, b):  # here\n    return W.h(h) + W.x(x) > 0\n",
        "a comparison is not a value: write where",
    ),
    "a logarithm where it is not taken": (
        "def mine(h, x, W, b):  # here\n    return where(h > 0, log(maximum(h, 0)), 0.0) + W.x(x)\n",
        "its gradient is not finite where its values are: where",
    ),
    "no comparison": (
        "def mine(h, x, W, b):\n    return where(h, W.x(x), W.h(h))  # here\n",
        "the first argument of where must be a comparison by <, <=, > or >=",
    ),
    "equals": (
        "def mine(h, x, W, b):\n    return where(h == 0, W.x(x), W.h(h))  # here\n",
        "== and != are not supported: compare by <, <=, > or >=",
    ),
    "branches by equality": (
        "def mine(h, x, W, b):\n    if h == 0:  # here\n        h = h + 1\n    return W.x(x) + W.h(h)\n",
        "== and != are not supported: compare by <, <=, > or >=",
    ),
    "both of two": (
        "def mine(h, x, W, b):\n    return where((h > 0) & (h < 1), W.x(x), h)  # here\n",
        r"one comparison at a time: where\(h > 0, where\(h < 1",
    ),
    "changes its state": (
        "def mine(h, x, W, b):\n    h += W.x(x)  # here\n    return tanh(W.h(h))\n",
        r"would change what a tensor holds: write h = h \+ v",
    ),
    "two shapes": ("def mine(h, x, W, b):\n    a = tanh(W.a(x))\n    return a + W.a(h)  # here\n", r"W\.a is applied to .* use two names"),
    "a vector for a matrix": (
        "def mine(h, x, W, b):\n    return tanh(W.x(x) + b.h(h))  # here\n",
        r"b\.h can't be applied: a vector .* a matrix is W\.h\(v\)",
    ),
    "a matrix for a vector": (
        "def mine(h, x, W, b):\n    return tanh(W.x(x) + W.u * h)  # here\n",
        r"a matrix is applied, W\.name\(v\), and not",
    ),
    "a matrix in a function": (
        "def mine(h, x, W, b):\n    return tanh(W.h) + W.x(x)  # here\n",
        r"tanh takes values, not a Matrix: apply the matrix",
    ),
    "a matrix on a number": (
        "def mine(h, x, W, b):\n    return h + W.x(1.0)  # here\n",
        r"W\.x is applied to 1\.0: a matrix takes a state, x",
    ),
    "multiplies with @": (
        "def mine(h, x, W, b):\n    return tanh(W.x(x) + h @ W.h(h))  # here\n",
        r"a matrix is applied as W\.name\(v\): there is no @",
    ),
    "unit by unit": (
        "def mine(h, x, W, b):\n    z = W.z(x)\n    return tanh(W.h(h) + z) * x  # here\n",
        "uses x unit by unit, which takes --input 3",
    ),
    "an unused state": (
        "def mine(h, c, x, W, b):  # here\n    return tanh(W.h(h) + W.x(x)), h\n",
        "the state c is never used: remove it from the signature",
    ),
    "a state called as what is learned": (
        "def mine(h, W, b, x):  # here\n    return tanh(W.h(h) + W.x(x) + b.h)\n",
        "W holds parameters, and must come after `x`",
    ),
    "all in one": (
        "def mine(*states, x, W, b):  # here\n    return tanh(W.h(states[0]) + W.x(x))\n",
        r"has a name of its own, so there is no \*states",
    ),
    "yields": ("def mine(h, x, W, b):  # here\n    yield tanh(W.h(h) + W.x(x))\n", "neither yields nor awaits"),
    "a list": ("def mine(h, c, x, W, b):  # here\n    return [tanh(W.h(h) + W.x(x) + c), h]\n", "returns a list: return the next h, c"),
    "not in the signature": (
        "def mine(h, x, W, b):\n    return tanh(W.h(h) + W.x(x) + p.h)  # here\n",
        "name 'p' is not defined: parameters are arguments of the cell",
    ),
    "learned without a name": (
        "def mine(h, x, W, b):\n    return tanh(W.h(h) + W.x(x) + b)  # here\n",
        r"a parameter needs a name: W\.name\(v\) applies a matrix",
    ),
    "not one name": (
        "def mine(h, x, W, b):\n    return tanh(W._h(h) + W.x(x))  # here\n",
        "a parameter's name must be one word that begins with a letter, not _h",
    ),
    "a matrix on two": (
        "def mine(h, x, W, b):\n    return tanh(W.h(h, x))  # here\n",
        r"W\.h takes 1 value, not 2: add the products",
    ),
    "given a value too late": (
        "def mine(h, x, W, b):\n    tanh = tanh(W.h(h) + W.x(x))  # here\n    return tanh\n",
        "inside a function a name that is given a value anywhere is its own",
    ),
    "no state": ("def mine(x, W, b):  # here\n    return tanh(W.x(x))\n", r"write the states, then `x`: def mine\(h, x, W, b\)"),
    "a strange argument": (
        "def mine(h, x, W, b, training):  # here\n    return tanh(W.h(h) + W.x(x))\n",
        "after `x` come only W, b, p and s, not training",
    ),
    "is infinite": (
        "def mine(h, x, W, b):\n    return tanh(W.h(h) + W.x(x)) + math.inf  # here\n",
        "a number in a cell must be finite, not inf",
    ),
    "a value divided by zero": ("def mine(h, x, W, b):\n    return (W.h(h) + W.x(x)) / 0  # here\n", "divides by 0"),
    "nested too deep": (
        "def mine(h, x, W, b):\n    for _ in range(60):\n        h = tanh(W.h(h) + W.x(x))  # here\n    return h\n",
        "more than 150 operations, each on the result of the one before",
    ),
    "too few values": ("def mine(h, x, W, b):\n    return maximum(W.x(x) + h)  # here\n", "maximum takes 2 values, not 1"),
    "the state before": (
        "def mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(prev(h)))  # here\n",
        "prev takes x, the input, and nothing else: to keep another value for a step, make it a state",
    ),
    "applies a scalar": (
        "def mine(h, x, W, b, s):\n    return tanh(W.x(x) + s.a(h))  # here\n",
        r"s\.a can't be applied: a scalar .* a matrix is W\.a\(v\)",
    ),
    "a matrix on a scalar": (
        "def mine(h, x, W, b, s):\n    return tanh(W.x(x) + W.h(h) * W.s(s.a))  # here\n",
        r"W\.s is applied to s\.a: a matrix takes a state, x",
    ),
    "heads that don't divide": (
        "@cell(heads={'W.h': 2})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        "its heads share the units: take --hidden 6 and not 5",
    ),
    "heads on x": (
        "@cell(heads={'W.x': 5})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        r"heads names W\.x, which is not a matrix applied to a state",
    ),
    "no number of heads": (
        "@cell(heads={'W.h': -2})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        r"heads has -2 for W\.h: it must be a whole number, at least 1",
    ),
    "heads in words": (
        "@cell(heads={'W.h': '2'})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        r"heads has '2' for W\.h: it must be a whole number, at least 1",
    ),
    "a start in words": (
        "@cell(start={'h': 'one'})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        "start has 'one' for h: it must be a number, the initial value",
    ),
    "a start of no state": (
        "@cell(start={'c': 1.0})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        "start names c, which is not a state: the states are h",
    ),
    "a start that is no dict": (
        "@cell(start=1.0)  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        r"start must be a dict from names to values, not 1\.0",
    ),
    "begins what isn't there": (
        "@cell(init={'b.q': 1.0})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h) + b.h)\n",
        r"init names b\.q, which is not a parameter: the parameters are W\.h, W\.x, b\.h",
    ),
    "begins in words": (
        "@cell(init={'b.h': 'one'})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h) + b.h)\n",
        r"init has 'one' for b\.h: it must be a number, \(low, high\)",
    ),
    "a domain of no state": (
        "@cell(domain={'c': (0.0, 1.0)})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        "domain names c, which is not a state: the states are h",
    ),
    "picks a unit": (
        "def mine(h, x, W, b):\n    return tanh(W.x(x) + h[0])  # here\n",
        "a value is not subscriptable: .* a matrix combines units",
    ),
    "a mean": ("def mine(h, x, W, b):\n    return W.x(x) - W.h(h).mean()  # here\n", r"no \.mean: write mean\(v\)"),
    "divides by zero": ("def mine(h, x, W, b):\n    return h * (1 / 0) + W.x(x)  # here\n", "ZeroDivisionError division by zero"),
    "is no Python": ("def mine(h, x, W, b)\n    return h\n", r"can't be run: SyntaxError"),
    "fails": (
        "def mine(h, x, W, b):\n    return h\n\n\nmine = undefined  # here\n",
        "can't be run: NameError: name 'undefined' is not defined",
    ),
    "imports what isn't there": (
        "from cells.grammar.functions import swish  # here\n",
        "cannot import name 'swish' from 'cells.grammar.functions': it has abs, clamp",
    ),
    "leaves": ("import sys\n\nsys.exit(3)  # here\n", "can't be run: SystemExit: 3"),
    "is a number": ("mine = 3\n", r"mine in .*\.py is a int, not a function"),
    "is called otherwise": ("def mein(h, x, W, b):\n    return h\n", r"has no function mine: did you mean mein\?"),
    "sets what is learned": (
        "def mine(h, x, W, b):\n    b.h = 0.5  # here\n    return tanh(W.h(h) + W.x(x) + b.h)\n",
        r"a cell can't assign to a parameter: set its initial value with @cell\(init=\{'b\.h': 0\.5\}\)",
    ),
    "a tensor of its own": (
        "mask = torch.ones(5)\n\n\ndef mine(h, x, W, b):\n    return tanh(W.h(h) + W.x(x)) * mask  # here\n",
        r"a cell can't contain a tensor: .* a learned vector as p\.name",
    ),
    "a layer of its own": (
        "layer = torch.nn.Linear(3, 5)\n\n\ndef mine(h, x, W, b):\n    return tanh(W.h(h) + layer(x))  # here\n",
        r"a cell can't contain a tensor: write a learned matrix as W\.name\(v\)",
    ),
    "copies a value": (
        "import copy\n\n\ndef mine(h, x, W, b):\n    return tanh(copy.deepcopy(h) + W.x(x))  # here\n",
        "a cell can't reuse a value from another step: return it as a state",
    ),
    "leaves from within": ("def mine(h, x, W, b):\n    exit(3)  # here\n", "SystemExit 3"),
    "unpacks a value": ("def mine(h, x, W, b):\n    a, c = h  # here\n    return W.a(a) + W.x(c)\n", "cannot unpack non-iterable a value"),
    "begins at no number": (
        "@cell(init={'b.h': math.nan})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h) + b.h)\n",
        r"init has nan for b\.h: it must be a number",
    ),
    "a start that is no number": (
        "@cell(start={'h': math.nan})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        "start has nan for h: it must be a number, the initial value",
    ),
    "a domain of one number": (
        "@cell(domain={'h': 3.0})  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        r"domain has 3\.0 for h: it must be \(low, high\), the range of random states",
    ),
    "no brackets": (
        "@cell  # here\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h))\n",
        r"@cell on mine needs arguments in parentheses, @cell\(paper=…\)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_cells(bench, tmp_path, name):
    told(bench, tmp_path, *WRONG[name])


def told(bench, folder, text, message):
    """The cell `mine` of a file that ends with `text` is refused by that message in one line, which names the line that ends with
    "# here"."""
    file = folder / "my_cells.py"
    file.write_text(BEGIN + text)
    code, out, err = bench("all", "--dry-run", "--cells", f"{file}:mine", "--input", "3", "--hidden", "5", "--device", "cpu")
    assert (code, out) == (2, "") and err.startswith("bench: ") and err.count("\n") == 1
    assert re.search(message, err), err
    at = next((n for n, line in enumerate((BEGIN + text).splitlines(), start=1) if line.endswith("# here")), 0)
    assert not at or err.endswith(f'(File "{file}", line {at})\n'), err
    assert len(err.replace(str(folder), "")) < 400, "longer lines lose their middle"


def test_each_has_a_message_of_its_own():
    """But for what is one mistake written in several ways."""
    assert len({message for _, message in WRONG.values()}) >= 20


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nowhere.py:mine", "there is no file nowhere.py"),
        ("my_cells:mine", "--cells takes FILE.py:NAME for a function of your own, not my_cells:mine"),
        ("my_cells.py:", "--cells takes FILE.py:NAME for a function of your own, not my_cells.py:"),
        ("mingur", "no cell is called 'mingur': did you mean mingru?"),
        (",", "no cell named: choose from"),
    ],
)
def test_wrong_names(bench, spec, says):
    code, out, err = bench("all", "--dry-run", "--cells", spec, "--device", "cpu")
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
