//! `models auth login`: signing in to a provider from a terminal, with a browser anywhere.
//!
//! Either the browser ends on a page, or an address, that holds a code: this machine listens for it (`callback`), and it can
//! be pasted, so that it also works over ssh. Or the browser is given a code, and this command waits until somebody has
//! approved it. Not here: renewing what was signed in for (`agent::auth_profiles::oauth`).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::super::dashboard;
use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, output};
use super::auth::{ask, keep, provider_of};
use super::callback::{self, Callback};
use super::change;
use crate::agent::auth_profiles::copilot::Trade;
use crate::agent::auth_profiles::oauth::{self, Issuer, RenewError, TokenError, Tokens, fields_of};
use crate::agent::auth_profiles::{copilot, gemini_cli};
use crate::agent::{models, providers};
use crate::base::cancel::CancelToken;
use crate::base::clock::SystemClock;
use crate::base::hash::sha256;
use crate::base::rng::{Rng as _, SystemRng};
use crate::base::text::{percent_decoded, percent_encoded, unless_blank};
use crate::net::fetch::Fetch;

/// Waits between two looks whether somebody has approved: what is usual, and at most.
const INTERVAL_SECONDS_DEFAULT: u64 = 2;
const INTERVAL_SECONDS_MAX: u64 = 30;
/// How long a code for approval holds of which nothing else is said.
const APPROVAL_SECONDS_DEFAULT: u64 = 900;
/// sign in to a provider that gives tokens to its subscribers; prints an address to open in any browser
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct Login {
    /// anthropic, openai-codex, google-gemini-cli, github-copilot, qwen-portal or chutes
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// what to store it as (default: <provider>:default, or the account)
    #[argh(option, arg_name = "id")]
    profile_id: Option<String>,
    /// way to sign in; each provider has one
    #[argh(option, arg_name = "id")]
    #[allow(dead_code, reason = "compat: the original's option, for which there is nothing to choose")]
    method: Option<String>,
    /// let agents use the provider's usual model
    #[argh(switch)]
    set_default: bool,
}

/// sign in to GitHub Copilot; the same as: models auth login --provider github-copilot
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct LoginGithubCopilot {
    /// what to store it as (default: github-copilot:github)
    #[argh(option, arg_name = "id")]
    profile_id: Option<String>,
    /// sign in again without being asked
    #[argh(switch)]
    #[allow(dead_code, reason = "compat: nothing is asked here in the first place")]
    yes: bool,
}

impl Command for LoginGithubCopilot {
    fn run(self, cli: &Cli) -> Outcome {
        sign_in(cli, copilot::PROVIDER, self.profile_id.as_deref(), false)
    }
}

/// How people sign in.
enum Way {
    /// They paste what the browser ends on.
    Paste { authorize_url: &'static str, redirect_url: &'static str, scope: &'static str, more: &'static str },
    /// They approve a code.
    Device { code_url: &'static str, scope: &'static str },
}

fn way(provider: &str) -> Option<Way> {
    match provider {
        "anthropic" => Some(Way::Paste {
            authorize_url: "https://claude.ai/oauth/authorize",
            redirect_url: "https://console.anthropic.com/oauth/code/callback",
            scope: "org:create_api_key user:profile user:inference",
            more: "&code=true",
        }),
        "openai-codex" => Some(Way::Paste {
            authorize_url: "https://auth.openai.com/oauth/authorize",
            redirect_url: "http://localhost:1455/auth/callback",
            scope: "openid profile email offline_access",
            more: "&id_token_add_organizations=true&codex_cli_simplified_flow=true&originator=clawdbot",
        }),
        "chutes" => Some(Way::Paste {
            authorize_url: "https://api.chutes.ai/idp/authorize",
            redirect_url: "http://127.0.0.1:1456/oauth-callback",
            scope: "openid profile chutes:invoke",
            more: "",
        }),
        gemini_cli::PROVIDER => Some(Way::Paste {
            authorize_url: "https://accounts.google.com/o/oauth2/v2/auth",
            redirect_url: "http://localhost:8085/oauth2callback",
            scope: "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email \
                    https://www.googleapis.com/auth/userinfo.profile",
            more: "&access_type=offline&prompt=consent",
        }),
        "qwen-portal" => Some(Way::Device {
            code_url: "https://chat.qwen.ai/api/v1/oauth2/device/code",
            scope: "openid profile email model.completion",
        }),
        copilot::PROVIDER => Some(Way::Device { code_url: "https://github.com/login/device/code", scope: "read:user" }),
        _ => None,
    }
}

impl Command for Login {
    fn run(self, cli: &Cli) -> Outcome {
        let provider = provider_of(self.provider.as_deref())?;
        sign_in(cli, &provider, self.profile_id.as_deref(), self.set_default)
    }
}

/// Signs in to a provider with somebody at the terminal, and keeps what comes of it for all agents.
pub(in crate::cli) fn sign_in(cli: &Cli, provider: &str, id: Option<&str>, sets_default: bool) -> Outcome {
    let Some((issuer, way)) = oauth::issuer(provider).zip(way(provider)) else {
        return Err(Failure::error(format!(
            "Nobody can sign in to {provider} here. Store a key with: clawdbot models auth add --provider {provider}"
        )));
    };
    let (client_id, client_secret) = issuer.client(&Map::new()).map_err(Failure::error)?;
    let cancel = CancelToken::new();
    let at = Desk { issuer, client_id, client_secret, verifier: random_text(), fetch: Fetch::new(&cancel), cancel };
    let tokens = match way {
        Way::Paste { authorize_url, redirect_url, scope, more } => {
            at.paste(authorize_url, redirect_url, scope, more)?
        }
        Way::Device { code_url, scope } => at.device(code_url, scope)?,
    };
    let profile = at.profile(provider, &tokens, cli)?;
    let name = match provider {
        copilot::PROVIDER => "github",
        gemini_cli::PROVIDER => profile.get("email").and_then(Value::as_str).unwrap_or("default"),
        _ => "default",
    };
    let id = id.and_then(unless_blank).map_or_else(|| format!("{provider}:{name}"), str::to_owned);
    let kind = if provider == copilot::PROVIDER { "token" } else { "oauth" };
    keep(cli, provider, &id, kind, Value::Object(profile))?;
    match models::default_model(provider).map(|model| format!("{provider}/{model}")) {
        Some(model) if sets_default => change::set_default(cli, &model)?,
        Some(model) => output::line(&format!("Its usual model: clawdbot models set {model}")),
        None => {}
    }
    Ok(())
}

fn random_text() -> String {
    let mut bytes = [0; 32];
    SystemRng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// One sign-in.
struct Desk {
    issuer: &'static Issuer,
    client_id: String,
    client_secret: Option<String>,
    verifier: String,
    fetch: Fetch,
    cancel: CancelToken,
}

impl Desk {
    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.verifier.as_bytes()))
    }

    fn paste(&self, authorize_url: &str, redirect_url: &str, scope: &str, more: &str) -> Result<Tokens, Failure> {
        let is_claude = self.issuer.provider == "anthropic";
        // On this machine the browser can hand the code over itself.
        let is_here = ["http://localhost:", "http://127.0.0.1:"].iter().any(|here| redirect_url.starts_with(here));
        let listening = is_here.then(|| Callback::listen(redirect_url)).and_then(|listening| {
            listening.map_err(|error| output::line(&format!("Nobody listens for the browser here ({error})."))).ok()
        });
        let (callback, redirect_url) = match listening {
            Some((callback, own)) => (Some(callback), own),
            None => (None, redirect_url.to_owned()),
        };
        let redirect_url = redirect_url.as_str();
        // compat: Anthropic's page repeats the verifier as the state, and its token endpoint wants to see it again.
        let state = if is_claude { self.verifier.clone() } else { random_text() };
        let address = format!(
            "{authorize_url}?response_type=code&client_id={}&redirect_uri={}&scope={}&code_challenge={}\
             &code_challenge_method=S256&state={state}{more}",
            percent_encoded(&self.client_id),
            percent_encoded(redirect_url),
            percent_encoded(scope),
            self.challenge(),
        );
        output::line("Open this address in a browser and sign in:");
        output::line("");
        output::line(&address);
        output::line("");
        let code = match &callback {
            Some(callback) => {
                dashboard::open(&address);
                callback.wait(&state)?
            }
            None => {
                if !is_claude {
                    output::line(
                        "It ends on a page that cannot be shown. That is as it should be: copy its whole address.",
                    );
                }
                callback::judged(&ask("Paste the code, or the address that the browser ends on")?, &state)?
            }
        };
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &self.client_id),
            ("code", &code),
            ("redirect_uri", redirect_url),
            ("code_verifier", &self.verifier),
        ];
        if is_claude {
            fields.push(("state", &state));
        }
        fields.extend(self.client_secret.as_deref().map(|secret| ("client_secret", secret)));
        self.tokens(&fields).map_err(failure)
    }

    fn device(&self, code_url: &str, scope: &str) -> Result<Tokens, Failure> {
        let challenge = self.challenge();
        let mut fields = vec![("client_id", self.client_id.as_str()), ("scope", scope)];
        let is_github = self.issuer.provider == copilot::PROVIDER;
        if !is_github {
            fields.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        let device = oauth::ask(&oauth::address(code_url), false, &fields, &self.fetch).map_err(failure)?;
        let text = |key: &str| device.get(key).and_then(Value::as_str).and_then(unless_blank);
        let page = text("verification_uri_complete").or(text("verification_uri"));
        let (Some(page), Some(shown), Some(code)) = (page, text("user_code"), text("device_code")) else {
            return Err(Failure::error("Sign-in failed: the provider's answer has no code to approve."));
        };
        output::line(&format!("Open {page} in a browser and approve the code {shown}. Waiting…"));
        let seconds = |key: &str, otherwise: u64| device.get(key).and_then(Value::as_u64).unwrap_or(otherwise);
        let until = Instant::now() + Duration::from_secs(seconds("expires_in", APPROVAL_SECONDS_DEFAULT));
        let interval = seconds("interval", INTERVAL_SECONDS_DEFAULT).clamp(1, INTERVAL_SECONDS_MAX);
        let mut interval = Duration::from_secs(interval);
        let mut fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", &self.client_id),
            ("device_code", code),
        ];
        if !is_github {
            fields.push(("code_verifier", &self.verifier));
        }
        while Instant::now() < until {
            match self.tokens(&fields) {
                Err(TokenError::Refused { code, .. }) if code == "authorization_pending" => {}
                Err(TokenError::Refused { code, .. }) if code == "slow_down" => {
                    interval = (interval + Duration::from_secs(1)).min(Duration::from_secs(INTERVAL_SECONDS_MAX));
                }
                answer => return answer.map_err(failure),
            }
            self.cancel.sleep(interval);
        }
        Err(Failure::error("Nobody approved the code in time. Run the command again."))
    }

    /// Returns the credential as it is stored.
    fn profile(&self, provider: &str, tokens: &Tokens, cli: &Cli) -> Result<Map<String, Value>, Failure> {
        let mut profile = Map::new();
        let mut put = |field: &str, value: &str| drop(profile.insert(field.to_owned(), value.into()));
        put("provider", provider);
        if provider == copilot::PROVIDER {
            put("type", "token");
            put("token", tokens.access.expose());
            // Who has no subscription hears of it now, not from the first message that fails.
            let traded = Trade::new(&cli.paths.state_dir, None).token(&tokens.access, None, &self.fetch, &SystemClock);
            if let Err(RenewError::Failed(error)) = traded {
                output::line(&format!("Signed in at GitHub, but: {error}"));
            }
            return Ok(profile);
        }
        put("type", "oauth");
        if self.issuer.has_own_clients() {
            // The gateway may see neither this terminal's environment nor the program whose application it is.
            put("clientId", &self.client_id);
            if let Some(secret) = &self.client_secret {
                put("clientSecret", secret);
            }
        }
        match provider {
            "openai-codex" => {
                if let Some(account) = providers::codex_account(tokens.access.expose()) {
                    put("accountId", &account);
                }
            }
            gemini_cli::PROVIDER => {
                output::line("Looking for the account's Google Cloud project…");
                let account = gemini_cli::account(&tokens.access, &self.fetch)
                    .map_err(|error| Failure::error(format!("Sign-in failed: {error}.")))?;
                put("projectId", &account.project);
                if let Some(email) = &account.email {
                    put("email", email);
                }
            }
            _ => {}
        }
        profile.extend(fields_of(tokens));
        Ok(profile)
    }

    fn tokens(&self, fields: &[(&str, &str)]) -> Result<Tokens, TokenError> {
        self.issuer.ask(fields, &self.fetch, &SystemClock)
    }
}

fn failure(error: TokenError) -> Failure {
    match error {
        TokenError::Cancelled => Failure::error("Sign-in was stopped."),
        TokenError::Refused { message, .. } => {
            Failure::error(format!("Sign-in failed: {message}. Run the command again."))
        }
    }
}

/// Returns code, state and error of what a browser ends on, or of what was pasted of that: an address, `code#state`,
/// `code=…&state=…`, or a code.
pub(super) fn code_of(pasted: &str) -> (Option<String>, Option<String>, Option<String>) {
    let query = pasted.split_once('?').map_or(pasted, |(_, query)| query);
    let field = |name: &str| {
        let of =
            |pair: &str| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| percent_decoded(value));
        query.split(['&', '#']).find_map(of).filter(|value| !value.is_empty())
    };
    let (code, error) = (field("code"), field("error"));
    if code.is_some() || error.is_some() {
        return (code, field("state"), error);
    }
    match pasted.split_once('#') {
        Some((code, state)) => (Some(code.trim().to_owned()), Some(state.trim().to_owned()), None),
        None if pasted.is_empty() || pasted.contains("://") => (None, None, None),
        None => (Some(pasted.to_owned()), None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_what_people_paste() {
        for (pasted, code, state, error) in [
            ("abc", Some("abc"), None, None),
            ("abc#s1", Some("abc"), Some("s1"), None),
            ("http://localhost:1455/auth/callback?code=a%2Bc&scope=x&state=s1", Some("a+c"), Some("s1"), None),
            ("code=abc&state=s1", Some("abc"), Some("s1"), None),
            ("error=access_denied&state=s1", None, Some("s1"), Some("access_denied")),
            ("https://accounts.example/?x=1", None, None, None),
            ("", None, None, None),
        ] {
            let expected = (code.map(str::to_owned), state.map(str::to_owned), error.map(str::to_owned));
            assert_eq!(code_of(pasted), expected, "{pasted}");
        }
    }
}
