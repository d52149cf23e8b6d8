"""Sequences from files: sktime's `.ts`, `.npz`, tables, lines of text, folders and lists of recordings."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.tasks.classify.audio import ENDINGS, read_audio
from gatewright.tasks.classify.sequences import Sequences, ends, from_arrays, from_padded, with_labels
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import DataError, first_line
from gatewright.tasks.table.table import Table, read_table

__all__ = ["read_sequences", "sequences_of_table"]

SEQUENCE_COLUMNS = ("sequence", "series", "series_id", "unique_id", "id")
LOOKED_FOR = "a .ts file, a .npz file, a table (.csv, .parquet), lines of label<TAB>text, or a folder of recordings"


def read_sequences(
    path: Path, settings: ClassifySettings, *, labelled: bool = True, features: Sequence[str] = ()
) -> Sequences:
    """The sequences of a file or folder, by its ending.

    labelled: whether labels are read, and must be there; for predictions they are not. features: the columns of a
    table that are read (default: as the settings say). Raises `DataError` with the place in the file.
    """
    name = path.name
    if path.is_dir():
        if next(path.rglob("*.parquet"), None) is None:
            return _recordings(path, settings)
        return sequences_of_table(path, settings, labelled=labelled, features=features)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {LOOKED_FOR}")
    ending = "".join(path.suffixes[-2:]).lower().removesuffix(".gz").rpartition(".")[2]
    if ending == "npz":
        return _npz(path, settings, labelled=labelled)
    if f".{ending}" in ENDINGS:
        samples, rate = read_audio(path, settings.sample_rate)
        return from_arrays([samples], name=name, ids=[name], rate=rate)
    if ending in ("csv", "parquet", "pq", "feather", "arrow"):
        return sequences_of_table(path, settings, folder=path.parent, labelled=labelled, features=features)
    lines = _lines(path)
    if ending == "ts":
        return _ts(lines, path, settings, labelled=labelled)
    if ending in ("txt", "tsv"):
        return _labelled_lines(lines, path, settings, labelled=labelled)
    raise DataError(f"{path}: a file of an unknown kind ({path.suffix or 'no ending'}); expected {LOOKED_FOR}")


def _lines(path: Path) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({first_line(error)}); give a whole file") from error
    if not content.strip():
        raise DataError(f"{path}: the file is empty; expected {LOOKED_FOR}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; convert the file, as with: "
            f"iconv -f latin1 -t utf-8"
        ) from error
    return text.replace("\r\n", "\n").split("\n")  # not splitlines, which also splits at U+2028 and its like


# -- sktime's .ts ----------------------------------------------------------------------------------------------


def _ts(lines: Sequence[str], path: Path, settings: ClassifySettings, *, labelled: bool) -> Sequences:
    """One case a line: dimensions separated by `:`, values by commas, the class or the target number last."""
    rows = [(k, line.strip()) for k, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    header = {line.split()[0].lower(): line.split()[1:] for _, line in rows if line.startswith("@")}
    if header.get("@timestamps", ["false"])[0].lower() == "true":
        raise DataError(f"{path}: a .ts file with time stamps; expected values alone (@timeStamps false)")
    if "@data" not in header:
        raise DataError(f"{path}: no line @data; expected a .ts file as sktime writes it")
    has_label = any(header.get(key, ["false"])[0].lower() == "true" for key in ("@classlabel", "@targetlabel"))
    cases, labels = [], []
    for number, line in ((k, line) for k, line in rows if not line.startswith("@")):
        parts = line.split(":")
        label = parts.pop() if has_label else None
        if label is not None and labelled:
            labels.append(_label(label, path, number, settings))
        cases.append(_dimensions(parts, path, number))
    found = from_arrays(cases, name=path.name)
    return with_labels(found, labels or None)


def _dimensions(parts: Sequence[str], path: Path, number: int) -> np.ndarray:
    try:
        columns = [np.array([np.nan if v.strip() in ("?", "NaN") else float(v) for v in p.split(",")]) for p in parts]
    except ValueError as error:
        raise DataError(f"{path}, line {number}: expected numbers with commas between: {error}") from error
    steps = {len(column) for column in columns}
    if len(steps) > 1:
        raise DataError(f"{path}, line {number}: its dimensions have different lengths ({sorted(steps)})")
    return np.stack(columns, 1)


def _label(word: str, path: Path, number: int, settings: ClassifySettings) -> Any:
    if settings.kind == "classification":
        return word.strip()
    try:
        return float(word)
    except ValueError as error:
        raise DataError(f"{path}, line {number}: expected a number as the target, got {word!r}") from error


# -- .npz ------------------------------------------------------------------------------------------------------


def _npz(path: Path, settings: ClassifySettings, *, labelled: bool) -> Sequences:
    """samples (N,) or (N, F), offsets (n + 1,), label (n,); sample_rate where the samples are sound."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: cannot be read as arrays; expected a .npz file, as numpy.savez writes it")
    try:
        with np.load(path, allow_pickle=False) as file:
            there = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as arrays ({first_line(error)})") from error
    values = next((there[key] for key in ("samples", "values", "signals", "x", "X") if key in there), None)
    if values is None:
        raise DataError(f"{path}: has {', '.join(there) or 'no arrays'}; expected samples, offsets and label")
    known = [there[key] for key in (settings.label, "label", "labels", "y") if key in there]
    labels = known[0] if known and labelled else None
    if labelled and not known:
        raise DataError(f"{path}: has {', '.join(there)}, and no {settings.label}; name it with --label")
    groups = _named(there, settings.group, path)
    if "offsets" not in there:
        return from_padded(values, there.get("lengths"), labels=labels, groups=groups, name=path.name)
    offsets = there["offsets"].astype(np.int64)
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) <= 0).any():
        raise DataError(
            f"{path}: offsets: expected numbers rising from 0 to the number of samples, {len(values)}; "
            "every sequence needs one sample at least"
        )
    rate = int(there["sample_rate"]) if "sample_rate" in there and values.ndim == 1 else None
    if rate and values.dtype.kind == "i":  # sound as whole numbers, to −1 … 1
        values = values.astype(np.float32) / float(1 << (8 * values.dtype.itemsize - 1))
    return from_arrays(np.split(values, offsets[1:-1]), labels=labels, groups=groups, name=path.name, rate=rate)


def _named(there: dict[str, np.ndarray], group: str | None, path: Path) -> np.ndarray | None:
    if group is None:
        return None
    if group not in there:
        raise DataError(f"{path}: has no array {group!r} for --group; there are {', '.join(there)}")
    names = there.get(f"{group}_names")
    return there[group] if names is None or there[group].dtype.kind not in "iu" else names[there[group]]


# -- text and recordings ---------------------------------------------------------------------------------------


def _labelled_lines(lines: Sequence[str], path: Path, settings: ClassifySettings, *, labelled: bool) -> Sequences:
    labels, texts = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label, tab, text = line.partition("\t")
        if not labelled:
            texts.append(text if tab else line)
            continue
        if not text.strip() or not label.strip():
            raise DataError(f"{path}, line {number}: expected label, a tab, and text; got {line[:40]!r}")
        labels.append(_label(label, path, number, settings))
        texts.append(text)
    return from_arrays(texts, labels=labels or None, name=path.name)


def _recordings(folder: Path, settings: ClassifySettings) -> Sequences:
    files = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in ENDINGS)
    if not files:
        raise DataError(
            f"{folder}: no recordings; expected a sub-folder for each label with {', '.join(ENDINGS)} files"
        )
    return _sound(files, [p.parent.name for p in files], None, folder.name, settings)


def _sound(files: Iterable[Path], labels: Any, groups: Any, name: str, settings: ClassifySettings) -> Sequences:
    waves, rate = [], settings.sample_rate
    files = list(files)
    for file in files:
        samples, rate = read_audio(file, rate)
        waves.append(samples)
    made = from_arrays(waves, name=name, ids=[f"{f.parent.name}/{f.name}" for f in files], rate=rate)
    return with_labels(made, labels, groups)


# -- tables ----------------------------------------------------------------------------------------------------


def sequences_of_table(
    source: Any,
    settings: ClassifySettings,
    *,
    folder: Path = Path(),
    labelled: bool = True,
    features: Sequence[str] = (),
) -> Sequences:
    """Sequences of a table (a file or a frame): long, a row a step; or with a column of texts, or of recordings' files.

    folder: against which the names of recordings are taken. labelled, features: as for `read_sequences`.

    >>> table = {"id": [1, 1, 2], "x": [0.1, 0.2, 0.3], "label": ["a", "a", "b"]}
    >>> found = sequences_of_table(table, ClassifySettings())
    >>> found.lengths.tolist(), found.labels.tolist(), found.features
    ([2, 1], ['a', 'b'], ('x',))
    """
    table = read_table(source)
    name = Path(table.name).name if isinstance(source, Path) else table.name
    labels = table.column(settings.label, "the label").to_pylist() if labelled else None
    groups = None if settings.group is None else table.column(settings.group, "the group").to_pylist()
    if settings.text in table.columns:
        texts = [text or "" for text in table.texts(settings.text)]
        return from_arrays(texts, labels=labels, groups=groups, name=name)
    if settings.file in table.columns:
        return _sound([folder / (f or "") for f in table.texts(settings.file)], labels, groups, name, settings)
    if not features and settings.features:
        features = [column.strip() for column in settings.features.split(",")]
    return _long(table, labels, groups, settings, name, features)


def _long(
    table: Table, labels: Any, groups: Any, settings: ClassifySettings, name: str, features: Sequence[str]
) -> Sequences:
    key = settings.sequence or next((c for c in SEQUENCE_COLUMNS if c in table.columns), None)
    if key is None:
        raise DataError(
            f"{name}: no column says which sequence a row belongs to; it has {', '.join(table.columns)}; "
            "name it with --sequence"
        )
    ids = table.texts(key, "the sequence")
    if None in ids:
        row = table.where(ids.index(None))
        raise DataError(f"{name}, {row}: column {key!r} is empty; say which sequence the row belongs to")
    number: dict[Any, int] = {}
    place = np.array([number.setdefault(i, len(number)) for i in ids])
    wanted = features or _others(table, key, settings, name)
    matrix = _matrix(table, wanted, named=bool(features))
    matrix = matrix[_order(table, settings.order, name, place)]
    words = [str(i) for i in number]
    return from_arrays(
        np.split(matrix, ends(np.bincount(place))[1:-1]),
        labels=_one_each(labels, place, words, "label", table),
        groups=_one_each(groups, place, words, "group", table),
        name=name,
        ids=words,
        features=wanted,
    )


def _others(table: Table, key: str, settings: ClassifySettings, name: str) -> list[str]:
    """All columns that are nothing else."""
    taken = {key, settings.order, settings.label, settings.group}
    left = [column for column in table.columns if column not in taken]
    if not left:
        raise DataError(f"{name}: no columns are left for features; it has {', '.join(table.columns)}")
    return left


def _matrix(table: Table, wanted: Sequence[str], *, named: bool) -> np.ndarray:
    try:
        return np.stack([table.numbers(column, "a feature") for column in wanted], 1)
    except DataError as error:
        if named:
            raise
        raise DataError(
            f"{error}; every column is read as a feature but those of --sequence, --order, --label and --group: "
            "say what this one is, or name the features with --features a,b"
        ) from error


def _order(table: Table, column: str | None, name: str, place: np.ndarray) -> np.ndarray:
    """Rows sequence by sequence, in their order."""
    if column is None:
        return np.argsort(place, kind="stable")
    values = table.column(column, "the order").to_numpy(zero_copy_only=False)
    found = np.lexsort((values, place))
    same = (np.diff(place[found]) == 0) & (values[found][1:] == values[found][:-1])
    if same.any():
        row = int(found[1:][same][0])
        raise DataError(
            f"{name}, {table.where(row)}: column {column!r} has {values[row]} twice in one sequence; "
            "remove one of the rows"
        )
    return found


def _one_each(given: list[Any] | None, place: np.ndarray, words: Sequence[str], what: str, table: Table) -> Any:
    """The one label of each sequence's rows."""
    if given is None:
        return None
    found: dict[int, Any] = {}
    for row, (index, value) in enumerate(zip(place.tolist(), given, strict=True)):
        if found.setdefault(index, value) != value:
            raise DataError(
                f"{table.name}, {table.where(row)}: sequence {words[index]!r} has the {what} {value!r} here and "
                f"{found[index]!r} before; a sequence has one {what}"
            )
    return [found[k] for k in range(len(words))]
