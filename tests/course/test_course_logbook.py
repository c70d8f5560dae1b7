"""Progress: the file, the line to copy, and what happens when either is damaged."""

from __future__ import annotations

import base64
import json
import string
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenet_lab.course.logbook import Attempt, CourseError, Log, Store, decode, encode, learner_seed, store, tidy_name

LOG = Log("ana", {"00.1": Attempt(True, 2, 1, False), "00.2": Attempt(False, 3)}, {"00.a": "timeout"})

ids = st.from_regex(r"[0-9]{2}\.[0-9a-z]", fullmatch=True)
counts = st.integers(0, 99)
attempts = st.builds(Attempt, st.booleans(), counts, counts, st.booleans())
names = st.text(max_size=20).filter(lambda n: n.isprintable()).map(tidy_name)
logs = st.builds(Log, names, st.dictionaries(ids, attempts, max_size=8), st.dictionaries(ids, st.text(max_size=40), max_size=4))


@given(logs)
def test_the_line_brings_everything_back(log: Log) -> None:
    line = encode(log)
    assert line.isascii() and not set(line) & set(string.whitespace + "\"'\\")
    back = decode(line)
    assert (back.learner, dict(back.attempts), dict(back.predictions)) == (log.learner, dict(log.attempts), dict(log.predictions))


def test_a_line_survives_how_people_copy() -> None:
    line = encode(LOG)
    assert decode(f"  {line[:20]}\n   {line[20:]} ") == LOG
    assert decode(f'"{line}"') == LOG


@settings(max_examples=300)
@given(st.data())
def test_any_damage_is_refused(data: st.DataObject) -> None:
    line = encode(LOG)
    how = data.draw(st.sampled_from(["change", "drop", "add", "cut", "swap"]))
    place = data.draw(st.integers(4, len(line) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_!~é"))
    damaged = {
        "change": line[:place] + letter + line[place + 1 :],
        "drop": line[:place] + line[place + 1 :],
        "add": line[:place] + letter + line[place:],
        "cut": line[:place],
        "swap": line[: place - 1] + line[place] + line[place - 1] + line[place + 1 :] if place > 4 else line[:4] + line[5:],
    }[how]
    if damaged == line:
        return
    with pytest.raises(CourseError, match="damaged|holds no record"):
        decode(damaged)


def forged(data: object, raw: bytes | None = None) -> str:
    import hashlib

    packed = zlib.compress(json.dumps(data).encode() if raw is None else raw)
    return "KL1-" + base64.urlsafe_b64encode(hashlib.sha256(packed).digest()[:4] + packed).decode().rstrip("=")


@pytest.mark.parametrize(
    "line",
    [
        None, 7, "", "hello", "KL2-abcd", "KL1-", "KL1-AAAA", forged([]), forged({"l": "x"}), forged({"l": "", "e": 3, "p": {}}),
        forged({"l": "", "e": {"00.1": [1]}, "p": {}}), forged(None, b"\xff\xfe"), forged(None, b" " * 10_000_000),
    ],
    ids=lambda v: str(v)[:20],
)  # fmt: skip
def test_what_is_no_line_is_refused_with_a_clear_error(line: object) -> None:
    with pytest.raises(CourseError, match="progress line"):
        decode(line)


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    book = Store(path)
    assert not path.exists(), "nothing done, no file"
    book.change(book.log.with_attempt("00.1", Attempt(True, 1)))
    book.switch("ana")
    book.change(book.log.with_attempt("00.2", Attempt(False, 2)))
    again = Store(path)
    assert again.learner == "ana" and dict(again.log.attempts) == {"00.2": Attempt(False, 2)}
    again.switch("")
    assert dict(again.log.attempts) == {"00.1": Attempt(True, 1)}
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"], "no temporary file is left"


def test_two_notebooks_side_by_side_do_not_undo_each_other(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "p.json"), Store(tmp_path / "p.json")
    one.change(one.log.with_attempt("00.1", Attempt(True, 1)))
    two.change(two.log.with_attempt("01.1", Attempt(True, 4)))
    one.change(one.log.with_prediction("00.a", "timeout"))
    final = Store(tmp_path / "p.json").log
    assert set(final.attempts) == {"00.1", "01.1"} and final.predictions == {"00.a": "timeout"}


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.json"
    book = Store(path)
    book.change(book.log.with_attempt("00.1", Attempt(True, 1)))
    before = path.read_text()
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    book.change(book.log.with_attempt("00.2", Attempt(True, 1)))
    assert path.read_text() == before and book.trouble and book.log.attempts["00.2"].right
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    book = Store(blocked / "p.json")  # a file where a folder should be: not writable, even by root
    book.change(book.log.with_attempt("00.1", Attempt(True, 1)))
    assert book.log.attempts["00.1"].right and "cannot be written" in book.trouble


@pytest.mark.parametrize("text", ["", "{", "[]", '{"learners": {"": 3}, "learner": ""}', '{"learners": {}}', "\x00\xff"])
def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text, encoding="latin-1")
    book = Store(path)
    assert dict(book.log.attempts) == {}
    assert (tmp_path / "p.json.unreadable").read_text(encoding="latin-1") == text
    book.change(book.log.with_attempt("00.1", Attempt(True, 1)))
    assert Store(path).log.attempts["00.1"].right


def test_where_progress_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store().path is None, "the tests keep none"
    monkeypatch.delenv("KUBENET_PROGRESS")
    assert store().path == tmp_path / ".kubenet-progress.json"
    monkeypatch.setenv("KUBENET_PROGRESS", str(tmp_path / "else.json"))
    assert store().path == tmp_path / "else.json"
    assert store() is store()


def test_names() -> None:
    assert tidy_name(" Ana ") == tidy_name("ana") == "ana" and tidy_name(None) == tidy_name("  ") == ""
    assert learner_seed("") == 0 and len({learner_seed(n) for n in ("ana", "ben", "cem", "dora")}) == 4
    for bad in (7, "a" * 61, "a\x07b", ["ana"]):
        with pytest.raises(CourseError, match="name"):
            tidy_name(bad)


@given(logs, logs)
def test_merging_undoes_nothing(one: Log, two: Log) -> None:
    both = one.merged(two)
    for log in (one, two):
        for id, attempt in log.attempts.items():
            merged = both.attempts[id]
            assert merged.right >= attempt.right and merged.tries >= attempt.tries and merged.hints >= attempt.hints
    assert both.predictions.keys() == one.predictions.keys() | two.predictions.keys()
