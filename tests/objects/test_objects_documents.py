"""Sources: every form of input, and errors that name the place."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError, LoadError
from kubenet_lab.objects import Store, read
from kubenet_lab.objects.documents import path_of
from kubenet_lab.objects.yamltext import dump_yaml

VALUES = yaml.safe_load((Path(__file__).parent.parent / "conformance" / "objects" / "yaml_values.yaml").read_text(encoding="utf-8"))
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n"


def one(text: str) -> Any:
    documents, problems = read(f"apiVersion: v1\nkind: X\nvalue: {text}\n")
    assert not problems
    return documents[0].data["value"]


def problems(source: Any) -> list[str]:
    return [str(p) for p in read(source)[1]]


@pytest.mark.parametrize(("text", "value"), VALUES["values"])
def test_scalars_as_kubectl_reads_them(text: str, value: Any) -> None:
    found = one(text)
    assert found == value and type(found) is type(value)


@given(st.text(max_size=12) | st.sampled_from(["y", "1e3", "0777", "22:22", "null", "~", "- a", "a: b", "#", "1_0", "\n", " x ", "{", "'"]))
def test_written_yaml_reads_back(text: str) -> None:
    if any(not c.isprintable() and c not in "\n\t" for c in text):
        return
    documents, wrong = read(dump_yaml({"apiVersion": "v1", "kind": "X", "value": text, "list": [text], "key": {text or "k": 1}}))
    assert not wrong
    assert documents[0].data["value"] == text and documents[0].data["list"] == [text]


def test_keys_become_text() -> None:
    assert one("{1: a, true: b, 1.5: c, 2.0: d}") == {"1": "a", "true": "b", "1.5": "c", "2": "d"}
    assert one("{yes: a}") == {"true": "a"}
    assert one("{x: 1, y: 2}") == {"x": 1, "true": 2}  # YAML 1.1's trap, and kubectl falls into it


def test_merge_keys_and_anchors() -> None:
    text = "apiVersion: v1\nkind: X\nbase: &b {p: 1, q: 2}\nvalue: {<<: *b, q: 3}\nlist: [*b, *b]\nboth: {<<: [*b, {z: 9, p: 7}]}\n"
    data = read(text)[0][0].data
    assert data["value"] == {"p": 1, "q": 3}
    assert data["both"] == {"p": 1, "q": 2, "z": 9}
    assert data["list"][0] is not data["list"][1]


def test_many_documents_comments_and_markers() -> None:
    documents, wrong = read(f"# first\n---\n{POD}---\n# nothing\n---\n{POD.replace('a}', 'b}')}...\n--- # c\n{POD.replace('a}', 'c}')}")
    assert not wrong
    assert [d.data["metadata"]["name"] for d in documents] == ["a", "b", "c"]
    assert [d.origin.document for d in documents] == [1, 2, 3]
    assert [d.origin.line("metadata.name") for d in documents] == [5, 12, 18]


def test_a_text_block_may_hold_a_marker_that_is_indented() -> None:
    documents, _ = read("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    ---\n    y\n")
    assert documents[0].data["data"] == {"x": "---\ny\n"}


def test_lists_are_flattened() -> None:
    item = {"metadata": {"name": "a"}, "spec": {}}
    typed = {"apiVersion": "v1", "kind": "PodList", "items": [item]}
    plain = {"apiVersion": "v1", "kind": "List", "items": [{**item, "apiVersion": "v1", "kind": "Pod"}, typed]}
    documents, wrong = read(plain)
    assert not wrong and [d.data["kind"] for d in documents] == ["Pod", "Pod"]
    assert read(json.dumps(plain))[0][1].data["apiVersion"] == "v1"
    assert read({"apiVersion": "v1", "kind": "List", "items": None}) == ([], [])


def test_json_in_every_layout() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, indent="\t")
    assert read(text)[0][0].data["metadata"] == {"name": "a"}
    assert len(read(text + "\n" + text)[0]) == 2
    assert read(f"[{text},{text}]")[0][1].data["kind"] == "Pod"
    assert read("{apiVersion: v1, kind: Pod}")[0][0].data == {"apiVersion": "v1", "kind": "Pod"}
    assert read(text)[0][0].origin.line("metadata.name") == 5


def test_folders_globs_files_and_lists_of_these(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.yaml").write_text(POD.replace("a}", "b}"))
    (tmp_path / "a.yml").write_text(POD)
    (tmp_path / "sub" / "c.json").write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}))
    (tmp_path / "notes.txt").write_text("not: [read")
    names = [d.data["metadata"]["name"] for d in read(tmp_path)[0]]
    assert names == ["a", "b", "c"]
    assert [d.data["metadata"]["name"] for d in read(str(tmp_path / "*.y*ml"))[0]] == ["a", "b"]
    assert len(read([tmp_path, str(tmp_path / "a.yml"), {"apiVersion": "v1", "kind": "Pod"}, POD])[0]) == 6
    assert read(tmp_path)[0][0].origin.file == (tmp_path / "a.yml").as_posix()
    assert read(tmp_path / "a.yml")[0][0].data == read(POD)[0][0].data


def test_encodings(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + POD.encode())
    (tmp_path / "wide.yaml").write_bytes(POD.encode("utf-16"))
    (tmp_path / "crlf.yaml").write_bytes(POD.replace("\n", "\r\n").encode())
    assert len(read(tmp_path)[0]) == 3
    (tmp_path / "latin.yaml").write_bytes(b"a: b\nc: caf\xe9\n")
    assert problems(tmp_path / "latin.yaml") == [f"{(tmp_path / 'latin.yaml').as_posix()}, line 2: not UTF-8 text"]
    assert len(read(POD.encode())[0]) == 1


def test_a_missing_path_says_what_is_near(tmp_path: Path) -> None:
    (tmp_path / "bookshop.yaml").write_text(POD)
    assert "no such file or folder; nearest: bookshop.yaml" in problems(tmp_path / "bookshp.yaml")[0]
    assert "no such file or folder" in problems("bookshp")[0]
    assert f"{tmp_path}" in problems(tmp_path / "x" / "y" / "z.yaml")[0]
    assert "no file matches this pattern" in problems(str(tmp_path / "*.json"))[0]
    (tmp_path / "empty").mkdir()
    assert "holds no .yaml" in problems(tmp_path / "empty")[0]
    (tmp_path / "void.yaml").write_text("\n")
    assert "the file is empty" in problems(tmp_path / "void.yaml")[0]
    assert problems("") == ["<input>: the source is empty"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Pod\n\tapiVersion: v1\n", "<input>, document 1, line 2: found a tab where YAML wants spaces: indent with spaces"),
        ("a: 1\nb: 2\na: 3\n", '<input>, document 1, line 3: key "a" already set in map'),
        ("a: {x: 1, x: 2}\n", '<input>, document 1, line 1: key "x" already set in map'),
        ('{"a": 1,\n "a": 2}', '<input>, document 1, line 2: key "a" already set in map'),
        ("a: b\n c: d\n", "<input>, document 1, line 2: mapping values are not allowed in this context"),
        ("a: [1\n", "<input>, document 1, line 2: did not find expected ',' or ']'"),
        ("name: {{ .Values.name }}\n", "helm template"),
        ("- 1\n", "<input>, document 1, line 1: expected a mapping with apiVersion and kind, found a list"),
        ("just words: here\nkind: Pod\n", "apiVersion: apiVersion not set"),
        ("apiVersion: v1\n", "<input>, document 1, line 1: kind: kind not set"),
        ("apiVersion: 1\nkind: Pod\n", "<input>, document 1, line 1: apiVersion: expected text, found 1"),
        ("apiVersion: v1\nkind: Pod\nx: .inf\n", "<input>, document 1, line 3: Pod: x: json: unsupported value"),
        ("a: *nowhere\n", "<input>, document 1, line 1: found undefined alias"),
        ("a: !!int x\n", "<input>, document 1, line 1: cannot decode `x` as a !!int"),
        ("a: &a [*a]\n", "<input>, document 1, line 1: an anchor contains itself"),
        ("? [a]\n: b\n", "a mapping key must be text"),
        ("a: \x07\n", "control characters are not allowed (found U+0007)"),
    ],
)
def test_parse_errors_name_the_place(text: str, said: str) -> None:
    found = problems(text)
    assert any(said.replace("Pod: x", "x") in p.replace("Pod: x", "x") for p in found), found


def test_an_error_in_one_document_leaves_the_others_readable() -> None:
    documents, wrong = read(f"{POD}---\na: [\n---\n{POD}")
    assert len(documents) == 2 and [(p.document, p.line) for p in wrong] == [(2, 7)]
    assert documents[1].origin.document == 3


def test_dicts_hold_only_what_json_has() -> None:
    assert "spec.x[1]: expected what JSON has, found set" in problems({"apiVersion": "v1", "kind": "X", "spec": {"x": [1, {2}]}})[0]
    assert "found object" in problems(object())[0]
    assert "not a finite number" in problems({"apiVersion": "v1", "kind": "X", "x": math.nan})[0]
    source = {"apiVersion": "v1", "kind": "X", "spec": {"x": [1]}}
    read(source)[0][0].data["spec"]["x"].append(2)
    assert source["spec"] == {"x": [1]}


def test_aliases_cannot_grow_without_end() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "excessive aliasing" in problems("\n".join(rows))[0]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 50_000, "? " * 50_000, '{"a":' * 60_000, "- ? " * 50_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested deeper than 200 levels" in problems(text)[0]


def test_secret_values_are_dropped_when_they_are_read() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": base64.b64encode(b"hush").decode()},
              "stringData": {"b": "hush"}}  # fmt: skip
    document = read(secret)[0][0].data
    assert document["data"] == {"a": ""} and document["stringData"] == {"b": ""}
    assert problems({**secret, "data": {"a": "%%"}}) == ["Secret s: data[a]: illegal base64 data at input byte 0"]
    note = json.dumps({**secret, "metadata": {"name": "s"}})
    noted = {**secret, "metadata": {"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": note}}}
    assert "hush" not in json.dumps(read(noted)[0][0].data) and "aHVzaA" not in json.dumps(read(noted)[0][0].data)


def test_env_values_are_dropped_everywhere() -> None:
    env = [{"name": "A", "value": "hush"}, {"name": "B", "valueFrom": {"fieldRef": {}}}]
    spec = {"containers": [{"name": "c", "image": "i", "env": env}], "initContainers": [{"name": "d", "env": env[:1]}]}
    for document in (
        {"apiVersion": "v1", "kind": "Pod", "spec": spec},
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": spec}}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"template": {"spec": spec}}},
    ):
        text = json.dumps(read(document)[0][0].data)
        assert "hush" not in text and '"A"' in text and "fieldRef" in text


def test_paths_of_messages() -> None:
    assert path_of("spec.ports[0].port") == ("spec", "ports", 0, "port")
    assert path_of("data[a.b]") == ("data", "a.b")
    assert path_of("metadata.annotations[x.y/z]") == ("metadata", "annotations", "x.y/z")
    assert path_of("") == ()


@given(st.text(max_size=60) | st.text(alphabet="abk: -\n[]{}'\"#&*!|>?,~\t0.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    documents, wrong = read(text + "\n")
    assert all(str(p) for p in wrong)
    for document in documents:
        document.origin.line("spec.x[0]")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.floats(allow_nan=False) | st.sampled_from(["", "a", "v1", "10.0.0.1", "<b>"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "metadata", "ports", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["Pod", "Service", "Deployment", "NetworkPolicy", "Ingress", "EndpointSlice", "Secret", "List", "Foo"]),
    JSON,
    JSON,
    JSON,
)
def test_any_object_is_taken_or_refused(kind: str, metadata: Any, spec: Any, rest: Any) -> None:
    groups = {"Deployment": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1", "Ingress": "networking.k8s.io/v1"}
    document = {"apiVersion": groups.get(kind, "v1"), "kind": kind, "metadata": metadata, "spec": spec, "items": rest, "endpoints": rest}
    for strict in (None, True, False):
        store = Store()
        try:
            store.apply(document, strict=strict)
        except LoadError as error:
            assert error.problems and str(error)
            assert store.snapshot().all() == ()
        except KubenetError as error:  # pragma: no cover
            raise AssertionError("apply raises LoadError only") from error
