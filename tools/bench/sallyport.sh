# Sallyport: one queue and worker for each core, its own rules, the policy of bench.toml: names bound to their addresses.
# The bindings come from a state file, as after a restart, since the load generators ask no resolver.
SALLYPORT_BIND=${SALLYPORT_BIND:-strict}
bindings() {
  python3 - <<'P'
import json, time
names = [f"h{i:04d}.allowed.test" for i in range(256)]
addresses = [f"10.77.{net}.{host}" for net in (0, 2) for host in range(2, 34)]
now = int(time.time())
print(json.dumps({"version": 2, "resolvers": {"": ["10.77.0.53"]},
                  "bindings": [{"address": address, "name": name, "expires": now + 3600, "told": now}
                               for address in addresses for name in names]}))
P
}
c_start() {
  local policy=$RUN/sallyport-bench.toml i
  sed "s/^bind = .*/bind = \"$SALLYPORT_BIND\"/" "${SALLYPORT_POLICY:?bench.toml}" >"$policy"
  (umask 077 && bindings >"$RUN/sallyport-bench.bindings.json")
  spawn sallyport "${SALLYPORT:?the program to measure}" run --quiet --policy "$policy" \
    --control "$RUN/sallyport-bench.sock"
  for i in $(seq 100); do
    nsx "$SALLYPORT" status --control "$RUN/sallyport-bench.sock" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  return 1
}
c_stop() {
  local p
  for p in $C_PIDS; do kill -INT "$p" 2>/dev/null; done
  sleep 0.3
  stop_pids
  rules_clear
}
