"""The command line: what a newcomer types, its exit codes, and no traceback for a mistake."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gatewright.tasks import LanguageModel
from gatewright.tasks.fabric import LAUNCHERS
from gatewright.tasks.folder import CHECKPOINTS, CONFIG, WEIGHTS

COMMAND = [sys.executable, "-c", "from gatewright.cli.main import run; run()"]
SMALL = ["--hidden-size", "12", "--batch-size", "4", "--steps", "8", "--progress", "lines"]
PROSE = "".join(f"{n} gates remember {n * n} things, and forget {n % 7}.\n" for n in range(120))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(PROSE, encoding="utf-8")
    return path


class Done:
    """What a command left: exit code, output, errors."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process, in a folder of its own."""
    from gatewright.cli.main import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["gatewright", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run()
        found = capsys.readouterr()
        return Done(exit_.value.code or 0, found.out, found.err)  # type: ignore[arg-type]

    return call


def test_train_evaluate_generate(call: Any, text: Path) -> None:
    done = call("language", "train", "text.txt", "--out", "m", *SMALL, "--updates", "4", "--evaluate-every", "2")
    assert done.code == 0, done.err
    assert re.search(r"update +2 .*train \d\.\d+ +valid \d\.\d+", done.out)
    for row in ("validation loss (nats a token)", "validation perplexity", "backend", "training tokens"):
        assert row in done.out
    done = call("language", "evaluate", "m", "text.txt")
    assert done.code == 0
    assert "perplexity" in done.out
    one = call("language", "generate", "m", "--prompt", "7 gates", "--length", "20", "--seed", "1")
    assert one.code == 0
    assert one.out.startswith("7 gates")
    assert len(one.out) == 28
    assert call("language", "generate", "m", "--prompt", "7 gates", "--length", "20", "--seed", "1").out == one.out
    done = call("language", "train", "text.txt", "--out", "m", "--resume", "--updates", "6", "--progress", "lines")
    assert done.code == 0
    assert re.search(r"update +6 ", done.out) and not re.search(r"update +4 ", done.out)


def test_a_file_of_equations_and_settings_without_a_default(call: Any, text: Path, tmp_path: Path) -> None:
    (tmp_path / "simple.txt").write_text("h_t = tanh(W x_t + U h_{t-1} + b)\n", encoding="utf-8")
    done = call(
        *("language", "train", "text.txt", "--out", "m", *SMALL, "--cell", "simple.txt", "--updates", "1"),
        *("--tied", "--embedding-size", "12", "--tokenizer", "bytes", "--optimizer", "sgd", "--clip", "0"),
    )
    assert done.code == 0, done.err
    model = LanguageModel.load(tmp_path / "m")
    assert model.cell_name == "simple"
    assert (model.settings.tied, model.settings.tokenizer) == (True, "bytes")


MISTAKES: dict[str, tuple[str, int, str]] = {
    "no text": ("train none.txt --out m", 1, r"none\.txt: no such file or folder"),
    "empty": ("train empty.txt --out m", 1, r"empty\.txt: the text is empty"),
    "binary": ("train binary.bin --out m", 1, r"binary\.bin: a binary file, not text"),
    "latin": ("train latin.txt --out m", 1, r"latin\.txt: not UTF-8 at byte 3 \(0xe8"),
    "short": ("train short.txt --out m", 1, r"too short: 9 tokens, at least 65 are needed"),
    "cell": ("train text.txt --out m --cell lsmt", 2, r"setting cell: .*lsmt.*lstm"),
    "equations": ("train text.txt --out m --cell bad.cell", 2, r"setting cell: "),
    "device": ("train text.txt --out m --accelerator tpux", 2, r"(?s)Invalid value.*accelerator"),
    "setting": ("train text.txt --out m --dropout 1.5", 2, r"setting dropout: expected a number from 0"),
    "flag": ("train text.txt --hiden-size 3", 2, r"(?s)No such option.*hiden-size"),
    "number": ("train text.txt --hidden-size many", 2, r"(?s)Invalid value.*hidden-size"),
    "style": ("train text.txt --out m --progress loud", 2, r"progress: expected auto, bar, lines or none"),
    "devices": ("train text.txt --out m --batch-size 3 --devices 2", 2, r"3 sequences do not divide among 2"),
    "resume": ("train text.txt --out m --resume", 1, r"m: nothing to resume"),
    "file": ("train text.txt --out text.txt", 2, r"text\.txt: is a file, expected a folder"),
    "no folder": ("evaluate m text.txt", 1, r"m: no such model folder; train one first"),
    "not a model": ("generate folder", 1, r"folder: not a model folder"),
    "no name": ("train text.txt --out ''", 2, r"the name of the folder is empty"),
    "somebody's folder": ("train text.txt --out foreign", 1, r"foreign.config\.json: would be overwritten"),
    "somebody's weights": (
        "train text.txt --out foreign --overwrite",
        1,
        r"foreign.config\.json: would be overwritten",
    ),
    "backend": ("train text.txt --out m --backend foo", 2, r"(?s)Invalid value.*backend"),
    "vendor": ("train text.txt --out m --backend vendor --cell mgu", 2, r"make no network: .*mgu are none of torch's"),
    "heads": ("train text.txt --out m --hidden-size 16 --heads 3", 2, r"make no network: .*heads"),
    "seed": (
        "train text.txt --out m --seed 99999999999999999999999",
        2,
        r"setting seed: expected a number below 2\*\*63",
    ),
    "infinite": ("train text.txt --out m --learning-rate inf", 2, r"setting learning_rate: expected a number, got inf"),
    "memory": ("train text.txt --out m --hidden-size 100000000", 2, r"hidden_size 100000000 and .* need more memory"),
    "long cell": (f"train text.txt --out m --cell '{'x + ' * 99}'", 2, r"setting cell: "),
    "long equations": (f"train text.txt --out m --cell 'h = {'x + ' * 99}'", 2, r"setting cell: "),
    "nodes": ("train text.txt --out m --nodes 2 --batch-size 4", 2, r"nodes 2: .*torchrun --nnodes 2"),
    "resume and overwrite": ("train --out m --resume --overwrite", 2, r"--overwrite: a run that goes on"),
    "resume and files": ("train --out m --resume --files *.txt", 2, r"--files: a run that goes on"),
    "temperature": ("generate m --temperature -1", 1, r"m: no such model folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str, call: Any, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "binary.bin").write_bytes(b"abc\0def")
    (tmp_path / "latin.txt").write_bytes("très".encode("latin1").replace(b"r", b"rr"))
    (tmp_path / "short.txt").write_text("0123456789")
    (tmp_path / "bad.cell").write_text("h = tanh(W x + U h + b")
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "foreign").mkdir()
    for name in (CONFIG, WEIGHTS):
        (tmp_path / "foreign" / name).write_text('{"format": "other"}')
    contents = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    arguments, code, message = MISTAKES[mistake]
    before = sorted(tmp_path.rglob("*"))
    done = call("language", *shlex.split(arguments))
    assert done.code == code, done.err
    assert re.search(message, done.err), done.err
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before  # nothing half made is left
    assert {p: p.read_bytes() for p in contents} == contents


def test_a_folder_whose_name_looks_like_markup(call: Any, text: Path) -> None:
    done = call("language", "train", "text.txt", "--out", "k[bold]", *SMALL, "--updates", "1")
    assert done.code == 0, done.err
    assert "k[bold]" in done.out
    assert call("language", "train", "text.txt", "--out", "k[", "--overwrite", *SMALL, "--updates", "1").code == 0
    done = call("language", "evaluate", "k[bold]", "text.txt")
    assert done.code == 0 and "k[bold] on text.txt" in done.out
    assert call("language", "generate", "k[bold]", "--seed", str(2**63)).code == 2


def test_a_file_does_not_hide_a_cell(call: Any, text: Path, tmp_path: Path) -> None:
    (tmp_path / "lstm").write_bytes(b"")
    done = call("language", "train", "text.txt", "--out", "m", *SMALL, "--cell", "lstm", "--updates", "1")
    assert done.code == 0, done.err
    assert LanguageModel.load(tmp_path / "m").cell_name == "lstm"


def test_the_backend_is_named_without_a_window_of_memory(call: Any, text: Path) -> None:
    done = call(
        *("language", "train", "text.txt", "--out", "m", "--hidden-size", "12", "--batch-size", "4"),
        *("--steps", "100000000", "--updates", "1", "--progress", "none"),
    )
    assert done.code == 0, done.err


def test_debug_shows_where(call: Any) -> None:
    from gatewright.tasks.errors import TextError

    with pytest.raises(TextError):
        call("--debug", "language", "train", "none.txt", "--out", "m")


def test_help_names_every_setting(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = call("language", "train", "--help")
    assert done.code == 0
    for flag in (
        "--cell",
        "--hidden-size",
        "--devices",
        "--nodes",
        "--precision",
        "--minutes",
        "--resume",
        "--tied",
    ):
        assert flag in done.out


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_and_resuming(number: signal.Signals, code: int, text: Path, tmp_path: Path) -> None:
    train = [*COMMAND, "language", "train", "text.txt", "--out", "m", *SMALL, "--evaluate-every", "5"]
    process = subprocess.Popen(
        [*train, "--updates", "100000", "--patience", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    folder = tmp_path / "m" / CHECKPOINTS
    while not [p for p in folder.glob("*[1-9]*") if p.name.isdigit()]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    stopped_at = int(re.search(r"stopped after update (\d+); go on with: .* --out m --resume", err).group(1))  # type: ignore[union-attr]
    assert "Traceback" not in err
    again = [*COMMAND, "language", "train", "--out", "m", "--resume", "--progress", "lines"]
    done = subprocess.run(
        [*again, "--updates", str(stopped_at + 7)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [int(n) for n in re.findall(r"update +(\d+) ", out + done.stdout)]
    assert rows == sorted(set(rows))
    assert rows[-1] == stopped_at + 7


@pytest.mark.slow
def test_stopping_two_processes(text: Path, tmp_path: Path) -> None:
    train = [*COMMAND, "language", "train", "text.txt", "--out", "m", *SMALL, "--accelerator", "cpu", "--devices", "2"]
    process = subprocess.Popen(
        [*train, "--updates", "100000", "--patience", "0", "--evaluate-every", "5"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "m").glob("model.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped after update" in err and "Traceback" not in err
    assert "distributed" not in err  # what Lightning says of its processes
    assert LanguageModel.resume(tmp_path / "m", devices=1, updates=100_001, minutes=0.001).metrics["updates"] > 5


@pytest.mark.slow
def test_output_that_nobody_reads(tmp_path: Path, text: Path) -> None:
    LanguageModel(hidden_size=4, batch_size=2, steps=4, updates=1).fit(text, out=tmp_path / "m")
    command = " ".join(f"'{part}'" for part in [*COMMAND, "language", "generate", "m", "--length", "5"])
    done = subprocess.run(f"{command} | true", shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.slow
def test_importing_the_command_loads_nothing_heavy() -> None:
    code = (
        "import sys, gatewright; bad = {'lightning_fabric', 'tokenizers', 'typer', 'rich', 'safetensors'};"
        "assert not bad & set(sys.modules), bad & set(sys.modules);"
        "gatewright.tasks.LanguageModel('lstm');"
        "bad = {'lightning_fabric', 'tokenizers', 'typer', 'rich'};"
        "assert not bad & set(sys.modules), bad & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_missing_extra_is_named(tmp_path: Path, text: Path) -> None:
    for module, flags in (
        ("lightning_fabric", ["--updates", "1"]),
        ("tokenizers", ["--tokenizer", "pieces"]),
    ):
        code = f"import sys; sys.modules[{module!r}] = None; from gatewright.cli.main import run; run()"
        arguments = ["language", "train", "text.txt", "--out", "m", *SMALL, *flags]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "not installed; install it with: pip install 'gatewright[train]'" in done.stderr
        assert "Traceback" not in done.stderr
