"""The command line `nft`: options, commands in words or from a file. Source: nft(8), nftables 1.0.6 src/main.c; measured."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import CommandError, NotModelled
from .listing import Seen
from .parse import Done, run_text
from .ruleset import NftRuleset

__all__ = ["VERSION", "run"]

VERSION = "nftables v1.0.6 (Lester Gooch #5)\n"
_SHORT = {"a": "a", "n": "n", "s": "s", "y": "y", "N": "n", "S": "", "u": "", "p": "", "t": "t", "e": "", "o": "", "c": "c"}
_LONG = {"--handle": "a", "--numeric": "n", "--stateless": "s", "--terse": "t", "--check": "c", "--numeric-priority": "y", "--echo": ""}


def run(ruleset: NftRuleset, argv: Sequence[str], *, stdin: str = "", read: object = None, seen: Seen | None = None) -> Done:
    """Run one command line on the ruleset. `read`: a function file name -> text, for `-f FILE`. Raises CommandError in the tool's words."""
    words, options, file = list(argv[1:]), set(), None
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word in ("-f", "--file"):
            if not words:
                raise CommandError("nft: option requires an argument -- 'f'")
            file = words.pop(0)
        elif word in ("-v", "--version"):
            return Done(VERSION)
        elif word in ("-j", "--json", "-i", "--interactive", "-I", "-d", "--debug", "-D"):
            raise NotModelled(f"nft {word}")
        elif word in _LONG:
            options.add(_LONG[word])
        elif not word.startswith("--") and all(k in _SHORT for k in word[1:]):
            options.update(_SHORT[k] for k in word[1:])
        else:
            raise CommandError(f"nft: unrecognized option '{word}'")
    if options & {"n", "y", "t"}:
        raise NotModelled("nft -n, -y and -t: numeric and terse listings")
    if file is not None:
        name = "/dev/stdin" if file == "-" else file
        text = stdin if name in ("/dev/stdin",) or not callable(read) else read(name)
        target = ruleset.copy() if "c" in options else ruleset
        done = run_text(target, text, late=True, file=name, seen=seen, options=frozenset(options))
    elif not words:
        raise CommandError("nft: no command specified")
    else:
        target = ruleset.copy() if "c" in options else ruleset
        done = run_text(target, " ".join(words), late=True, seen=seen, options=frozenset(options))
    if "c" in options:
        return Done(done.output)
    return done
