//! Writes models for clients from `schemas/` alone: `cargo run --example client-models` makes
//! `schemas/clawdbot-protocol.ts` and `schemas/ClawdbotProtocol.swift`, which are committed. A black-box test compares.
//!
//! Generators of our own, because the published ones, tried on this schema, lose what matters here:
//! json-schema-to-typescript writes a shape out anew wherever it stands (a `GatewayFrame` is no `RequestFrame`) and
//! knows nothing of methods and events; quicktype 26 makes of the frames one bag of optional fields, and of any unknown
//! word an error. And the comparison must work without a network.

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
