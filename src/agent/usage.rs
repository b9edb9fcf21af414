//! Tokens and what they cost: of one turn here, of all transcripts in `costs`; what providers still allow in `quotas`.

pub mod costs;
pub mod quotas;

use super::message::{Usage, UsageCost};
use crate::config::types::ModelCost;

/// Fills in the cost, in USD, at the model's price per million tokens.
pub fn priced(usage: Usage, price: ModelCost) -> Usage {
    let cost = |tokens: u64, per_million: f64| tokens as f64 * per_million / 1e6;
    let mut parts = UsageCost {
        input: cost(usage.input, price.input),
        output: cost(usage.output, price.output),
        cache_read: cost(usage.cache_read, price.cache_read),
        cache_write: cost(usage.cache_write, price.cache_write),
        total: 0.0,
    };
    parts.total = parts.input + parts.output + parts.cache_read + parts.cache_write;
    Usage { cost: parts, ..usage }
}

/// Adds the tokens and costs of one turn to those of a run.
pub fn add(total: &mut Usage, turn: &Usage) {
    total.input += turn.input;
    total.output += turn.output;
    total.cache_read += turn.cache_read;
    total.cache_write += turn.cache_write;
    total.total_tokens += turn.total_tokens;
    total.cost.total += turn.cost.total;
}
