"""The kernel cache: what is kept is found again, whole or not at all, and only where nobody else can write."""

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from gatewright.backends.cpu import cache
from gatewright.backends.cpu.cache import Cache


@pytest.fixture
def kept(tmp_path):
    return Cache(tmp_path / "kept")


def only_file(kept):
    (path,) = kept.folder.iterdir()
    return path


def test_what_is_kept_is_found_again(kept):
    assert kept.get("lstm") is None
    kept.put("lstm", b"code")
    kept.put("gru", b"other code")
    again = Cache(kept.folder)
    assert again.get("lstm") == b"code"
    assert again.get("gru") == b"other code"
    assert again.get("rnn") is None


def test_nobody_else_can_look_or_write(kept):
    kept.put("lstm", b"code")
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert only_file(kept).stat().st_mode & 0o077 == 0


def test_a_damaged_entry_is_absent_and_replaced(kept):
    kept.put("lstm", b"code")
    path = only_file(kept)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))] + [whole + b"x"]
    damaged += [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    for entry in damaged:
        path.write_bytes(entry)
        assert kept.get("lstm") is None
    kept.put("lstm", b"code")
    assert kept.get("lstm") == b"code"


def test_an_entry_of_another_key_is_absent(kept):
    kept.put("lstm", b"code")
    only_file(kept).rename(kept._path("gru"))
    assert kept.get("gru") is None


def test_the_longest_unused_goes_first(tmp_path):
    kept = Cache(tmp_path / "kept", limit=3500)
    for age, key in enumerate("cba"):
        kept.put(key, bytes(1000))
        os.utime(kept._path(key), (100 - age, 100 - age))  # a is the oldest
    assert kept.get("a") == bytes(1000)  # and now the one used last
    kept.put("d", bytes(1000))
    assert {key for key in "abcd" if kept.get(key) is not None} == set("acd")


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path):
    kept = Cache(tmp_path / "kept", limit=1000)
    kept.put("small", bytes(100))
    kept.put("large", bytes(1000))
    assert kept.get("large") is None
    assert kept.get("small") is not None


def test_what_a_dead_writer_left_is_removed(kept):
    kept.put("lstm", b"code")
    old, new = (kept.folder / f"{name}{cache.UNFINISHED}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    kept.put("gru", b"code")
    assert not old.exists()
    assert new.exists()
    assert kept.get("lstm") == b"code"


# -- folders that cannot be trusted or used ----------------------------------------------------------


def warns_once(kept, text):
    """Nothing is found or kept, and one warning says why."""
    with pytest.warns(UserWarning, match=text):
        kept.put("lstm", b"code")
    kept.put("gru", b"code")
    assert kept.get("lstm") is None


def test_a_folder_that_others_can_write_to_is_refused(kept):
    kept.put("lstm", b"code")
    for mode in (0o720, 0o702):
        kept.folder.chmod(mode)
        warns_once(Cache(kept.folder), "others can write to it .chmod 700")
    kept.folder.chmod(0o755)
    assert kept.get("lstm") == b"code"


def test_a_folder_of_somebody_else_is_refused(kept, monkeypatch):
    kept.put("lstm", b"code")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    warns_once(Cache(kept.folder), "belongs to another user")


def test_a_folder_below_one_that_others_can_write_to_is_refused(tmp_path):
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    warns_once(Cache(above / "kept"), "others can write to .*above above it")
    above.chmod(0o1777)  # in a sticky one, others cannot rename what is ours
    kept = Cache(above / "kept")
    kept.put("lstm", b"code")
    assert kept.get("lstm") == b"code"


def test_a_folder_below_somebody_elses_is_refused(kept, monkeypatch):
    kept.put("lstm", b"code")
    real = Path.stat

    def stat(path, **how):
        about = list(real(path, **how))
        return os.stat_result([*about[:4], 12345, *about[5:]] if path == kept.folder.parent else about)

    monkeypatch.setattr(Path, "stat", stat)
    warns_once(Cache(kept.folder), f"{kept.folder.parent} above it belongs to another user")


def test_a_place_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    warns_once(Cache(tmp_path / "file" / "kept"), "Not a directory")


def test_a_full_disk_is_no_error(kept, monkeypatch):
    def full(*paths):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    warns_once(kept, "No space left on device")
    assert not list(kept.folder.iterdir())


def test_an_entry_is_found_where_nothing_can_be_written(kept, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    kept.put("lstm", b"code")
    monkeypatch.setattr(os, "utime", read_only)
    assert kept.get("lstm") == b"code"


# -- the environment ---------------------------------------------------------------------------------


def test_the_environment_says_where_and_how_much(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in (cache.FOLDER, cache.SIZE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    usual = cache.default()
    assert usual is cache.default()
    assert (usual.folder, usual.limit) == (tmp_path / "home/.cache/gatewright", 256 << 20)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.default().folder == tmp_path / "xdg/gatewright"
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "named"))
    monkeypatch.setenv(cache.SIZE, "3")
    assert (cache.default().folder, cache.default().limit) == (tmp_path / "named", 3 << 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cache.FOLDER, "here")
    assert cache.default().folder == tmp_path / "here"
    monkeypatch.setenv(cache.FOLDER, "off")
    assert cache.default() is None


def test_without_a_home_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv(cache.FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    cache._cache.cache_clear()
    warns_once(cache.default(), "this user has no home folder")
    assert not list(tmp_path.iterdir())


def test_a_size_that_is_no_number_is_an_error(monkeypatch):
    monkeypatch.delenv(cache.FOLDER, raising=False)
    monkeypatch.setenv(cache.SIZE, "large")
    with pytest.raises(ValueError, match="GATEWRIGHT_CACHE_SIZE: expected a whole number of MiB, got 'large'"):
        cache.default()


# -- several processes -------------------------------------------------------------------------------

WORKER = """
import random, runpy, sys, warnings
warnings.simplefilter("error")
found = runpy.run_path(sys.argv[1])
kept = found["Cache"](found["Path"](sys.argv[2]), limit=20_000)
for step in range(150):
    key = str(random.randrange(12))
    content = key.encode() * 2000
    if random.random() < 0.5:
        kept.put(key, content)
    else:
        assert kept.get(key) in (None, content)
"""


def test_several_processes_share_a_folder(tmp_path):
    command = [sys.executable, "-c", WORKER, cache.__file__, str(tmp_path / "kept")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    failures = [process.communicate(timeout=60)[1] for process in running]
    assert failures == [""] * 6
    left = list(Path(tmp_path / "kept").iterdir())
    assert not [path for path in left if path.suffix]
    kept = Cache(tmp_path / "kept", limit=20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.put("0", b"0")
    assert sum(path.stat().st_size for path in kept.folder.iterdir()) <= 20_000
