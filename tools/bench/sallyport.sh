# Sallyport: one queue and worker for each core, its own rules, the policy of bench.toml.
c_start() {
  spawn sallyport "${SALLYPORT:?the program to measure}" run --quiet --policy "${SALLYPORT_POLICY:?bench.toml}" \
    --control "$RUN/sallyport-bench.sock"
  local i
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
