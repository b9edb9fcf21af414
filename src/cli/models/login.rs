//! `models auth login`: signing in to a provider from a terminal, with a browser anywhere.
//!
//! Either the browser ends on a page, or an address, that holds a code to be pasted here; or it is given a code and this
//! command waits until somebody has approved it. Nothing listens, so it also works over ssh. Not here: renewing what was
//! signed in for (`agent::auth_profiles::oauth`).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, output};
use super::auth::{ask, keep, provider_of};
use crate::agent::auth_profiles::oauth::{self, Issuer, TokenError, Tokens, fields_of};
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
/// Where `openai-codex` keeps which account a token is for.
const CODEX_CLAIM: &str = "https://api.openai.com/auth";

/// sign in to a provider that gives tokens to its subscribers; prints an address to open in any browser
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct Login {
    /// anthropic, openai-codex, qwen-portal or chutes
    #[argh(option, arg_name = "id")]
    provider: Option<String>,
    /// what to store it as (default: <provider>:default)
    #[argh(option, arg_name = "id")]
    profile_id: Option<String>,
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
            more: "&id_token_add_organizations=true&codex_cli_simplified_flow=true",
        }),
        "chutes" => Some(Way::Paste {
            authorize_url: "https://api.chutes.ai/idp/authorize",
            redirect_url: "http://127.0.0.1:1456/oauth-callback",
            scope: "openid profile chutes:invoke",
            more: "",
        }),
        "qwen-portal" => Some(Way::Device {
            code_url: "https://chat.qwen.ai/api/v1/oauth2/device/code",
            scope: "openid profile email model.completion",
        }),
        _ => None,
    }
}

impl Command for Login {
    fn run(self, cli: &Cli) -> Outcome {
        let provider = provider_of(self.provider.as_deref())?;
        let Some((issuer, way)) = oauth::issuer(&provider).zip(way(&provider)) else {
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
        let given = self.profile_id.as_deref().and_then(unless_blank);
        let id = given.map_or_else(|| format!("{provider}:default"), str::to_owned);
        keep(cli, &provider, &id, "oauth", Value::Object(profile(&provider, &at.client_id, &tokens)))
    }
}

/// Returns the credential as it is stored.
fn profile(provider: &str, client_id: &str, tokens: &Tokens) -> Map<String, Value> {
    let mut profile = Map::new();
    profile.insert("type".to_owned(), "oauth".into());
    profile.insert("provider".to_owned(), provider.into());
    profile.extend(fields_of(tokens));
    match provider {
        "openai-codex" => {
            let account = claims(tokens.access.expose())
                .and_then(|it| Some(it[CODEX_CLAIM]["chatgpt_account_id"].as_str()?.to_owned()));
            profile.extend(account.map(|account| ("accountId".to_owned(), account.into())));
        }
        "chutes" => drop(profile.insert("clientId".to_owned(), client_id.into())),
        _ => {}
    }
    profile
}

/// Returns what a token says of itself.
fn claims(token: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
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
        if !is_claude {
            output::line("It ends on a page that cannot be shown. That is as it should be: copy its whole address.");
        }
        let pasted = ask("Paste the code, or the address that the browser ends on")?;
        let (code, given) = code_of(&pasted);
        if given.as_deref().is_some_and(|given| given != state) {
            return Err(Failure::error("That code belongs to another sign-in. Run the command again."));
        }
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
        let fields = [
            ("client_id", self.client_id.as_str()),
            ("scope", scope),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
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
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", &self.client_id),
            ("device_code", code),
            ("code_verifier", &self.verifier),
        ];
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

/// Returns code and state of what was pasted: an address, `code#state`, `code=…&state=…`, or a code.
fn code_of(pasted: &str) -> (String, Option<String>) {
    let query = pasted.split_once('?').map_or(pasted, |(_, query)| query);
    let field = |name: &str| {
        let of =
            |pair: &str| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| percent_decoded(value));
        query.split(['&', '#']).find_map(of)
    };
    if let Some(code) = field("code") {
        return (code, field("state"));
    }
    match pasted.split_once('#') {
        Some((code, state)) => (code.trim().to_owned(), Some(state.trim().to_owned())),
        None => (pasted.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_what_people_paste() {
        for (pasted, expected) in [
            ("abc", ("abc", None)),
            ("abc#s1", ("abc", Some("s1"))),
            ("http://localhost:1455/auth/callback?code=a%2Bc&scope=x&state=s1", ("a+c", Some("s1"))),
            ("code=abc&state=s1", ("abc", Some("s1"))),
        ] {
            assert_eq!(code_of(pasted), (expected.0.to_owned(), expected.1.map(str::to_owned)), "{pasted}");
        }
    }

    #[test]
    fn tokens_tell_whose_they_are() {
        let token =
            format!("x.{}.y", URL_SAFE_NO_PAD.encode(r#"{"https://api.openai.com/auth":{"chatgpt_account_id":"a1"}}"#));
        assert_eq!(claims(&token).expect("claims")[CODEX_CLAIM]["chatgpt_account_id"], "a1");
        assert_eq!(claims("opaque"), None);
    }
}
