#!/usr/bin/env bash
# Compares schemas/protocol.schema.json, definition by definition, with the original's compiled protocol module given as
# argument (clawdbot/dist/gateway/protocol/schema.js of the npm package). Needs node. Exits 1 when anything differs.
set -eu
theirs=$(node --input-type=module -e "import { ProtocolSchemas } from '$(realpath "$1")'; console.log(JSON.stringify(ProtocolSchemas))")
cd "$(dirname "$0")/.."
THEIRS=$theirs exec python3 - <<'PY'
import json, os, sys
theirs = json.loads(os.environ["THEIRS"])
ours = json.load(open("schemas/protocol.schema.json"))["definitions"]
# Served through a node's browser; the original's plugin brings its own definition.
OURS_ALONE = {"BrowserRequestParams"}
differs = 0
for name, mine in ours.items():
    other = theirs.get(name)
    if other is None:
        differs += name not in OURS_ALONE; print(f"{name}: not in the original"); continue
    for key in sorted({*mine, *other}):
        a, b = mine.get(key), other.get(key)
        if key == "properties":
            for prop in [*dict.fromkeys([*b, *a])]:
                if a.get(prop) != b.get(prop):
                    differs += 1; print(f"{name}.{prop}: ours {json.dumps(a.get(prop))}, original {json.dumps(b.get(prop))}")
            if list(a) != list(b): differs += 1; print(f"{name}: property order differs")
        elif a != b:
            differs += 1; print(f"{name} {key}: ours {json.dumps(a)}, original {json.dumps(b)}")
missing = [name for name in theirs if name not in ours]
for name in missing: print(f"{name}: not here")
print(f"{len(ours)} definitions compared, {differs} differences, {len(missing)} of the original's missing")
sys.exit(1 if differs or missing else 0)
PY
