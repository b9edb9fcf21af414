//! Telegram: the built gateway against a Bot API server that fails in every way, and that server against grammY.

mod accounts;
mod acting;
mod commands;
mod drafts;
mod faults;
mod files;
mod grammy;
mod groups;
mod idle;
mod pictures;
mod proxy;
mod receiving;
mod sending;
mod voice;
mod webhook;

use serde_json::{Value, json};

use crate::support::bot_api::BotApi;
use crate::support::gateway::Gateway;
use crate::support::home::Home;

/// Makes every wait of the poll short, and lets channels start.
const ENV: [(&str, &str); 2] = [("CLAWDBOT_SKIP_CHANNELS", "0"), ("CLAWDBOT_TELEGRAM_HURRY", "1")];

/// A configuration whose only channel is this bot, `more` laid over its settings.
fn config(api: &BotApi, more: &Value) -> Value {
    let mut telegram = api.config();
    telegram.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    json!({"channels": {"telegram": telegram}, "commands": {"restart": true}})
}

/// A gateway whose only channel is this bot.
fn gateway(api: &BotApi, more: &Value) -> Gateway {
    Gateway::start_in(Home::with_config(&config(api, more)), &[], &ENV)
}

/// The row of the default account in `channels.status`.
fn status(gateway: &Gateway) -> Value {
    let status = gateway.client().request("channels.status", json!({})).expect("a status");
    status["channelAccounts"]["telegram"][0].clone()
}
