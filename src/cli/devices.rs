//! `devices`: who asks for pairing, who is paired, and their tokens (cli.md §17).

use serde_json::{Value, json};

use super::exit::{Failure, Outcome};
use super::rpc::{self, client_command, items};
use super::{Cli, Command, output};
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::text::short_age;

client_command! {
    /// list the devices that ask for pairing and those that are paired
    pub(super) struct List {}
}

impl Command for List {
    fn run(self, cli: &Cli) -> Outcome {
        let answer = rpc::call(cli, &self.client_options(), "device.pair.list", json!({}))?;
        let (pending, paired) = (items(&answer["pending"]), items(&answer["paired"]));
        if self.json {
            output::json(&json!({"pending": pending, "paired": paired}));
            return Ok(());
        }
        let heading = |title: &str, count: usize| {
            output::line(&format!("{} {}", output::bold(title), output::dim(&format!("({count})"))));
        };
        if !pending.is_empty() {
            let now_ms = SystemClock.now_ms();
            heading("Pending", pending.len());
            let rows: Vec<Vec<String>> = pending.iter().map(|request| pending_row(request, now_ms)).collect();
            output::line(&output::table(&["Request", "Device", "Role", "IP", "Age", "Flags"], &rows));
        }
        if !paired.is_empty() {
            heading("Paired", paired.len());
            let rows: Vec<Vec<String>> = paired.iter().map(paired_row).collect();
            output::line(&output::table(&["Device", "Roles", "Scopes", "Tokens", "IP"], &rows));
        }
        if pending.is_empty() && paired.is_empty() {
            output::line(&output::dim("No device pairing entries."));
        }
        Ok(())
    }
}

client_command! {
    /// approve a device that asks for pairing
    pub(super) struct Approve {
        /// request, as devices list shows it
        #[argh(positional, arg_name = "requestId")]
        request: String,
    }
}

impl Command for Approve {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"requestId": self.request});
        let answer = rpc::call(cli, &self.client_options(), "device.pair.approve", params)?;
        let device = answer["device"]["deviceId"].as_str().unwrap_or("ok");
        settled(self.json, &answer, &format!("{} {device}", output::verdict(true, "Approved")))
    }
}

client_command! {
    /// refuse a device that asks for pairing
    pub(super) struct Reject {
        /// request, as devices list shows it
        #[argh(positional, arg_name = "requestId")]
        request: String,
    }
}

impl Command for Reject {
    fn run(self, cli: &Cli) -> Outcome {
        let params = json!({"requestId": self.request});
        let answer = rpc::call(cli, &self.client_options(), "device.pair.reject", params)?;
        let device = answer["deviceId"].as_str().unwrap_or("ok");
        settled(self.json, &answer, &format!("{} {device}", output::verdict(false, "Rejected")))
    }
}

client_command! {
    /// give a device a new token for a role; the old one is void
    pub(super) struct Rotate {
        /// the device's id
        #[argh(option, arg_name = "id")]
        device: String,
        /// operator or node
        #[argh(option, arg_name = "role")]
        role: String,
        /// scope of the new token (repeatable); absent: as before
        #[argh(option, arg_name = "scope")]
        scope: Vec<String>,
        /// more scopes
        #[argh(positional, arg_name = "scope")]
        more: Vec<String>,
    }
}

impl Command for Rotate {
    fn run(self, cli: &Cli) -> Outcome {
        let mut params = device_and_role(&self.device, &self.role)?;
        let scopes: Vec<&String> = self.scope.iter().chain(&self.more).collect();
        if !scopes.is_empty() {
            params["scopes"] = json!(scopes);
        }
        output::json(&rpc::call(cli, &self.client_options(), "device.token.rotate", params)?);
        Ok(())
    }
}

client_command! {
    /// put a device's token for a role out of force
    pub(super) struct Revoke {
        /// the device's id
        #[argh(option, arg_name = "id")]
        device: String,
        /// operator or node
        #[argh(option, arg_name = "role")]
        role: String,
    }
}

impl Command for Revoke {
    fn run(self, cli: &Cli) -> Outcome {
        let params = device_and_role(&self.device, &self.role)?;
        output::json(&rpc::call(cli, &self.client_options(), "device.token.revoke", params)?);
        Ok(())
    }
}

fn device_and_role(device: &str, role: &str) -> Result<Value, Failure> {
    let (device, role) = (device.trim(), role.trim());
    if device.is_empty() || role.is_empty() {
        return Err(Failure::text("--device and --role required"));
    }
    Ok(json!({"deviceId": device, "role": role}))
}

fn settled(is_json: bool, answer: &Value, text: &str) -> Outcome {
    if is_json {
        output::json(answer);
    } else {
        output::line(text);
    }
    Ok(())
}

fn pending_row(request: &Value, now_ms: u64) -> Vec<String> {
    let age = request["ts"].as_u64().map(|ts| format!("{} ago", short_age(now_ms.saturating_sub(ts))));
    vec![
        text(&request["requestId"]),
        name(request),
        text(&request["role"]),
        text(&request["remoteIp"]),
        age.unwrap_or_default(),
        if request["isRepair"] == true { "repair".to_owned() } else { String::new() },
    ]
}

fn paired_row(device: &Value) -> Vec<String> {
    let mut tokens: Vec<String> = items(&device["tokens"])
        .iter()
        .map(|token| {
            format!("{}{}", text(&token["role"]), if token["revokedAtMs"].is_u64() { " (revoked)" } else { "" })
        })
        .collect();
    tokens.sort();
    let tokens = if tokens.is_empty() { "none".to_owned() } else { tokens.join(", ") };
    vec![name(device), joined(&device["roles"]), joined(&device["scopes"]), tokens, text(&device["remoteIp"])]
}

fn name(entry: &Value) -> String {
    Some(text(&entry["displayName"])).filter(|name| !name.is_empty()).unwrap_or_else(|| text(&entry["deviceId"]))
}

fn joined(list: &Value) -> String {
    items(list).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let request = json!({"requestId": "r", "deviceId": "d", "role": "node", "remoteIp": "192.0.2.1", "isRepair": true, "ts": 1000});
        assert_eq!(pending_row(&request, 91_000), ["r", "d", "node", "192.0.2.1", "1m ago", "repair"]);
        let device = json!({"deviceId": "d", "displayName": "Phone", "roles": ["node"], "scopes": ["a", "b"],
            "tokens": [{"role": "operator", "revokedAtMs": 5}, {"role": "node"}]});
        assert_eq!(paired_row(&device), ["Phone", "node", "a, b", "node, operator (revoked)", ""]);
        assert_eq!(paired_row(&json!({"deviceId": "d"})), ["d", "", "", "none", ""]);
    }
}
