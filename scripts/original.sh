#!/usr/bin/env bash
# Installs the original (TypeScript) from npm into a cache directory outside the tree, once, with a Node of its own, and
# prints how to start it. About 600 MB and a minute. For tests and by hand:
#   CLAWDBOT_ORIGINAL=$(scripts/original.sh) cargo test original
set -euo pipefail
cache=${CLAWDBOT_ORIGINAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawdbot-original}
entry=$cache/node_modules/clawdbot/dist/entry.js
if [[ ! -f $entry || ! -x $cache/node_modules/.bin/node ]]; then
  mkdir -p "$cache"
  # Two at once would write over each other.
  exec 9>"$cache/.lock"
  flock 9
fi
if [[ ! -f $entry || ! -x $cache/node_modules/.bin/node ]]; then
  echo "installing the original into $cache …" >&2
  # Its libsignal comes from a git repository; a published package with the same interface stands in for it.
  cat > "$cache/package.json" <<'JSON'
{
  "name": "original", "version": "1.0.0", "private": true,
  "dependencies": { "node": "22", "clawdbot": "2026.1.24-3", "strip-ansi": "7" },
  "overrides": { "libsignal": "npm:libsignal-node@2.0.1" }
}
JSON
  (cd "$cache" && npm install --no-audit --no-fund >install.log 2>&1) || { tail -n 5 "$cache/install.log" >&2; exit 1; }
fi
echo "$cache/node_modules/.bin/node $entry"
