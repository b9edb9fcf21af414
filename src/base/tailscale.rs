//! Tailscale's own command: what it says of the tailnet, and having it do something.
//!
//! Runs the command on the caller's thread, within a time. Not here: what is published (`gateway::tailscale`, `gmail`).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::cancel::CancelToken;
use super::process::{Ended, Keep, capture, find_program};

/// A tailnet's status is some kilobytes a machine.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
const MISSING: &str = "tailscale is not installed, or not on the PATH";
/// Where macOS has the command when it is not on the PATH.
const MAC_APP: &str = "/Applications/Tailscale.app/Contents/MacOS/Tailscale";

/// Returns Tailscale's command.
pub fn program() -> Option<PathBuf> {
    find_program("tailscale").or_else(|| Some(PathBuf::from(MAC_APP)).filter(|app| Path::new(app).is_file()))
}

/// Asks for this machine and the others.
///
/// # Errors
/// A text for people, when there is no answer in time.
pub fn status(wait: Duration, cancel: &CancelToken) -> Result<Value, String> {
    let mut command = Command::new(program().ok_or(MISSING)?);
    command.args(["status", "--json"]);
    let answer = finish(command, wait, cancel)?;
    parse(&answer).ok_or_else(|| "tailscale status: no JSON".to_owned())
}

/// Runs the command; where it wants more rights, once more through sudo, which must not ask.
///
/// # Errors
/// A text for people: what it said, or that it did not answer in time.
pub fn run(args: &[&str], wait: Duration, cancel: &CancelToken) -> Result<String, String> {
    let tool = program().ok_or(MISSING)?;
    let mut command = Command::new(&tool);
    command.args(args);
    let first = finish(command, wait, cancel);
    match &first {
        Err(error)
            if ["permission denied", "access denied", "operator", "must be root"]
                .iter()
                .any(|sign| error.to_lowercase().contains(sign)) =>
        {
            let mut command = Command::new("sudo");
            command.arg("-n").arg(&tool).args(args);
            finish(command, wait, cancel).or(first)
        }
        _ => first,
    }
}

fn finish(command: Command, wait: Duration, cancel: &CancelToken) -> Result<String, String> {
    let captured =
        capture(command, Some(wait), Keep::First(OUTPUT_BYTES_MAX), cancel).map_err(|error| error.to_string())?;
    match captured.ended {
        Ended::Exited(0) => Ok(captured.stdout),
        Ended::TimedOut => Err(format!("no answer within {}s", wait.as_secs())),
        _ => Err(captured.said().unwrap_or_default().to_owned()),
    }
}

/// Reads the answer; there may be warnings around it.
fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text.get(text.find('{')?..=text.rfind('}')?)?).ok()
}

/// Returns this machine's name in the tailnet.
pub fn dns_name(status: &Value) -> Option<String> {
    let name = status["Self"]["DNSName"].as_str().unwrap_or_default().trim_end_matches('.').to_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// Returns this machine's name in the tailnet, else its first address there.
pub fn own_name(status: &Value) -> Option<String> {
    dns_name(status).or_else(|| status["Self"]["TailscaleIPs"][0].as_str().map(str::to_owned))
}

/// Returns the addresses of all machines, this one's first.
pub fn machines(status: &Value) -> Vec<IpAddr> {
    let peers = status["Peer"].as_object().into_iter().flatten().map(|(_, peer)| peer);
    let addresses = std::iter::once(&status["Self"]).chain(peers).flat_map(|it| it["TailscaleIPs"].as_array());
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in addresses.flatten().filter_map(|ip| ip.as_str()?.parse().ok()) {
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_status_says() {
        let text = "# Health: something\n".to_owned()
            + r#"{"Self": {"DNSName": "box.tail.ts.net.", "TailscaleIPs": ["100.64.0.1", "fd7a::1"]},
                "Peer": {"k": {"TailscaleIPs": ["100.64.0.2", "100.64.0.1", "x"]}}}"#
            + "\nbye";
        let status = parse(&text).expect("JSON");
        assert_eq!(own_name(&status).as_deref(), Some("box.tail.ts.net"));
        let machines: Vec<String> = machines(&status).iter().map(IpAddr::to_string).collect();
        assert_eq!(machines, ["100.64.0.1", "fd7a::1", "100.64.0.2"]);
        assert_eq!(
            own_name(&serde_json::json!({"Self": {"TailscaleIPs": ["100.64.0.1"]}})).as_deref(),
            Some("100.64.0.1")
        );
        assert_eq!((parse("{"), own_name(&Value::Null)), (None, None));
    }
}
