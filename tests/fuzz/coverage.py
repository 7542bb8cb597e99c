#!/usr/bin/python3
"""coverage.py ROOT TARGET...: the lines of each layer that the targets reach with their seeds and kept inputs.

Needs the `coverage` preset built; tools/fuzz --coverage calls this. Unlike libFuzzer's edges, which are counted in
each target by itself, these are lines of the sources, over all targets.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SUFFIX = "-16"


def replay(root, names, folder):
    """Each target over its inputs; returns the merged profile."""
    profiles = []
    for name in names:
        inputs = [path for path in (root / "tests/fuzz/corpus" / name, root / "build-fuzz/corpus" / name) if path.exists()]
        profile = folder / f"{name}.profraw"
        done = subprocess.run([root / "build-coverage" / f"{name}_fuzz", *inputs], stdout=subprocess.DEVNULL,
                              env=dict(os.environ, LLVM_PROFILE_FILE=str(profile)), check=False)
        if done.returncode != 0 or not profile.exists():
            sys.exit(f"{name} does not run over its inputs; tools/fuzz {name} says more")
        profiles.append(profile)
    merged = folder / "merged.profdata"
    subprocess.run([f"llvm-profdata{SUFFIX}", "merge", "-sparse", *profiles, "-o", merged], check=True)
    return merged


def lines_by_file(root, names, profile):
    """Path below src/ -> (lines reached, lines). Headers and tests are left out."""
    binaries = [root / "build-coverage" / f"{name}_fuzz" for name in names]
    objects = [part for binary in binaries[1:] for part in ("-object", binary)]
    text = subprocess.run([f"llvm-cov{SUFFIX}", "export", "-summary-only", f"-instr-profile={profile}", binaries[0], *objects],
                          check=True, capture_output=True, text=True).stdout
    files = {}
    for entry in json.loads(text)["data"][0]["files"]:
        path = pathlib.Path(entry["filename"])
        if path.is_relative_to(root / "src") and path.suffix == ".cc":
            lines = entry["summary"]["lines"]
            files[path.relative_to(root / "src")] = (lines["covered"], lines["count"])
    return files


def main():
    root, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        files = lines_by_file(root, names, replay(root, names, pathlib.Path(folder)))
    layers = {}
    for path, (covered, count) in files.items():
        reached, all_lines = layers.get(path.parts[0], (0, 0))
        layers[path.parts[0]] = (reached + covered, all_lines + count)
    row = "{:<36} {:>8} {:>8} {:>8}".format
    print(row("layer, and its files below 90 %", "lines", "reached", "share"))
    for layer, (covered, count) in sorted(layers.items()):
        print(row(layer, count, covered, f"{100 * covered / count:.1f} %"))
        for path, (part, size) in sorted(files.items()):
            if path.parts[0] == layer and part < 0.9 * size:
                print(row(f"  {path.name}", size, part, f"{100 * part / size:.1f} %"))
    covered, count = (sum(pair[i] for pair in layers.values()) for i in (0, 1))
    print(f"{covered} of {count} lines in the layers that the targets are linked with")
    return 0


if __name__ == "__main__":
    sys.exit(main())
