#!/bin/sh
# Installs clawdbot: from a source tree (builds it), or from an unpacked tarball (copies it). Run again, it updates.
#   scripts/install.sh                     into ~/.local, as root into /usr/local
#   scripts/install.sh --prefix /opt/claw  elsewhere
#   scripts/install.sh --small             the lean build, from source
#   scripts/install.sh --service           and run it as a service of yours
#   scripts/install.sh --uninstall         takes the program away; settings and sessions stay
set -eu
here=$(cd "$(dirname "$0")" && pwd)

fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*"; }

if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=${HOME:?}/.local; fi
small='' service='' uninstall=''
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) [ $# -gt 1 ] || fail '--prefix wants a directory'; prefix=$2; shift ;;
    --small) small=1 ;;
    --service) service=1 ;;
    --uninstall) uninstall=1 ;;
    -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown argument: $1 (--help tells which there are)" ;;
  esac
  shift
done
program=$prefix/bin/clawdbot

if [ -n "$uninstall" ]; then
  [ -e "$program" ] || fail "$program is not there"
  "$program" gateway uninstall >/dev/null 2>&1 || :
  rm -f "$program"
  say "Removed $program. Settings and sessions are still in ~/.clawdbot."
  exit 0
fi

if [ -x "$here/bin/clawdbot" ]; then
  built=$here/bin/clawdbot
  "$built" --version >/dev/null 2>&1 || fail "this package is for another machine than this one ($(uname -m)): take the one for it, or install from source"
else
  source=$(cd "$here/.." && pwd)
  [ -f "$source/Cargo.toml" ] || fail 'neither a program nor a source tree is here'
  command -v cargo >/dev/null || fail 'building wants Rust 1.91 or later: https://www.rust-lang.org/tools/install'
  command -v cc >/dev/null || fail 'building wants a C compiler (Debian: apt install gcc libc6-dev)'
  say 'Building; this takes some minutes, on a Raspberry Pi up to half an hour …'
  if [ -n "$small" ]; then
    (cd "$source" && cargo build --locked --config scripts/small.toml --profile small --no-default-features --features small)
    built=${CARGO_TARGET_DIR:-$source/target}/small/clawdbot
  else
    (cd "$source" && cargo build --locked --config scripts/lean.toml --release)
    built=${CARGO_TARGET_DIR:-$source/target}/release/clawdbot
  fi
fi

mkdir -p "$prefix/bin" || fail "cannot write to $prefix: choose another with --prefix"
# Beside it, then renamed: a running gateway keeps the program it was started from.
cp "$built" "$program.new" || fail "cannot write to $prefix/bin: choose another with --prefix"
chmod 755 "$program.new"
mv -f "$program.new" "$program"
say "Installed $("$program" --version) as $program"
case :$PATH: in
  *":$prefix/bin:"*) command=clawdbot ;;
  *) command=$program; say "Add $prefix/bin to your PATH to call it by its name." ;;
esac
if [ -n "$service" ]; then
  "$program" gateway install
else
  say "Next: $command onboard     (questions, then a running gateway)"
  say " or:  $command gateway --allow-unconfigured     (at once, with the offline agent)"
fi
