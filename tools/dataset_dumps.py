"""Write the dumps of the shipped datasets: what `kubectl get -o yaml` shows of the cluster that their manifests make.

    python tools/dataset_dumps.py [--check] [NAME ...]

`--check` writes nothing and fails where a dump is not what the manifests make today. A test does the same.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: datasets that carry a dump of themselves beside their manifests
WITH_DUMP = ("bookshop",)


def dump_of(name: str) -> str:
    import kubenet_lab as kn
    from kubenet_lab.objects.dump import dump

    return dump(kn.example(name).store)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=WITH_DUMP, metavar="NAME")
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args()
    stale = 0
    for name in options.names:
        path = ROOT / "datasets" / name / "dump.yaml"
        text = dump_of(name)
        if path.exists() and path.read_text("utf-8") == text:
            print(f"{path.relative_to(ROOT)}: up to date")
        elif options.check:
            print(f"{path.relative_to(ROOT)}: differs from what the manifests make")
            stale += 1
        else:
            path.write_text(text, "utf-8", newline="\n")
            print(f"{path.relative_to(ROOT)}: written, {len(text) // 1024} kB")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
