//! Who issues tokens, and for which application they are asked for.
//!
//! The ids are those of the applications for which the original's users have signed in: their tokens are renewed under no
//! other. Google wants a secret too, which is not ours to carry: it is the owner's, or the installed Gemini CLI's. Pure but
//! for looking at the environment and at that program. Not here: asking (`oauth`).

use serde_json::{Map, Value};

use super::gemini_cli;
use crate::base::text::unless_blank;

/// Variable whose value stands for the scheme and host of every issuer: for tests and for proxies.
pub const BASE_URL_VARIABLE: &str = "CLAWDBOT_OAUTH_BASE_URL";

/// Who issues the tokens of a provider.
pub struct Issuer {
    /// The provider.
    pub provider: &'static str,
    /// Where tokens come from.
    pub token_url: &'static str,
    /// Whether its tokens run out and are renewed with a refresh token.
    pub(super) renews: bool,
    /// The application; empty where everybody registers one.
    client_id: &'static str,
    /// Variables of an own application and its secret.
    client_variables: &'static [(&'static str, &'static str)],
    /// Whether it is asked in JSON instead of a form.
    pub(super) asks_json: bool,
}

const fn known(provider: &'static str, token_url: &'static str, client_id: &'static str) -> Issuer {
    Issuer { provider, token_url, renews: true, client_id, client_variables: &[], asks_json: false }
}

static ISSUERS: [Issuer; 6] = [
    Issuer {
        asks_json: true,
        ..known("anthropic", "https://console.anthropic.com/v1/oauth/token", "9d1c250a-e61b-44d9-88ed-5944d1962f5e")
    },
    known("openai-codex", "https://auth.openai.com/oauth/token", "app_EMoamEEZ73f0CkXaXp7hrann"),
    known("qwen-portal", "https://chat.qwen.ai/api/v1/oauth2/token", "f0304373b74a44d2b584a3fb70ca9e56"),
    Issuer {
        client_variables: &[("CHUTES_CLIENT_ID", "CHUTES_CLIENT_SECRET")],
        ..known("chutes", "https://api.chutes.ai/idp/token", "")
    },
    Issuer {
        client_variables: &[
            ("CLAWDBOT_GEMINI_OAUTH_CLIENT_ID", "CLAWDBOT_GEMINI_OAUTH_CLIENT_SECRET"),
            ("GEMINI_CLI_OAUTH_CLIENT_ID", "GEMINI_CLI_OAUTH_CLIENT_SECRET"),
        ],
        ..known(gemini_cli::PROVIDER, "https://oauth2.googleapis.com/token", "")
    },
    // Its token does not run out; see `copilot` for what it is traded for.
    Issuer {
        renews: false,
        ..known(super::copilot::PROVIDER, "https://github.com/login/oauth/access_token", "Iv1.b507a08c87ecfe98")
    },
];

/// Returns who issues the tokens of a provider; `None` for those that nobody issues.
pub fn issuer(provider: &str) -> Option<&'static Issuer> {
    ISSUERS.iter().find(|issuer| issuer.provider == provider)
}

/// Returns an issuer's address, or the one that stands for it.
pub fn address(url: &str) -> String {
    let Some(base) = variable(BASE_URL_VARIABLE) else { return url.to_owned() };
    let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
    format!("{}{path}", base.trim_end_matches('/'))
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().as_deref().and_then(unless_blank).map(str::to_owned)
}

impl Issuer {
    /// Returns the application's id and secret: those of `profile`, of the environment, or of the program whose sign-in it
    /// is.
    ///
    /// # Errors
    /// A text for the user: what has to be set or installed.
    pub fn client(&self, profile: &Map<String, Value>) -> Result<(String, Option<String>), String> {
        let of = |field: &str| profile.get(field).and_then(Value::as_str).and_then(unless_blank).map(str::to_owned);
        let secret_of = |id: &str| {
            let set = self.client_variables.iter().filter(|(name, _)| variable(name).as_deref() == Some(id));
            set.filter_map(|(_, secret)| variable(secret)).next()
        };
        if let Some(id) = of("clientId") {
            let only = || self.client_variables.iter().find_map(|(_, secret)| variable(secret));
            let secret = of("clientSecret").or_else(|| secret_of(&id)).or_else(only);
            return Ok((id, secret));
        }
        if let Some((id, secret)) = self.client_variables.iter().find_map(|(id, secret)| Some((variable(id)?, secret)))
        {
            return Ok((id, variable(secret)));
        }
        match self.client_variables {
            [] => Ok((self.client_id.to_owned(), None)),
            [.., (variable, _)] if self.provider == gemini_cli::PROVIDER => {
                gemini_cli::installed_client().map(|(id, secret)| (id, Some(secret))).ok_or_else(|| {
                    format!("install the Gemini CLI, whose sign-in this is, or set {variable} to your application's id")
                })
            }
            [(variable, _), ..] => Err(format!("set {variable} to your application's id")),
        }
    }

    /// Returns whether everybody brings an application of their own, which a credential has to name.
    pub fn has_own_clients(&self) -> bool {
        !self.client_variables.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_own_application_is_the_credentials_or_the_environments() {
        let issuer = issuer("chutes").expect("known");
        let profile = json!({"clientId": "mine", "clientSecret": "s"});
        assert_eq!(issuer.client(profile.as_object().expect("object")), Ok(("mine".to_owned(), Some("s".to_owned()))));
        let error = issuer.client(&Map::new()).expect_err("none");
        assert_eq!(error, "set CHUTES_CLIENT_ID to your application's id");
    }
}
