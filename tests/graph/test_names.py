"""Names come out right, or the error does, wherever and however a cell is written."""

# ruff: noqa: RET504 - an equation is an assignment

from __future__ import annotations

import code
import functools
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

import gatewright as gw
from gatewright import affine, bias, diagonal, layer_norm, linear, sigmoid, tanh

PEEPHOLE = """
import gatewright as gw
from gatewright import affine, diagonal, sigmoid, tanh

@gw.cell
def peephole(x, h, c):
    i = sigmoid(affine(x, h) + diagonal(c))
    f = sigmoid(affine(x, h) + diagonal(c))
    g = tanh(affine(x, h))
    c = f * c + i * g
    o = sigmoid(affine(x, h) + diagonal(c))
    h = o * tanh(c)
    return h, c
"""
PARAMETERS = "W_i U_i b_i p_i W_f U_f b_f p_f W_g U_g b_g W_o U_o b_o p_o".split()
EQUATIONS = "i f g c o h".split()
SHOW = "print(*[p.attr.name for p in peephole.params], '|', *peephole.graph.names)\n"
SHOWN = f"{' '.join(PARAMETERS)} | {' '.join(EQUATIONS)}"


def parameters(cell: gw.Cell) -> list[str]:
    return [p.attr.name for p in cell.params]


def equations(cell: gw.Cell) -> list[str]:
    return list(cell.graph.names)


def assert_peephole(cell: gw.Cell) -> None:
    assert parameters(cell) == PARAMETERS
    assert equations(cell) == EQUATIONS


def run(*command: str, given: str = "", folder: Path) -> str:
    done = subprocess.run(
        command, input=given, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def peephole(x, h, c):
    i = sigmoid(affine(x, h) + diagonal(c))
    f = sigmoid(affine(x, h) + diagonal(c))
    g = tanh(affine(x, h))
    c = f * c + i * g
    o = sigmoid(affine(x, h) + diagonal(c))
    h = o * tanh(c)
    return h, c


# -- where a cell is written ---------------------------------------------------------------------------


def test_a_function_in_a_file():
    assert_peephole(gw.cell(peephole))


def test_a_module_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "module_with_a_cell.py").write_text(PEEPHOLE)
    monkeypatch.syspath_prepend(tmp_path)
    import module_with_a_cell  # pyright: ignore[reportMissingImports]

    assert_peephole(module_with_a_cell.peephole)


def test_exec_with_and_without_a_module_name():
    for given in ({}, {"__name__": None}, {"__name__": "__main__"}):
        exec(PEEPHOLE, given)
        assert_peephole(given["peephole"])


def test_exec_inside_a_function_with_locals_of_its_own():
    own: dict = {}
    exec(compile(PEEPHOLE, "<generated>", "exec"), {**vars(gw), "__name__": "made"}, own)
    assert_peephole(own["peephole"])


def test_the_interactive_console():
    console = code.InteractiveConsole()
    for line in [*PEEPHOLE.strip().splitlines(), ""]:
        more = console.push(line)
    assert not more
    assert_peephole(console.locals["peephole"])


@pytest.mark.slow
def test_the_repl(tmp_path: Path):
    typed = PEEPHOLE.strip() + "\n\n" + SHOW
    assert SHOWN in run(sys.executable, "-i", "-q", given=typed, folder=tmp_path)


@pytest.mark.slow
def test_python_with_its_program_on_standard_input_and_as_an_argument(tmp_path: Path):
    assert SHOWN in run(sys.executable, "-", given=PEEPHOLE + SHOW, folder=tmp_path)
    assert SHOWN in run(sys.executable, "-c", PEEPHOLE + SHOW, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the kernel's client has warnings of its own
def test_a_notebook(tmp_path: Path):
    wrong = "@gw.cell\ndef wrong(x, h):\n    return tanh(affine(x, h) * sigmoid(affine(x, h)))\n"
    cells = [nbformat.v4.new_code_cell(source) for source in (PEEPHOLE, SHOW, wrong)]
    cells[2].metadata["tags"] = ["raises-exception"]
    book = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert book.cells[1].outputs[0].text.strip() == SHOWN
    error = book.cells[2].outputs[-1]
    assert error.ename == "CellError"
    assert "return tanh(affine(x, h) * sigmoid(affine(x, h)))" in error.evalue


@pytest.mark.slow
def test_the_ipython_shell(tmp_path: Path):
    program = f"""
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance(history_load_length=0)
        shell.run_cell({PEEPHOLE!r}).raise_error()
        shell.run_cell({SHOW!r}).raise_error()
    """
    assert SHOWN in run(sys.executable, "-c", textwrap.dedent(program), folder=tmp_path)


# -- who is watching -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_under_coverage(tmp_path: Path):
    (tmp_path / "program.py").write_text(PEEPHOLE + SHOW)
    assert SHOWN in run(sys.executable, "-m", "coverage", "run", "program.py", folder=tmp_path)
    assert SHOWN in run(sys.executable, "-m", "coverage", "run", "--branch", "--timid", "program.py", folder=tmp_path)


@pytest.mark.slow
def test_under_the_debugger_step_by_step(tmp_path: Path):
    (tmp_path / "program.py").write_text(PEEPHOLE + SHOW)
    number = next(k for k, line in enumerate(PEEPHOLE.splitlines(), 1) if line.startswith("    i ="))
    looks = ["p i", "pp locals()", "whatis i", "p f", "args", "next", "step", "up", "down", "return", "next", "p c"]
    typed = "\n".join([f"break {number}", "continue", "next", "next", *looks, "continue", "quit"]) + "\n"
    shown = run(sys.executable, "-m", "pdb", "program.py", given=typed, folder=tmp_path)
    assert "<value sigmoid>" in shown  # it stopped inside, and looked
    assert SHOWN in shown


@pytest.mark.slow
def test_under_the_debugger_stepping_into_everything(tmp_path: Path):
    program = "import bdb\n" + textwrap.dedent(
        f"""
        class Stepper(bdb.Bdb):
            lines = 0
            def user_line(self, frame):
                self.lines += 1
                frame.f_locals, frame.f_globals  # what a debugger shows
                self.set_step()
        source = {PEEPHOLE!r}
        stepper, made = Stepper(), dict()
        stepper.run(source, made, made)
        assert stepper.lines > 100, stepper.lines
        peephole = made["peephole"]
        """
    )
    assert SHOWN in run(sys.executable, "-c", program + SHOW, folder=tmp_path)


def test_under_a_trace_function_and_a_profiler():
    seen = []

    def watch(frame, event, argument):
        seen.append(dict(frame.f_locals))
        return watch

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(watch)
    sys.setprofile(watch)
    made = gw.cell(peephole)
    sys.settrace(before[0])
    sys.setprofile(before[1])
    assert len(seen) > 100
    assert_peephole(made)


# -- how a cell is written -----------------------------------------------------------------------------


def test_a_lambda():
    made = gw.cell(lambda x, h: tanh(affine(x, h)), name="elman")
    assert (made.name, parameters(made), equations(made)) == ("elman", ["W_h", "U_h", "b_h"], ["h"])
    assert gw.cell(lambda x, h: tanh(affine(x, h))).name == "cell"


def test_a_lambda_with_two_products_needs_names():
    with pytest.raises(gw.CellError, match="the name b_h would belong to two parameters"):
        gw.cell(lambda x, h: sigmoid(affine(x, h)) * tanh(affine(x, h)))
    made = gw.cell(lambda x, h: sigmoid(affine(x, h), name="f") * tanh(affine(x, h), name="g"))
    assert parameters(made) == ["W_f", "U_f", "b_f", "W_g", "U_g", "b_g"]
    assert equations(made) == ["f", "g", "h"]


def test_nested_functions_see_their_own_names():
    @gw.cell
    def nested(x, h):
        def gates():
            r = sigmoid(affine(x, h))
            z = sigmoid(affine(x, h))
            return r, z

        reset, update = gates()
        n = tanh(affine(x, reset * h))
        h = (1 - update) * n + update * h
        return h

    # The cell's own locals are nearer than those of a helper.
    assert parameters(nested)[:6] == ["W_reset", "U_reset", "b_reset", "W_update", "U_update", "b_update"]
    assert equations(nested) == ["reset", "update", "n", "h"]


def test_a_helper_that_names_one_value_names_it():
    def candidate(x, h):
        n = tanh(affine(x, h))
        return 2 * n

    @gw.cell
    def helped(x, h):
        h = h + candidate(x, h)
        return h

    assert parameters(helped) == ["W_n", "U_n", "b_n"]
    assert equations(helped) == ["n", "h"]


def test_a_helper_called_twice_names_nothing():
    def gate(*vectors, name=None):
        squashed = sigmoid(affine(*vectors, name=name))
        return squashed

    @gw.cell
    def helped(x, h):
        r = gate(x, h)
        z = gate(x, h)
        h = z * h + (1 - z) * r
        return h

    assert parameters(helped) == ["W_r", "U_r", "b_r", "W_z", "U_z", "b_z"]
    assert equations(helped) == ["r", "z", "h"]


@pytest.mark.parametrize("kind", ["positional", "keyword"])
def test_a_helpers_arguments_are_nobodys_names(kind: str):
    def by_position(v):
        v = 2 * sigmoid(v)
        return v

    def by_keyword(*, v):
        return 2 * sigmoid(v)

    @gw.cell
    def helped(x, h):
        f = by_position(affine(x, h)) if kind == "positional" else by_keyword(v=affine(x, h))
        h = f * h
        return h

    assert parameters(helped) == ["W_f", "U_f", "b_f"]
    assert equations(helped) == ["f", "h"]


def test_tuple_assignment_and_starred_assignment():
    @gw.cell
    def together(x, h, c):
        i, f = sigmoid(affine(x, h)), sigmoid(affine(x, h))
        (g, *rest) = tanh(affine(x, h)), sigmoid(affine(x, h, name="o"), name="o")
        c, h = f * c + i * g, rest[0] * tanh(c)
        return h, c

    assert parameters(together) == [f"{k}_{n}" for n in "ifgo" for k in "WUb"]
    assert equations(together) == ["i", "f", "g", "o", "c", "h"]


def test_a_walrus_and_a_chain_of_names():
    @gw.cell
    def walrus(x, h):
        h = (z := sigmoid(affine(x, h))) * h + (1 - z) * (n := tanh(affine(x, h)))
        first = second = n * 2
        return h + first - second

    assert parameters(walrus) == ["W_z", "U_z", "b_z", "W_n", "U_n", "b_n"]
    assert equations(walrus)[:3] == ["z", "n", "first"]


def test_a_loop_with_names():
    @gw.cell
    def looped(x, h):
        for k in range(3):
            h = tanh(affine(x, h, name=f"layer{k}"))
        return h

    assert sorted(parameters(looped)) == sorted(f"{kind}_layer{k}" for k in range(3) for kind in "WUb")


def test_a_loop_without_names_shows_its_line():
    with pytest.raises(gw.CellError, match=r"name b_h would belong to two .*in a loop: name=f'gate\{k\}'") as error:

        @gw.cell
        def looped(x, h):
            for _ in range(2):
                h = tanh(affine(x, h))
            return h

    assert str(error.value).count("h = tanh(affine(x, h))") == 1  # one line, twice
    assert str(error.value).startswith("test_names.py:")


def test_a_dict_and_a_list():
    @gw.cell
    def kept(x, h):
        gates = {name: sigmoid(affine(x, h, name=name)) for name in ("r", "z")}
        n = [tanh(affine(x, gates["r"] * h))]
        h = (1 - gates["z"]) * n[0] + gates["z"] * h
        return h

    assert parameters(kept) == ["W_r", "U_r", "b_r", "W_z", "U_z", "b_z", "W_h", "U_h", "b_h"]
    assert equations(kept) == ["r", "z", "h"]
    with pytest.raises(gw.CellError, match="two parameters"):

        @gw.cell
        def nameless(x, h):
            gates = {name: sigmoid(affine(x, h)) for name in ("r", "z")}
            return gates["r"] * gates["z"]


def test_a_comprehensions_variable_is_nobodys_name():
    @gw.cell
    def understood(x, h):
        f, g = [sigmoid(a) for a in (affine(x), linear(h))]
        h = f * g
        return h

    assert parameters(understood) == ["W_f", "b_f", "U_g"]


def test_a_closure():
    def make(squash, count):
        @gw.cell
        def closed(x, h):
            f = squash(affine(x, h))

            def twice():
                nonlocal f
                return count * f

            h = twice() * h
            return h

        return closed

    assert parameters(make(gw.relu, 3)) == ["W_f", "U_f", "b_f"]
    assert "relu" in str(make(gw.relu, 3))


def wrapping(function):
    @functools.wraps(function)
    def wrapped(*values, **words):
        result = function(*values, **words)
        return result

    return wrapped


def plainly_wrapping(function):
    def wrapped(x, h, c):
        return function(x, h, c)

    return wrapped


@pytest.mark.parametrize("decorator", [wrapping, plainly_wrapping, lambda f: wrapping(wrapping(f))])
def test_a_decorated_function(decorator):
    assert_peephole(gw.cell(decorator(peephole), name="peephole"))


def test_a_decorators_name_for_the_result_is_not_its_name():
    made = gw.cell(wrapping(lambda x, h: tanh(affine(x, h))))
    assert (parameters(made), equations(made)) == (["W_h", "U_h", "b_h"], ["h"])


def test_a_plainly_decorated_function_of_any_arguments_is_refused():
    def anything(function):
        return lambda *values: function(*values)

    with pytest.raises(gw.CellError, match=r"\*values has no fixed inputs and states"):
        gw.cell(anything(peephole))


class Holder:
    def method(self, x, h, c):
        return peephole(x, h, c)

    def __call__(self, x, h):
        f = sigmoid(affine(x, h))
        c = f * h  # no state: a name like any other
        h = tanh(c)
        return h

    @staticmethod
    def static(x, h):
        h = tanh(affine(x, h))
        return h


def test_methods_partials_and_callable_objects():
    assert_peephole(gw.cell(Holder().method))
    assert equations(gw.cell(Holder(), name="held")) == ["f", "c", "h"]
    assert parameters(gw.cell(Holder.static)) == ["W_h", "U_h", "b_h"]

    def scaled(factor, x, h, *, bent=True):
        a = affine(x, h)
        c = factor * a
        c = tanh(c) if bent else c
        return c

    made = gw.cell(functools.partial(scaled, 2.0), name="scaled")
    assert parameters(made) == ["W_a", "U_a", "b_a"]
    assert made.with_(bent=False) == gw.cell(functools.partial(scaled, 2.0, bent=False), name="scaled")
    assert_peephole(gw.cell(functools.partial(wrapping(peephole)), name="partial"))


def test_a_cell_traced_while_another_is():
    @gw.cell
    def outer(x, h):
        f = sigmoid(affine(x, h))

        @gw.cell
        def inner(x, h):
            g = tanh(affine(x, h))
            h = g * h
            return h

        assert parameters(inner) == ["W_g", "U_g", "b_g"]
        h = f * h
        return h

    assert parameters(outer) == ["W_f", "U_f", "b_f"]


def test_torch_and_numpy_functions_name_nothing():
    @gw.cell
    def foreign(x, h):
        z = torch.sigmoid(affine(x, h))
        h = torch.tanh(z) * h
        return h

    assert (parameters(foreign), equations(foreign)) == (["W_z", "U_z", "b_z"], ["z", "h"])


def test_threads_do_not_mix_their_names():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        for made in pool.map(lambda _: gw.cell(peephole), range(40)):
            assert_peephole(made)


# -- which name ----------------------------------------------------------------------------------------


def test_a_name_given_again_is_the_later_values():
    @gw.cell
    def again(x, h):
        x = tanh(affine(x))
        a = x + linear(h)
        a = tanh(a)
        h = 2 * a
        return h

    assert parameters(again) == ["W_x", "b_x", "U_a"]
    assert equations(again) == ["a", "h"]
    assert again.graph.names["a"].op == "tanh"


def test_a_name_given_again_to_a_value_that_has_one_is_no_equation():
    @gw.cell
    def again(x, h):
        a = affine(x, h)
        h = tanh(a)
        a = h
        return h

    assert parameters(again) == ["W_a", "U_a", "b_a"]
    assert equations(again) == ["h"]  # a is no longer what it was


def test_the_first_of_two_names_stays():
    @gw.cell
    def twice(x, h):
        f = sigmoid(affine(x, h))
        forget = f
        h = forget * h
        return h

    assert equations(twice) == ["f", "h"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("α", "alpha"),
        ("lambda_", "lambda"),
        ("c̃", "c_tilde"),
        ("c_tilde", "c_tilde"),
        ("Γ", "Gamma"),
        ("ﬁ", "fi"),
        ("变量", "变量"),
        ("Ångström", "Ångström"),
        ("f__x", "f_x"),
        ("f_t", "f_t"),
        ("t", "t"),
        ("t_t", "t_t"),
        ("sigma", "sigma"),
        ("width", "width"),
        ("LN_2", "LN_2"),
        ("b_0", "b_0"),
        ("e5", "e5"),
        ("W", "W"),
        ("dot", "dot"),
        ("x_hat", "x_hat"),
        ("hat_x", "hat_x"),
        ("f_bar_bar", "f_bar_bar"),
    ],
)
def test_any_identifier_is_a_name_that_text_and_latex_can_say(written: str, read: str):
    made: dict = {}
    body = f"    {written} = sigmoid(affine(x, h))\n    h = {written} * h\n    return h\n"
    exec(f"from gatewright import *\ndef named(x, h):\n{body}", made)
    cell = gw.cell(made["named"])
    assert equations(cell) == [read, "h"]
    assert parameters(cell) == [f"W_{read}", f"U_{read}", f"b_{read}"]
    assert gw.parse(str(cell)) == cell
    assert gw.parse(cell.latex()) == cell


@pytest.mark.parametrize("name", ["हि", "a·b"])
def test_a_name_that_text_cannot_say_is_refused(name: str):
    made: dict = {}
    exec(f"from gatewright import *\ndef named(x, h):\n    {name} = affine(x, h)\n    return {name} * h\n", made)
    with pytest.raises(gw.CellError, match="has a sign that equations as text cannot say: rename it"):
        gw.cell(made["named"])


def test_names_that_begin_with_an_underscore_are_private():
    @gw.cell
    def private(x, h):
        _f = sigmoid(affine(x, h))
        h = _f * h
        return h

    assert (parameters(private), equations(private)) == (["W_h", "U_h", "b_h"], ["h"])


def test_name_gives_what_no_local_does_and_goes_before_a_local():
    @gw.cell
    def named(x, h):
        local = sigmoid(affine(x, h), name="f")
        h = local * tanh(affine(x, h, name="g"))
        return h

    assert parameters(named) == ["W_f", "U_f", "b_f", "W_g", "U_g", "b_g"]
    assert equations(named) == ["f", "g", "h"]


@pytest.mark.parametrize("name", ["", "1f", "f g", "_f", 3, "f-g"])
def test_a_wrong_name_is_refused(name):
    with pytest.raises(gw.CellError, match=r"name=.*: expected a name such as 'f'"):
        gw.cell(lambda x, h: tanh(affine(x, h, name=name)))


def test_parameters_of_every_kind():
    @gw.cell
    def kinds(x, h):
        a = layer_norm(linear(x, h) + diagonal(h)) + bias()
        h = tanh(a)
        return h

    assert parameters(kinds) == ["gain_a", "W_a", "U_a", "p_a", "b_a"]


def test_several_products_with_vectors_of_one_kind_are_named_after_them():
    @gw.cell
    def several(x, h, c):
        f = sigmoid(affine(x, h, c) + diagonal(h) + diagonal(c))
        c = f * c
        h = tanh(c) + h
        return h, c

    assert parameters(several) == ["W_f", "U_f_h", "U_f_c", "b_f", "p_f_h", "p_f_c"]


def test_biases_that_would_collide_are_named_after_their_vector():
    assert [n for n in parameters(gw.cells.gru) if "_n" in n] == ["W_n", "b_n_x", "U_n", "b_n_h"]


def test_a_name_for_two_parameters_shows_both_lines():
    with pytest.raises(gw.CellError, match="the name b_f would belong to two parameters") as error:

        @gw.cell
        def doubled(x, h):
            a = linear(x) + bias(name="f")
            b = linear(h) + bias(name="f")
            h = a * b
            return h

    assert 'a = linear(x) + bias(name="f")' in str(error.value)
    assert 'b = linear(h) + bias(name="f")' in str(error.value)


def test_a_bare_product_that_is_used_twice_needs_a_name():
    def unnamed(x, h):
        def parts():
            return linear(x), linear(h)

        return (lambda two: two[0] * two[1])(parts()) * 2, (h,)

    made = gw.cell(unnamed)  # the output is y, the nearest name
    assert parameters(made) == ["W_y", "U_y"]


def test_a_product_that_reaches_no_name_shows_its_line():
    with pytest.raises(gw.CellError, match="the parameters of this product have no name: assign the result") as error:

        @gw.cell
        def lost(x, h):
            affine(x, h)
            h = tanh(x) + h
            return h

    assert "affine(x, h)`" in str(error.value)
    assert "give name='f'" in str(error.value)


# -- what can be watched -------------------------------------------------------------------------------


def test_the_argument_of_a_squashing_is_f_pre_and_the_old_state_c_prev():
    watched = gw.cell(peephole).graph.watchable()
    assert list(watched) == ["h_prev", "c_prev", "i_pre", "f_pre", "g_pre", "o_pre", *EQUATIONS]
    assert watched["c_prev"].op == "state"
    assert watched["f_pre"] is watched["f"].args[0]


def test_f_pre_exists_only_where_f_is_directly_a_squashing():
    @gw.cell
    def scaled(x, h):
        f = 2 * sigmoid(affine(x, h))
        g = gw.exp(affine(x, h))
        h = f * h * g
        return h

    assert not {"f_pre", "g_pre", "h_pre"} & set(scaled.graph.watchable())


def test_a_users_own_f_pre_wins():
    @gw.cell
    def own(x, h):
        f_pre = affine(x, h)
        f = sigmoid(f_pre - 1)
        h = f * h
        return h

    graph = own.graph
    assert graph.watchable()["f_pre"] is graph.names["f_pre"]
    assert graph.watchable()["f_pre"] is not graph.names["f"].args[0]
    assert parameters(own) == ["W_f_pre", "U_f_pre", "b_f_pre"]


def test_an_output_that_is_no_state():
    @gw.cell
    def apart(x, c):
        c = tanh(affine(x, c))
        return 2 * c, (c,)

    assert (apart.graph.output_name, equations(apart)) == ("y", ["c", "y"])


# -- names are saved, and matched ----------------------------------------------------------------------


def test_weights_are_matched_by_name_when_two_lines_are_swapped():
    @gw.cell
    def swapped(x, h, c):
        f = sigmoid(affine(x, h) + diagonal(c))
        i = sigmoid(affine(x, h) + diagonal(c))
        g = tanh(affine(x, h))
        c = f * c + i * g
        o = sigmoid(affine(x, h) + diagonal(c))
        h = o * tanh(c)
        return h, c

    first = gw.Recurrent(gw.cell(peephole), 3, 4, backend="reference")
    second = gw.Recurrent(swapped, 3, 4, backend="reference")
    second.load_state_dict(first.state_dict())
    ours, theirs = first.weights(), second.weights()
    assert set(ours) == set(PARAMETERS)
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, rtol=0, atol=0)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(second(x)[0], first(x)[0])


def test_a_helper_called_once_names_as_one_called_twice():
    """A second gate must not rename the first one's weights: saved ones would no longer load."""

    def gate(x, h):
        pre = gw.affine(x, h)
        return gw.sigmoid(pre)

    @gw.cell
    def one(x, h):
        i = gate(x, h)
        h = i * gw.tanh(h)
        return h

    @gw.cell
    def two(x, h):
        i = gate(x, h)
        f = gate(x, h)
        h = f * h + i * gw.tanh(h)
        return h

    assert [p.attr.name for p in one.params] == ["W_i", "U_i", "b_i"]
    assert {p.attr.name for p in one.params} <= {p.attr.name for p in two.params}
    assert {"i", "i_pre"} <= set(one.graph.watchable())
