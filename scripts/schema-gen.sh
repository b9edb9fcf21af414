#!/usr/bin/env bash
# Rewrites schemas/: the schema file from the wire types in src/protocol/, methods.json from the method table, then the
# models for clients (TypeScript, Swift) from those two files.
set -eu
cd "$(dirname "$0")/.."
[[ -s schemas/protocol.schema.json ]] || echo '{"definitions":{}}' > schemas/protocol.schema.json
UPDATE_SCHEMAS=1 cargo test --quiet --lib schemas_match
cargo run --quiet --example client-models
