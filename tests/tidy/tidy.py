#!/usr/bin/env python3
"""tidy.py ROOT: holds the sources to the rules that a compiler does not know.

Layers and third-party headers, file sizes, unfinished work, paths of one machine, pages that must keep up with the
code, links that must lead somewhere, parsers that nobody fuzzes. Prints one line for each breach; exits with 1 if there is one.
`--self-test` checks the checks on made-up breaches.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

# What each layer may include (CMakeLists.txt links the same).
LAYERS = {
    "core": set(),
    "parsers": {"core"},
    "policy": {"core"},
    "refusal": {"parsers", "core"},
    "engine": {"refusal", "parsers", "policy", "core"},
    "pcap": {"core"},
    "replay": {"pcap", "engine", "policy", "parsers", "core"},
    "learn": {"replay", "engine", "policy", "parsers", "core"},
    "advice": {"replay", "engine", "policy", "core"},
    "report": {"advice", "replay", "engine", "policy", "core"},
    "netfilter": {"engine", "policy", "parsers", "core"},
    "resolver": {"engine", "policy", "parsers", "core"},
    "daemon": {"netfilter", "resolver", "engine", "policy", "parsers", "core"},
    "doctor": {"netfilter", "resolver", "engine", "policy", "parsers", "core"},
    "view": {"core"},
    "cli": {"view", "doctor", "daemon", "netfilter", "resolver", "learn", "report", "advice", "replay", "pcap", "engine", "policy", "parsers", "core"},
}
OUTPUT_LAYERS = {"replay", "learn", "advice", "report", "netfilter", "resolver", "daemon", "doctor", "view", "cli"}
# Third-party headers and the layers that own them.
THIRD_PARTY = {
    "openssl/": {"parsers", "policy", "refusal"},
    "nghttp2/": {"parsers"},
    "toml++/": {"policy"},
    "re2/": {"policy"},
    "idn2.h": {"policy"},
    "libpsl.h": {"policy"},
    "absl/": {"policy", "engine"},
    "pcap.h": {"pcap"},
    "pcap/": {"pcap"},
    "zlib.h": {"pcap", "parsers", "refusal"},
    "zstd.h": {"pcap"},
    "ares.h": {"resolver"},
    "libmnl/": {"netfilter"},
    "seccomp.h": {"daemon"},
    "prometheus/": {"daemon"},
    "libnetfilter_queue/": {"netfilter"},
    "linux/netfilter": {"netfilter"},
    "nlohmann/": OUTPUT_LAYERS,
    "CLI/": {"cli"},
    "curses.h": {"view"},
    "gtest/": set(),
    "gmock/": set(),
    "benchmark/": set(),
}
# The layers below the edge know no socket, no thread and no clock.
PURE_LAYERS = {"core", "parsers", "policy", "refusal", "engine"}
IMPURE = re.compile(r"^(thread|mutex|condition_variable|future|iostream|sys/(?!un\.h).*|netinet/.*|net/.*|linux/.*|unistd\.h|poll\.h|ctime|time\.h)$")
# Tables that all workers share have locks of their own.
LOCKED = {"src/engine/name_bindings.cc", "src/engine/lookup_budget.cc", "src/engine/expectations.cc"}
# The one clock, for the layers that run; it stands where all of them can see it.
CLOCK = "sallyport/core/clock.h"
SYSTEM = re.compile(r"^([a-z_0-9]+|c[a-z]+|(sys|arpa|net|netinet|linux|asm)/[\w./]+|(unistd|fcntl|poll|signal|grp|pwd|sched|pthread|getopt|dirent|glob"
                    r"|errno|netdb|termios|ifaddrs|endian|byteswap|syslog|time|spawn)\.h)$")

MAX_LINES = 600
CODE = {".cc", ".h", ".py", ".sh", ".cmake"}
TEXT = CODE | {".md", ".txt", ".toml", ".json", ".service"}
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATH = re.compile(r"(?<![\w./-])/(home|root|Users|work)/\w")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def layer_of(path: Path) -> str | None:
    parts = path.parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ("include", "sallyport") and len(parts) > 3:
        return parts[2]
    return None


def source_files(root: Path):
    skipped = re.compile(r"^(build.*|\.git|\.cache)$")
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not any(skipped.match(part) for part in relative.parts):
            yield relative


def check_include(path: Path, layer: str, style: str, name: str) -> str | None:
    if name.startswith("sallyport/"):
        target = name.split("/")[1]
        if target != layer and target not in LAYERS[layer]:
            return f"layer {layer} may not include {name}"
        if name == CLOCK and layer in PURE_LAYERS:
            return f"{name} does not belong in layer {layer}, which is given the time"
        return None
    for prefix, owners in THIRD_PARTY.items():
        if name == prefix or (name.startswith(prefix) and not prefix.endswith(".h")):
            if layer not in owners:
                return f"{name} does not belong in layer {layer}"
            return f"a public header may not include {name}" if path.parts[0] == "include" else None
    if layer in PURE_LAYERS and IMPURE.match(name) and not (name == "mutex" and path.as_posix() in LOCKED) and not path.as_posix().endswith(CLOCK):
        return f"{name} does not belong in layer {layer}, which knows no socket, thread or clock"
    if style == "<" and not SYSTEM.match(name):
        return f"{name}: not a known header; add its owner to tests/tidy/tidy.py"
    return None


def check_sources(root: Path):
    for path in source_files(root):
        is_script = path.parts[0] in ("tools", ".ci") and not path.suffix
        if path.suffix not in TEXT and path.name != "CMakeLists.txt" and not is_script:
            continue
        if "corpus" in path.parts:
            continue
        lines = (root / path).read_text(encoding="utf-8", errors="replace").splitlines()
        if (path.suffix in CODE or is_script) and len(lines) > MAX_LINES:
            yield f"{path}: {len(lines)} lines; split it (limit {MAX_LINES})"
        layer = layer_of(path)
        if layer is not None and layer not in LAYERS:
            yield f"{path}: {layer} is no layer"
            layer = None
        for number, line in enumerate(lines, 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: unfinished work is written in an issue, not in the source"
            if MACHINE_PATH.search(line):
                yield f"{path}:{number}: a path of one machine"
            include = INCLUDE.match(line) if path.suffix in (".cc", ".h") else None
            problem = check_include(path, layer, *include.groups()) if include and layer else None
            if problem:
                yield f"{path}:{number}: {problem}"


def check_rows(root: Path, header: str, pattern: str, page: str):
    """Every word that `pattern` finds in the header has a table row in the page, and the page has no other."""
    source = root / header
    if not source.exists():
        yield f"{header}: missing"
        return
    words = re.findall(pattern, source.read_text(), re.M)
    if not words:
        yield f"{header}: no words found; tests/tidy/tidy.py reads it wrongly"
    if not (root / page).exists():
        yield f"{page}: missing"
        return
    rows = re.findall(r"^\|\s*`([^`]+)`", (root / page).read_text(), re.M)
    for word in words:
        if rows.count(word) != 1:
            yield f"{page}: {rows.count(word)} rows for `{word}` of {header}, wanted 1"
    for row in rows:
        if row not in words:
            yield f"{page}: `{row}` is not in {header}"


def check_links(root: Path):
    for path in source_files(root):
        if path.suffix != ".md":
            continue
        for target in LINK.findall((root / path).read_text(encoding="utf-8", errors="replace")):
            if re.match(r"^[a-z]+:", target):
                continue
            if not (root / path.parent / target).exists():
                yield f"{path}: the link {target} leads nowhere"


def check_cases(root: Path):
    for folder in sorted((root / "pcaps").glob("*/")):
        for name in ("input.pcap", "policy.toml", "expected.jsonl", "README.md"):
            if not (folder / name).is_file():
                yield f"pcaps/{folder.name}: {name} is missing"


def check_fuzzing(root: Path):
    """Every parser is called by a fuzz target, every target has named seeds, and no seeds are left of a target gone."""
    targets = {path.name.removesuffix("_fuzz.cc"): path.read_text() for path in (root / "tests/fuzz").glob("*_fuzz.cc")}
    corpus = root / "tests/fuzz/corpus"
    for header in sorted((root / "include/sallyport/parsers").glob("*.h")):
        name = f"sallyport/parsers/{header.name}"
        if not any(f'#include "{name}"' in text for text in targets.values()):
            yield f"{name}: no fuzz target includes it"
    for target in sorted(targets):
        if not any((corpus / target).glob("*")):
            yield f"tests/fuzz/{target}_fuzz.cc: no seed in tests/fuzz/corpus/{target}"
    for folder in sorted(corpus.glob("*/")):
        if folder.name not in targets:
            yield f"tests/fuzz/corpus/{folder.name}: no such target"


def check_live(root: Path):
    """Every live suite that runs has a row in the page on tests, and every row a suite; no suite's script lies there unused."""
    listing = root / "tests/live/tests.cmake"
    if not listing.exists():
        return
    suites = re.findall(r"^sallyport_live\((\w+)", listing.read_text(), re.M)
    page = root / "docs/testing.md"
    rows = re.findall(r"^\|\s*`live\.([a-z0-9_]+)`", page.read_text(), re.M) if page.exists() else []
    for name in sorted({*suites, *rows}):
        if rows.count(name) != 1 or suites.count(name) != 1:
            yield f"docs/testing.md: {rows.count(name)} rows for live.{name}, which tests/live/tests.cmake has {suites.count(name)} times"
    for script in sorted((root / "tests/live").glob("test_*.py")):
        if script.stem.removeprefix("test_") not in suites:
            yield f"tests/live/{script.name}: tests/live/tests.cmake does not run it"


def check(root: Path) -> list[str]:
    return [
        *check_sources(root),
        *check_rows(root, "include/sallyport/core/reason.h", r'^\s*\{"([a-z_]+)",', "docs/decisions.md"),
        *check_rows(root, "include/sallyport/core/limits.h", r"^inline constexpr \S+ (k\w+) =", "docs/limits.md"),
        *check_links(root),
        *check_cases(root),
        *check_fuzzing(root),
        *check_live(root),
    ]


def self_test() -> list[str]:
    """Each breach must be found, and the clean tree must pass: a check that cannot fail is no check."""
    clean = {
        "include/sallyport/core/reason.h": '    {"a_reason", "text"},\n',
        "include/sallyport/core/limits.h": "inline constexpr int kLimit = 1;\n",
        "docs/decisions.md": "| `a_reason` | x |\n",
        "docs/limits.md": "| `kLimit` | 1 |\n",
        "src/engine/a.cc": '#include <vector>\n#include "sallyport/policy/policy.h"\n#include <absl/strings/x.h>\n',
        "README.md": "[limits](docs/limits.md)\n",
        "tests/live/tests.cmake": "sallyport_live(a 60 ALONE)\n",
        "tests/live/test_a.py": "\n",
        "docs/testing.md": "| `live.a` | x |\n",
    }
    breaches = {
        "a layer above": {"src/parsers/a.cc": '#include "sallyport/engine/inspector.h"\n'},
        "parsers include policy": {"src/parsers/a.cc": '#include "sallyport/policy/policy.h"\n'},
        "a foreign library": {"src/engine/b.cc": "#include <openssl/evp.h>\n"},
        "a library in a contract": {"include/sallyport/policy/x.h": "#include <toml++/toml.h>\n"},
        "a socket in a parser": {"src/parsers/a.cc": "#include <sys/socket.h>\n"},
        "the clock below the edge": {"src/engine/c.cc": '#include "sallyport/core/clock.h"\n'},
        "an unknown library": {"src/daemon/a.cc": "#include <boost/asio.hpp>\n"},
        "a long file": {"src/core/long.cc": "int x;\n" * (MAX_LINES + 1)},
        "unfinished work": {"src/core/a.cc": "// TO" + "DO: later\n"},
        "a machine's path": {"docs/x.md": "see /ho" + "me/me/notes\n"},
        "a reason without a row": {"docs/decisions.md": "nothing\n"},
        "a row without a reason": {"docs/decisions.md": "| `a_reason` | x |\n| `gone` | x |\n"},
        "a limit without a row": {"docs/limits.md": "nothing\n"},
        "a dead link": {"README.md": "[x](docs/none.md)\n"},
        "half a case": {"pcaps/tls/README.md": "x\n"},
        "a parser that is not fuzzed": {"include/sallyport/parsers/a.h": "\n"},
        "a target without seeds": {"tests/fuzz/a_fuzz.cc": "\n"},
        "a suite without a row": {"docs/testing.md": "nothing\n"},
        "a row without a suite": {"docs/testing.md": "| `live.a` | x |\n| `live.b` | x |\n"},
        "a suite that nothing runs": {"tests/live/test_b.py": "\n"},
        "seeds without a target": {"tests/fuzz/corpus/a/seed": "x"},
    }
    problems = []
    for name, files in {"clean": {}, **breaches}.items():
        with tempfile.TemporaryDirectory() as folder:
            for path, text in {**clean, **files}.items():
                (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).write_text(text)
            found = check(Path(folder))
            if bool(found) != (name != "clean"):
                problems.append(f"self-test: {name}: {found or 'not found'}")
    return problems


def main() -> int:
    problems = self_test() if sys.argv[1:] == ["--self-test"] else check(Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    print(f"tidy: {len(problems)} breaches")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
