"""What a new process pays for its first cell, as JSON: run by `benchmarks.compiling`, in processes of their own.

GATEWRIGHT_CACHE=FOLDER python benchmarks/first_run.py THREADS
"""

import json
import os
import sys
import time


def main() -> None:
    """Seconds behind `import torch`, and new entries of the cache: for the first size, and for another one."""
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    began = time.perf_counter()
    import gatewright as gw

    imported, entries = time.perf_counter(), kept()

    @gw.cell
    def unseen(x, h, c, m):
        """In no zoo: three states, and powers of gates."""
        i = gw.sigmoid(gw.affine(x, h) + gw.diagonal(m))
        f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
        g = gw.tanh(gw.affine(x, h))
        c = f * f * c + i * g
        m = 0.75 * m + 0.25 * gw.abs(c)
        o = gw.sigmoid(gw.affine(x, h) + gw.diagonal(m))
        h = o * gw.tanh(c)
        return h, c, m

    @gw.cell
    def second(x, h, c):
        """Nor is this one."""
        f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
        c = f * c + (1 - f * f) * gw.tanh(gw.affine(x, h))
        h = gw.sigmoid(gw.affine(x, h)) * gw.tanh(c)
        return h, c

    def run(cell: gw.Cell, T: int, B: int, I: int, H: int) -> None:
        layer = gw.Recurrent(cell, I, H, backend="cpu")
        x = torch.randn(T, B, I, requires_grad=True)
        layer(x)[0].sum().backward()

    run(unseen, 20, 8, 64, 128)
    first, compiled = time.perf_counter(), kept()
    run(unseen, 33, 3, 10, 50)
    another, of_another = time.perf_counter(), kept()
    run(second, 20, 8, 64, 128)
    further = time.perf_counter()
    found = {
        "import": imported - began,
        "first": first - imported,
        "compiled": compiled - entries,
        "another": another - first,
        "compiled for another": of_another - compiled,
        "further": further - another,
    }
    print(json.dumps(found))


def kept() -> int:
    """How many kernels are in the cache: each that is compiled is one more."""
    folder = os.environ["GATEWRIGHT_CACHE"]
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


if __name__ == "__main__":
    main()
