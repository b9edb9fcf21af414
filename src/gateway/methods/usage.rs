//! usage.status, usage.cost.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Any, Method, methods};
use crate::agent::credentials::Wallet;
use crate::agent::usage::quotas::{self, ask};
use crate::agent::{auth_profiles, session};
use crate::gateway::ctx::Ctx;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::usage_costs;
use crate::protocol::error::ErrorShape;

pub(super) const METHODS: &[Method] = methods! {
    "usage.status" Read Any status;
    "usage.cost" Read Any cost;
};

/// One look at the providers at a time.
const LANE: &str = "usage.status";
/// Days when the caller names none.
const DAYS_DEFAULT: u64 = 30;

/// Providers are asked on a job of its own: they may take their time.
fn status(cx: &Arc<Ctx>, call: &Call, _params: Any) -> Result<Reply, ErrorShape> {
    let (job_cx, ticket) = (cx.clone(), call.ticket(cx));
    // Dropped with its ticket when it is not taken, which answers.
    let submitted = cx.jobs.submit(vec![LANE.to_owned()], move || {
        let answer = asked(&job_cx);
        ticket.finish(Ok(answer));
    });
    if let Err(error) = submitted {
        log::debug!(target: "gateway", "usage.status is refused: {error}");
    }
    Ok(Reply::Later)
}

fn asked(cx: &Ctx) -> Value {
    let config = cx.config.get();
    let agent = session::default_agent(&config);
    let profiles = auth_profiles::read(&auth_profiles::agent_dir(&config, &cx.paths, &agent));
    let mut providers = quotas::providers(&config, &profiles, &|name| std::env::var(name).ok());
    let wallet = Wallet::open(&config, &cx.paths, &agent, cx.clock.now_ms());
    for row in &mut providers {
        let said = row["provider"].as_str().and_then(|id| ask::ask(id, &wallet, &*cx.clock));
        if let (Some(Value::Object(said)), Some(row)) = (said, row.as_object_mut()) {
            row.remove("error");
            row.extend(said);
        }
    }
    json!({"updatedAt": cx.clock.now_ms(), "providers": providers})
}

fn cost(cx: &Arc<Ctx>, call: &Call, params: Any) -> Result<Reply, ErrorShape> {
    usage_costs::answer(cx, days(params.get("days")), call.ticket(cx));
    Ok(Reply::Later)
}

/// Reads a number or a text that is one; anything else is the default.
fn days(given: Option<&Value>) -> u64 {
    let number = match given {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    // Saturates: a longer time than there are days is all of it.
    number.filter(|number| number.is_finite()).map_or(DAYS_DEFAULT, |number| (number.floor() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_days() {
        for (given, wanted) in [
            (json!(7.9), 7),
            (json!(" 7 "), 7),
            (json!(0), 1),
            (json!(-3), 1),
            (json!(""), 30),
            (json!("many"), 30),
            (json!(null), 30),
            (json!(1e300), u64::MAX),
        ] {
            assert_eq!(days(Some(&given)), wanted, "{given}");
        }
        assert_eq!(days(None), 30);
    }
}
