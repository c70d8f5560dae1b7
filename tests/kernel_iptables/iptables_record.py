"""Write down what the real iptables and ipset say to the cases of tests/conformance/kernel_iptables.

Run as root where iptables 1.8.9 and ipset 7.17 are installed: python tests/kernel_iptables/iptables_record.py
The commands stay as they are in the files; statuses, outputs and complaints are written anew.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conftest import PROGRAMS, Session
from iptables_mirror import tidy

TABLES = Path(__file__).resolve().parents[1] / "conformance" / "kernel_iptables"


def main() -> None:
    for path in sorted(TABLES.glob("*.json")):
        sessions = json.loads(path.read_text())
        for session in sessions["sessions"]:
            commands = [(c["run"], c.get("stdin", "")) for c in session["commands"]]
            for backend in session["backends"]:
                with tempfile.TemporaryDirectory() as home:
                    for program in PROGRAMS:
                        (Path(home) / program).symlink_to(shutil.which(f"xtables-{backend}-multi", path="/usr/sbin:/sbin") or "missing")
                    results = Session(Path(home), backend, ["unshare", "-n"]).run(commands)
                for command, r in zip(session["commands"], results, strict=True):
                    command[backend] = {k: v for k, v in (("status", r.status), ("out", tidy(r.out)), ("err", tidy(r.err))) if v}
            for command in session["commands"]:
                if "legacy" in command and command.get("legacy") == command.get("nft"):
                    command["both"] = command.pop("legacy")
                    del command["nft"]
        path.write_text(json.dumps(sessions, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
