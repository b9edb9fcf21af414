#!/usr/bin/env bash
# Rebuilds and restarts a gateway whenever a source file changes. Arguments go to `clawdbot gateway`:
#   scripts/gateway-watch.sh --dev --allow-unconfigured
# A build that fails leaves the running gateway alone.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(mktemp)
pid=

stop() {
  [[ -z $pid ]] || { kill "$pid" 2>/dev/null && wait "$pid"; } || true
  pid=
}
trap 'stop; rm -f "$built"' EXIT
trap 'exit 130' INT TERM

while :; do
  # Before the build: what is edited while it goes on counts as a change.
  touch "$built"
  if cargo build; then
    stop
    "${CARGO_TARGET_DIR:-target}/debug/clawdbot" gateway "$@" &
    pid=$!
  fi
  until [[ -n $(find src schemas Cargo.toml -type f -newer "$built" -print -quit) ]]; do sleep 1; done
done
