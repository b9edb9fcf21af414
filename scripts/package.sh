#!/usr/bin/env bash
# Packs this build: a Debian package, a tarball, or both. A container is built from scripts/Containerfile instead.
#   scripts/package.sh                                  both, from a release build
#   scripts/package.sh deb --small                      the lean build
#   scripts/package.sh tar --target aarch64-unknown-linux-musl   for another machine (its target and C compiler are wanted)
#   scripts/package.sh tar --program target/release/clawdbot     a program that is there already
# Options: --out DIR (default: target/package).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'package.sh: %s\n' "$*" >&2; exit 2; }
usage() { sed -n '2,7s/^# \{0,1\}//p' scripts/package.sh; }

kinds=() program='' target='' small='' out=target/package
while (($#)); do
  case $1 in
    deb|tar) kinds+=("$1") ;;
    --small) small=1 ;;
    --target|--program|--out)
      (($# > 1)) || fail "$1 wants a value"
      case $1 in --target) target=$2 ;; --program) program=$2 ;; --out) out=$2 ;; esac
      shift ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; fail "unknown argument: $1" ;;
  esac
  shift
done
((${#kinds[@]})) || kinds=(deb tar)
[[ " ${kinds[*]} " != *' deb '* ]] || command -v dpkg-deb >/dev/null || fail 'dpkg-deb is wanted for a Debian package (Debian: dpkg)'

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

if [[ -z $program ]]; then
  build=(cargo build --locked) profile=release flags=scripts/lean.toml
  if [[ -n $small ]]; then
    profile=small flags=scripts/small.toml
    build+=(--no-default-features --features small)
  fi
  build+=(--profile "$profile" --config "$flags")
  [[ -z $target ]] || build+=(--target "$target")
  "${build[@]}"
  program=${CARGO_TARGET_DIR:-target}/${target:+$target/}$profile/clawdbot
fi
[[ -x $program ]] || fail "$program is no program"

# The program says itself for which machine it is: bytes 18 and 19 of its ELF head.
case $(od -An -tx1 -j18 -N2 "$program" | tr -d ' \n') in
  3e00) machine=x86_64 architecture=amd64 ;;
  b700) machine=aarch64 architecture=arm64 ;;
  2800) machine=armv7 architecture=armhf ;;
  f300) machine=riscv64 architecture=riscv64 ;;
  *) fail "$program is for no machine that packages are made for" ;;
esac

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

docs() { # into directory $1
  install -D -m 644 README.md "$1/README.md"
  install -m 644 LICENSE "$1/copyright"
}

# Prints which libc the program wants, as Debian words it; nothing for a static one.
depends() {
  local newest
  newest=$(grep -aoE 'GLIBC_2\.[0-9]+' "$program" | sort -uV | tail -n 1 || true)
  [[ -z $newest ]] || printf 'Depends: libc6 (>= %s), libgcc-s1\n' "${newest#GLIBC_}"
}

for kind in "${kinds[@]}"; do
  case $kind in
    deb)
      root=$work/deb
      install -D -m 755 "$program" "$root/usr/bin/clawdbot"
      docs "$root/usr/share/doc/clawdbot"
      for shell in bash zsh fish; do
        case $shell in
          bash) place=usr/share/bash-completion/completions/clawdbot ;;
          zsh) place=usr/share/zsh/vendor-completions/_clawdbot ;;
          fish) place=usr/share/fish/vendor_completions.d/clawdbot.fish ;;
        esac
        # A program for another machine cannot be asked.
        if text=$("$program" completion "$shell" 2>/dev/null); then
          install -d "$root/${place%/*}"
          printf '%s\n' "$text" > "$root/$place"
          chmod 644 "$root/$place"
        fi
      done
      install -d "$root/DEBIAN"
      {
        printf 'Package: clawdbot\nVersion: %s\nArchitecture: %s\n' "$version" "$architecture"
        depends
        printf 'Recommends: lsof, tzdata\nSection: net\nPriority: optional\n'
        printf 'Maintainer: clawdbot <clawdbot@localhost>\nInstalled-Size: %s\n' "$(du -sk "$root/usr" | cut -f1)"
        printf 'Description: personal-assistant gateway in one small process\n'
        printf ' Answers you on Telegram and WhatsApp, runs agent turns with tools, and serves a\n'
        printf ' WebSocket and HTTP control plane with a web page on one port. Each user runs a\n'
        printf ' gateway of their own: clawdbot onboard, then clawdbot gateway install.\n'
      } > "$root/DEBIAN/control"
      package=$out/clawdbot_${version}_$architecture.deb
      dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
      ;;
    tar)
      name=clawdbot-$version-linux-$machine
      install -D -m 755 "$program" "$work/$name/bin/clawdbot"
      docs "$work/$name"
      install -m 755 scripts/install.sh "$work/$name/install.sh"
      package=$out/$name.tar.gz
      tar -C "$work" --owner=0 --group=0 --numeric-owner --sort=name -czf "$package" "$name"
      ;;
  esac
  printf '%s (%s KiB)\n' "$package" "$(du -k "$package" | cut -f1)"
done
