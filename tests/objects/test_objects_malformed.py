"""A folder of malformed manifests: one clear error each, which names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubenet_lab.errors import LoadError
from kubenet_lab.objects import Store

FOLDER = Path(__file__).parent.parent / "conformance" / "objects" / "malformed"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_one_error_at_the_marked_line(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    expected = next(line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: "))
    marked = next(i for i, line in enumerate(lines, 1) if line.endswith("# <- here"))
    store = Store()
    with pytest.raises(LoadError) as caught:
        store.apply(path)
    (problem,) = caught.value.problems
    assert f"{problem.path}: {problem.message}" == expected
    assert problem.line == marked
    assert problem.document == 1
    assert problem.file == path.as_posix()
    assert problem.object.split(" ")[0] == next(line.split()[-1] for line in lines if line.startswith("kind:"))
    assert "Traceback" not in str(caught.value) and path.name in str(caught.value)
    assert store.snapshot().all() == ()


def test_the_whole_folder_at_once_tells_everything() -> None:
    with pytest.raises(LoadError) as caught:
        Store().apply(FOLDER)
    found = {p.file for p in caught.value.problems}
    # later files of one name merge into earlier ones of the same load, so only the files are compared
    assert {p.as_posix() for p in FILES} >= found
    assert len(found) > 0.9 * len(FILES)


def test_there_is_one_for_every_kind() -> None:
    kinds = {next(line.split()[1] for line in p.read_text().split("\n") if line.startswith("kind:")) for p in FILES}
    assert len(kinds) == 17
