# shellcheck shell=bash
# Shared by the tools: where the project is, who builds, and how tests are counted.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=${JOBS:-$(nproc)}
# shellcheck source=tools/packages.sh
. "$ROOT/tools/packages.sh"

# as_owner runs a command as the owner of the project's folder, so that `sudo tools/run` leaves no files of root
# behind in somebody's clone.
as_owner() {
  local owner
  owner=$(stat -c %U "$ROOT")
  if [ "$(id -u)" -eq 0 ] && [ "$owner" != root ] && [ "$owner" != UNKNOWN ]; then
    runuser -u "$owner" -- "$@"
  else
    "$@"
  fi
}

# as_root runs a command as root, through sudo if need be.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# build_preset PRESET [TARGET...] configures once and builds; prints little unless something goes wrong.
build_preset() {
  local preset=$1 folder=build
  shift
  [ "$preset" = release ] || folder=build-$preset
  local log
  log=$(mktemp)
  chmod 666 "$log"
  if [ ! -f "$ROOT/$folder/build.ninja" ]; then
    (cd "$ROOT" && as_owner cmake --preset "$preset") >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
  fi
  local targets=()
  [ $# -eq 0 ] || targets=(--target "$@")
  (cd "$ROOT" && as_owner cmake --build "$folder" -j "$JOBS" "${targets[@]}") >"$log" 2>&1 ||
    { tail -n 60 "$log" >&2; rm -f "$log"; return 1; }
  rm -f "$log"
}

PASSED=0 FAILED=0 SKIPPED=0

# run_ctest WHO FOLDER ARGUMENT... runs ctest as `as_owner` or `as_root` and adds up what it counted.
run_ctest() {
  local who=$1 folder=$2 report counts status=0
  shift 2
  report=$(mktemp)
  chmod 666 "$report"
  "$who" ctest --test-dir "$ROOT/$folder" --output-on-failure --output-junit "$report" "$@" || status=$?
  counts=$(python3 - "$report" <<'PY'
import sys, xml.etree.ElementTree as tree
try:
    suite = tree.parse(sys.argv[1]).getroot()
except tree.ParseError:
    print("0 0 0"); sys.exit()
total, failed, skipped = (int(suite.get(key, "0")) for key in ("tests", "failures", "skipped"))
skipped += int(suite.get("disabled", "0"))
print(total - failed - skipped, failed, skipped)
PY
)
  rm -f "$report"
  local passed failed skipped
  read -r passed failed skipped <<<"$counts"
  # A run that ctest calls failed without counting a failure (it could not start) must not look green.
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}

closing_line() {
  echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
  [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
}
