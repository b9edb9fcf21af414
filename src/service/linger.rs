//! Lingering: whether a user's services run on after the logout (cli.md §26.4).
//!
//! Asks and changes it by `loginctl`. Linux only.

use super::ask;
use crate::base::text::trimmed;

/// Who is asked about, and whether that user's services linger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linger {
    /// The user.
    pub user: String,
    /// Whether services outlive the logout.
    pub is_enabled: bool,
}

/// Asks about the user of this process; `None` where nothing can be asked.
pub fn look(env: impl Fn(&str) -> Option<String>) -> Option<Linger> {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| env(name).and_then(trimmed))
        .or_else(|| super::account_of_process().map(|account| account.name))?;
    let told = ask("loginctl", &["show-user", &user, "-p", "Linger"]).ok().filter(|told| told.is_ok)?;
    match told.stdout.lines().find_map(|line| line.trim().strip_prefix("Linger="))?.trim() {
        "yes" => Some(Linger { user, is_enabled: true }),
        "no" => Some(Linger { user, is_enabled: false }),
        _ => None,
    }
}

/// Switches it on, directly, then by `sudo`, which asks for a password only if `may_ask`.
///
/// # Errors
/// What the last tool said.
pub fn enable(user: &str, may_ask: bool) -> Result<(), String> {
    let direct = ask("loginctl", &["enable-linger", user]);
    if matches!(&direct, Ok(told) if told.is_ok) {
        return Ok(());
    }
    let args: &[&str] =
        if may_ask { &["loginctl", "enable-linger", user] } else { &["-n", "loginctl", "enable-linger", user] };
    match ask("sudo", args) {
        Ok(told) if told.is_ok => Ok(()),
        Ok(told) => Err(told.detail().to_owned()),
        Err(_) => Err(direct.map_or_else(|error| error.to_string(), |told| told.detail().to_owned())),
    }
}
