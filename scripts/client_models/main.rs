//! Writes models for clients from `schemas/` alone: `cargo run --example client-models` makes
//! `schemas/clawdbot-protocol.ts` and `schemas/ClawdbotProtocol.swift`, which are committed. A black-box test compares.
//!
//! Generators of our own, because the published ones were looked at and lose what matters here: json-schema-to-typescript
//! knows no `discriminator` and writes a shape out anew wherever it stands; quicktype merges the frames into one bag of
//! options and makes any unknown enum value an error. And the comparison must work without a network.

mod model;
mod swift;
mod typescript;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let protocol = model::Protocol::read(&schemas)?;
    std::fs::write(schemas.join(typescript::FILE), typescript::write(&protocol))?;
    std::fs::write(schemas.join(swift::FILE), swift::write(&protocol))?;
    Ok(())
}
