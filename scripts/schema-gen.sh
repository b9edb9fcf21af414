#!/usr/bin/env bash
# Rewrites schemas/ from the wire types in src/protocol/.
set -eu
cd "$(dirname "$0")/.."
[[ -s schemas/protocol.schema.json ]] || echo '{"definitions":{}}' > schemas/protocol.schema.json
UPDATE_SCHEMAS=1 cargo test --lib schemas_match_the_types
