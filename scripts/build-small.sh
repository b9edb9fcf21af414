#!/usr/bin/env bash
# Builds the gateway for the smallest hosts, into target/small/clawdbot (or target/TARGET/small/clawdbot):
# without the page, the node host, the wizard and speech, and ending at a panic instead of unwinding.
#
#   scripts/build-small.sh
#   scripts/build-small.sh --target aarch64-unknown-linux-musl    # a static one for a Raspberry Pi
#
# A static build wants its target once (`rustup target add aarch64-unknown-linux-musl`) and a C compiler for it
# (Debian: musl-tools; for another processor say which with CC_aarch64_unknown_linux_musl and
# CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER).
set -euo pipefail
cd "$(dirname "$0")/.."
target=()
if [[ ${1:-} == --target && -n ${2:-} ]]; then
  target=(--target "$2"); shift 2
fi
if (($#)); then sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; fi

# Tables for unwinding, half a megabyte, are of no use to a program that never does. Cargo has no setting for that, and flags
# that are given here reach nothing but the program when a target is named: so one always is.
host=$(rustc -vV | sed -n 's/^host: //p')
[[ ${#target[@]} -gt 0 ]] || target=(--target "$host")
export RUSTFLAGS="${RUSTFLAGS:-} -C force-unwind-tables=no"
cargo build --locked --profile small --no-default-features --features small "${target[@]}"
built=${CARGO_TARGET_DIR:-target}/${target[1]}/small/clawdbot
if [[ ${target[1]} == "$host" ]]; then
  mkdir -p "${CARGO_TARGET_DIR:-target}/small"
  ln -f "$built" "${CARGO_TARGET_DIR:-target}/small/clawdbot"
  built=${CARGO_TARGET_DIR:-target}/small/clawdbot
fi
printf '%s: %s bytes\n' "$built" "$(wc -c <"$built")"
