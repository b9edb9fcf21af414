//! Google's Gemini CLI (Cloud Code Assist): the application it signs in for, and the project of a Google account.
//!
//! Google's token names no project, and requests without one are refused; so it is asked for once, at the sign-in, and kept
//! in the credential. Runs on the thread of whoever signs in. Not here: the sign-in (`cli`), requests to models
//! (`agent::providers`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::issuer::variable;
use super::oauth::{TokenError, address, ask_as};
use crate::base::fs::read_text_capped;
use crate::base::secret::Secret;
use crate::net::fetch::Fetch;

/// Its id.
pub const PROVIDER: &str = "google-gemini-cli";
/// Who knows the project.
const CODE_ASSIST: &str = "https://cloudcode-pa.googleapis.com/v1internal";
/// Who knows the account's address.
const USER_INFO: &str = "https://www.googleapis.com/oauth2/v1/userinfo?alt=json";
/// Plans of accounts: the one for which Google makes a project, and the one of whoever is offered none.
const TIER_FREE: &str = "free-tier";
const TIER_LEGACY: &str = "legacy-tier";
/// Looks whether a project is there that Google is making, and the wait between two.
const LOOKS_MAX: usize = 24;
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// Largest file of the installed program that is read, directories below it, and files that are looked at.
const SOURCE_BYTES_MAX: u64 = 32 * 1024 * 1024;
const DEPTH_MAX: usize = 10;
const ENTRIES_MAX: usize = 20_000;

/// What is known of the account behind a token.
pub struct Account {
    /// Its project.
    pub project: String,
    /// Its address, if it may be known.
    pub email: Option<String>,
}

/// Asks for the account behind a token, and has Google make a project if it has none.
///
/// # Errors
/// For people: why there is none.
pub fn account(token: &Secret, fetch: &Fetch) -> Result<Account, String> {
    let email = ask_as(token, &address(USER_INFO), &[], None, fetch).ok();
    let email = email.and_then(|said| said.get("email")?.as_str().map(str::to_owned));
    Ok(Account { project: project(token, fetch)?, email })
}

fn project(token: &Secret, fetch: &Fetch) -> Result<String, String> {
    let own = variable("GOOGLE_CLOUD_PROJECT").or_else(|| variable("GOOGLE_CLOUD_PROJECT_ID"));
    let needs_own = || {
        "this account needs a Google Cloud project of its own: set GOOGLE_CLOUD_PROJECT to its id and sign in again"
            .to_owned()
    };
    let post = |method: &str, body: &Value| {
        ask_as(token, &address(&format!("{CODE_ASSIST}:{method}")), &[], Some(body), fetch)
    };
    let mut known = match post("loadCodeAssist", &request(own.as_deref())) {
        Ok(known) => known,
        // A company's rules forbid the question; such accounts have the standard plan.
        Err(TokenError::Refused { code, .. }) if code == "SECURITY_POLICY_VIOLATED" => {
            Map::from_iter([("currentTier".to_owned(), json!({"id": "standard-tier"}))])
        }
        Err(error) => return Err(worded("loadCodeAssist", error)),
    };
    if known.get("currentTier").is_some_and(|tier| !tier.is_null()) {
        return id_of(known.get("cloudaicompanionProject")).or(own).ok_or_else(needs_own);
    }
    let tiers = known.remove("allowedTiers");
    let tiers = tiers.as_ref().and_then(Value::as_array).into_iter().flatten();
    let tier = tiers.filter(|tier| tier["isDefault"] == true).filter_map(|tier| tier["id"].as_str()).next();
    let tier = tier.unwrap_or(TIER_LEGACY);
    let is_free = tier == TIER_FREE;
    if !is_free && own.is_none() {
        return Err(needs_own());
    }
    // For a free plan Google makes the project.
    let mut body = request(own.as_deref().filter(|_| !is_free));
    body["tierId"] = tier.into();
    let mut work = post("onboardUser", &body).map_err(|error| worded("onboardUser", error))?;
    for _ in 0..LOOKS_MAX {
        let name = work.get("name").and_then(Value::as_str).unwrap_or_default();
        if work.get("done").and_then(Value::as_bool) == Some(true) || name.is_empty() {
            break;
        }
        let url = address(&format!("{CODE_ASSIST}/{name}"));
        if !fetch.pause(LOOK_WAIT) {
            return Err("it was stopped".to_owned());
        }
        work = ask_as(token, &url, &[], None, fetch).map_err(|error| worded("onboardUser", error))?;
    }
    let made = work.get("response").and_then(|said| said.get("cloudaicompanionProject"));
    id_of(made).or(own).ok_or_else(|| {
        "Google has made no project for this account: set GOOGLE_CLOUD_PROJECT to the id of one and sign in again"
            .to_owned()
    })
}

fn request(project: Option<&str>) -> Value {
    // Unspecified is what a program says that is none of Google's own.
    let mut metadata =
        json!({"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"});
    let Some(project) = project else { return json!({"metadata": metadata}) };
    metadata["duetProject"] = project.into();
    json!({"cloudaicompanionProject": project, "metadata": metadata})
}

fn worded(what: &str, error: TokenError) -> String {
    match error {
        TokenError::Cancelled => "it was stopped".to_owned(),
        TokenError::Refused { message, .. } => format!("{what} failed: {message}"),
    }
}

/// A project is its id, or an object with it.
fn id_of(project: Option<&Value>) -> Option<String> {
    let project = project?;
    let id = project.as_str().or_else(|| project["id"].as_str()).filter(|id| !id.is_empty());
    id.map(str::to_owned)
}

/// Returns id and secret of the application that an installed Gemini CLI signs in for.
pub(super) fn installed_client() -> Option<(String, String)> {
    let path = std::env::var_os("PATH")?;
    let program = std::env::split_paths(&path).map(|dir| dir.join("gemini")).find(|program| program.exists())?;
    let program = program.canonicalize().ok()?;
    client_in(program.parent()?.parent()?)
}

fn client_in(root: &Path) -> Option<(String, String)> {
    let core = root.join("node_modules/@google/gemini-cli-core/dist");
    let usual = ["src/code_assist/oauth2.js", "code_assist/oauth2.js"].map(|path| core.join(path));
    let usual = usual.into_iter().chain([root.join("bundle/gemini.js")]).find_map(|path| client_of(&path));
    usual.or_else(|| {
        let mut left = ENTRIES_MAX;
        client_of(&find(root, "oauth2.js", DEPTH_MAX, &mut left)?)
    })
}

fn find(dir: &Path, name: &str, depth: usize, left: &mut usize) -> Option<PathBuf> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        *left = left.checked_sub(1)?;
        let kind = entry.file_type().ok()?;
        if kind.is_file() && entry.file_name() == name {
            return Some(entry.path());
        }
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && depth > 0 && !is_hidden {
            let found = find(&entry.path(), name, depth - 1, left);
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

fn client_of(path: &Path) -> Option<(String, String)> {
    let text = read_text_capped(path, SOURCE_BYTES_MAX).ok()??;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let end = text.find(".apps.googleusercontent.com")?;
    let start = text[..end].rfind(|c: char| !is_word(c)).map_or(0, |at| at + 1);
    let id = format!("{}.apps.googleusercontent.com", &text[start..end]);
    let from = text.find("GOCSPX-")?;
    let secret: String = text[from..].chars().take_while(|c| is_word(*c)).collect();
    Some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::testing::TempDir;

    #[test]
    fn the_application_of_an_installed_program_is_found() {
        let dir = TempDir::new("gemini");
        assert_eq!(client_in(dir.path()), None);
        let deep = dir.path().join("lib/deep");
        std::fs::create_dir_all(&deep).expect("directory");
        let source = "const a = '12-ab.apps.googleusercontent.com';\nconst b = \"GOCSPX-x_Y-1\";";
        std::fs::write(deep.join("oauth2.js"), source).expect("write");
        let expected = ("12-ab.apps.googleusercontent.com".to_owned(), "GOCSPX-x_Y-1".to_owned());
        assert_eq!(client_in(dir.path()), Some(expected));
    }
}
