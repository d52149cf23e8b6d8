"""`gatewright serve` and `--tune`: what is typed, and what a mistake is answered with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from gatewright.explorer import sentences
from gatewright.tasks import LanguageModel

COMMAND = [sys.executable, "-c", "from gatewright.cli.main import run; run()"]
TEXT = "To be, or not to be, that is the question. " * 30
SMALL = "--hidden-size 4 --batch-size 4 --steps 16 --updates 4 --num-layers 1".split()


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in a folder of its own: (exit code, output, errors)."""
    from gatewright.cli.main import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["gatewright", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run()
        found = capsys.readouterr()
        return exit_.value.code or 0, found.out, found.err

    return call


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["none"], 1, "none: no such model folder"),
        (["."], 1, "config.json"),
        ([str(sentences.FOLDER), "--max-batch", "0"], 2, "setting max_batch"),
        ([str(sentences.FOLDER), "--max-body", "big"], 2, "expected a size like 1MB"),
        ([str(sentences.FOLDER), "--port", "70000"], 2, "port: expected 0 to 65535"),
        ([str(sentences.FOLDER), "--host", "no.such.host.invalid", "--port", "0"], 2, "no address of this machine"),
        ([str(sentences.FOLDER), "--device", "soup", "--port", "0"], 2, "device 'soup': not usable here"),
    ],
)
def test_a_mistake_is_one_line(flags, code, message, call):
    found, _, err = call("serve", *flags, *([] if "--port" in flags else ["--port", "0"]))
    assert found == code and message in err and err.startswith("error: ") and "Traceback" not in err


def test_every_limit_is_a_flag(call):
    code, out, _ = call("serve", "--help")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert code == 0
    for flag in "host port token max-batch max-wait-ms max-queue max-body timeout max-sessions session-minutes".split():
        assert f"--{flag}" in plain, flag


@pytest.mark.slow
def test_a_folder_is_served():
    command = [*COMMAND, "serve", str(sentences.FOLDER), "--port", "0", "--log", "json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, **pipes, env=environment) as process:
        lines = [process.stdout.readline(), process.stdout.readline()]
        found = re.search(r"http://127\.0\.0\.1:\d+/", lines[1])
        assert found, process.stderr.read()
        item = {"prompt": "the keys", "length": 6, "seed": 3}
        request = urllib.request.Request(
            f"{found[0]}predict", json.dumps(item).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["text"] == LanguageModel.load(sentences.FOLDER).generate(**item)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    logged = json.loads(err.splitlines()[0])
    assert (logged["route"], logged["status"]) == ("/predict", 200)
    assert process.returncode == 130 and "Traceback" not in err, err


def test_settings_are_tuned_and_the_study_goes_on(call, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    run = ["language", "train", "--out", "m", "--progress", "lines"]
    code, out, err = call(*run, "text.txt", "--tune", "2", *SMALL)
    assert code == 0 and "trial   2 of 2" in out, err
    assert call(*run, "text.txt", "--tune", "2", *SMALL)[0] == 2  # there is a model
    code, out, err = call(*run, "--tune", "3", "--resume")
    assert code == 0 and "trial   3 of 3" in out and "trial   2" not in out, err
    table = json.loads((tmp_path / "m" / "tuning.json").read_text())
    assert table["done"] == 3 and {"hidden_size", "num_layers"} - set(table["search"]) == {"hidden_size"}
    code, _, err = call(*run, "--tune", "0", "--resume")
    assert code == 2 and "trials: expected a whole number" in err
