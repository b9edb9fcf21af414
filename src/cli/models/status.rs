//! `models status`, which plain `models` is too: what is configured, and whether there are credentials for it.

use serde_json::{Map, Value, json};

use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, output};
use super::{Form, Slot, aliases, allowed};
use crate::agent::auth_profiles::{self, Kind, Profile};
use crate::agent::{models, session};
use crate::base::clock::{Clock as _, SystemClock};
use crate::config::tree;
use crate::logging::redact::mask;

/// How long before its end a credential counts as expiring.
const WARN_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

/// show which models are configured and whether there are credentials for them
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct Status {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// print the default model alone
    #[argh(switch)]
    plain: bool,
    /// exit with 1 when credentials are missing or expired, with 2 when they expire soon
    #[argh(switch)]
    check: bool,
    /// ask the providers (not in this version)
    #[argh(switch)]
    probe: bool,
}

impl Command for Status {
    fn run(self, cli: &Cli) -> Outcome {
        let form = Form::of(self.json, self.plain)?;
        if self.probe {
            return Err(Failure::error(format!(
                "--probe is not in this version; run \"{}\" to try the default model",
                cli.paths.hint("agent --agent main --message hello")
            )));
        }
        let report = Report::read(cli);
        report.print(cli, form);
        match report.verdict() {
            code if self.check && code != 0 => Err(Failure::code(code)),
            _ => Ok(()),
        }
    }
}

/// show which models are configured and whether there are credentials for them
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct Models {
    /// print JSON
    #[argh(switch)]
    status_json: bool,
    /// print the default model alone
    #[argh(switch)]
    status_plain: bool,
}

impl Command for Models {
    fn run(self, cli: &Cli) -> Outcome {
        Status { json: self.status_json, plain: self.status_plain, check: false, probe: false }.run(cli)
    }
}

/// A credential and how long it holds.
struct Health {
    profile: Profile,
    status: &'static str,
    remaining_ms: Option<i64>,
}

impl Health {
    fn of(profile: Profile, now_ms: u64) -> Self {
        let remaining_ms =
            profile.expires_at_ms.map(|at| i64::try_from(i128::from(at) - i128::from(now_ms)).unwrap_or(i64::MAX));
        let status = match (profile.kind, remaining_ms) {
            (Kind::ApiKey, _) | (Kind::Token, None) => "static",
            (Kind::OAuth, None) => "missing",
            (_, Some(..=0)) => "expired",
            (_, Some(left)) if left.unsigned_abs() <= WARN_AFTER_MS => "expiring",
            (_, Some(_)) => "ok",
        };
        Self { profile, status, remaining_ms }
    }

    fn to_json(&self) -> Value {
        let Profile { id, provider, kind, expires_at_ms, .. } = &self.profile;
        let mut row = json!({"profileId": id, "provider": provider, "type": kind.as_str(), "status": self.status});
        if let Some((at, left)) = expires_at_ms.zip(self.remaining_ms) {
            row["expiresAt"] = at.into();
            row["remainingMs"] = left.into();
        }
        row["source"] = "store".into();
        row["label"] = id.as_str().into();
        row
    }
}

/// Everything that is shown.
struct Report {
    agent_dir: std::path::PathBuf,
    /// As written; else the resolved one.
    default: String,
    resolved: String,
    fallbacks: Vec<String>,
    image: Option<String>,
    image_fallbacks: Vec<String>,
    aliases: Vec<(String, String)>,
    allowed: Vec<String>,
    has_shell_env: bool,
    /// Every provider that is named or has credentials.
    providers: Vec<String>,
    /// Those with credentials.
    with_auth: Vec<Value>,
    /// Those that are used and have none.
    missing: Vec<String>,
    credentials: Vec<Health>,
}

impl Report {
    fn read(cli: &Cli) -> Self {
        let (config, tree) = (cli.config(), &cli.snapshot().config);
        let agent = session::default_agent(config);
        let agent_dir = auth_profiles::agent_dir(config, &cli.paths, &agent);
        let now_ms = SystemClock.now_ms();
        let credentials =
            auth_profiles::read(&agent_dir).into_iter().map(|it| Health::of(it, now_ms)).collect::<Vec<_>>();
        let (primary, fallbacks) = Slot::Text.read(tree);
        let (image, image_fallbacks) = Slot::Image.read(tree);
        let resolved = models::default_name(config, &agent).to_string();
        let allowed: Vec<String> = allowed(tree).into_iter().flatten().map(|(key, _)| key.clone()).collect();
        let provider_of = |text: &String| models::parse_name(config, text).map(|name| name.provider);
        let used = [&resolved].into_iter().chain(&fallbacks).chain(&image).chain(&image_fallbacks);
        let mut used: Vec<String> = used.filter_map(provider_of).collect();
        used.sort();
        used.dedup();
        let configured = config.models.providers.keys().map(|id| models::normalize_provider(id));
        let mut providers: Vec<String> = used.iter().cloned().chain(configured).collect();
        providers.extend(allowed.iter().filter_map(provider_of));
        providers.extend(credentials.iter().map(|it| it.profile.provider.clone()));
        providers.extend(models::providers_of_env().into_iter().map(str::to_owned));
        providers.sort();
        providers.dedup();
        let with_auth: Vec<Value> =
            providers.iter().filter_map(|provider| overview(cli, &agent_dir, provider, &credentials)).collect();
        let has_auth = |provider: &String| with_auth.iter().any(|row| row["provider"] == *provider);
        let missing = used.iter().filter(|it| !has_auth(it) && !models::needs_no_key(config, it)).cloned().collect();
        let has_shell_env = tree::get(tree, &["env", "shellEnv", "enabled"]).and_then(Value::as_bool) == Some(true);
        Self {
            default: primary.unwrap_or_else(|| resolved.clone()),
            aliases: aliases(tree),
            agent_dir,
            resolved,
            fallbacks,
            image,
            image_fallbacks,
            allowed,
            has_shell_env,
            providers,
            with_auth,
            missing,
            credentials,
        }
    }

    /// Returns the exit code of `--check`.
    fn verdict(&self) -> i32 {
        let has = |status: &str| self.credentials.iter().any(|it| it.status == status);
        match () {
            () if has("expired") || has("missing") || !self.missing.is_empty() => 1,
            () if has("expiring") => 2,
            () => 0,
        }
    }

    fn print(&self, cli: &Cli, form: Form) {
        match form {
            Form::Json => output::json(&self.to_json(cli)),
            Form::Plain => output::line(&self.resolved),
            Form::Human => self.print_human(cli),
        }
    }

    fn to_json(&self, cli: &Cli) -> Value {
        let aliases: Map<String, Value> =
            self.aliases.iter().map(|(alias, key)| (alias.clone(), key.as_str().into())).collect();
        let providers: Vec<Value> = self.providers.iter().map(|provider| self.provider_health(provider)).collect();
        json!({
            "configPath": cli.paths.config_file,
            "agentDir": self.agent_dir,
            "defaultModel": self.default,
            "resolvedDefault": self.resolved,
            "fallbacks": self.fallbacks,
            "imageModel": self.image,
            "imageFallbacks": self.image_fallbacks,
            "aliases": aliases,
            "allowed": self.allowed,
            "auth": {
                "storePath": auth_profiles::file(&self.agent_dir),
                "shellEnvFallback": {"enabled": self.has_shell_env, "appliedKeys": []},
                "providersWithOAuth": self.signed_in(),
                "missingProvidersInUse": self.missing,
                "providers": self.with_auth,
                "unusableProfiles": [],
                "oauth": {
                    "warnAfterMs": WARN_AFTER_MS,
                    "profiles": self.credentials.iter().map(Health::to_json).collect::<Vec<_>>(),
                    "providers": providers,
                },
            },
        })
    }

    fn provider_health(&self, provider: &str) -> Value {
        let own: Vec<&Health> = self.credentials.iter().filter(|it| it.profile.provider == provider).collect();
        let expirable: Vec<&&Health> = own.iter().filter(|it| it.profile.kind != Kind::ApiKey).collect();
        let has = |status: &str| expirable.iter().any(|it| it.status == status);
        let status = match () {
            () if own.is_empty() => "missing",
            () if expirable.is_empty() => "static",
            () if has("expired") || has("missing") => "expired",
            () if has("expiring") => "expiring",
            () => "ok",
        };
        json!({"provider": provider, "status": status, "profiles": own.iter().map(|it| it.to_json()).collect::<Vec<_>>()})
    }

    /// Returns the providers with credentials of an account, each with how many.
    fn signed_in(&self) -> Vec<String> {
        let count = |provider: &&String| {
            let own = self.credentials.iter().filter(|it| it.profile.provider == **provider);
            own.filter(|it| it.profile.kind != Kind::ApiKey).count()
        };
        let counted = self.providers.iter().map(|provider| (provider, count(&provider)));
        counted.filter(|(_, count)| *count > 0).map(|(provider, count)| format!("{provider} ({count})")).collect()
    }

    fn print_human(&self, cli: &Cli) {
        let row = |label: &str, value: &str| output::line(&format!("{label:<14}: {value}"));
        let list = |label: &str, items: &[String], none: &str| {
            row(
                &format!("{label} ({})", items.len()),
                &if items.is_empty() { none.to_owned() } else { items.join(", ") },
            );
        };
        row("Config", &cli.paths.shorten(&cli.paths.config_file));
        row("Agent dir", &cli.paths.shorten(&self.agent_dir));
        row(
            "Default",
            &match self.default == self.resolved {
                true => self.resolved.clone(),
                false => format!("{} (from {})", self.resolved, self.default),
            },
        );
        list("Fallbacks", &self.fallbacks, "-");
        row("Image model", self.image.as_deref().unwrap_or("-"));
        list("Image fallbacks", &self.image_fallbacks, "-");
        let aliases: Vec<String> = self.aliases.iter().map(|(alias, key)| format!("{alias} -> {key}")).collect();
        list("Aliases", &aliases, "-");
        list("Configured models", &self.allowed, "all");
        output::line(&format!("\n{}", output::bold("Auth overview")));
        row("Auth store", &cli.paths.shorten(&auth_profiles::file(&self.agent_dir)));
        row("Shell env", if self.has_shell_env { "on" } else { "off" });
        list("Providers w/ OAuth/tokens", &self.signed_in(), "-");
        self.with_auth.iter().for_each(|row| output::line(&overview_line(row)));
        if !self.missing.is_empty() {
            output::line(&format!("\n{}", output::bold("Missing auth")));
        }
        for provider in &self.missing {
            output::line(&format!(
                "- {} set its key in the environment, or models.providers.{provider}.apiKey with `{}`.",
                output::bold(provider),
                cli.paths.hint("config set")
            ));
        }
        output::line(&format!("\n{}", output::bold("OAuth/token status")));
        let signed_in: Vec<&Health> = self.credentials.iter().filter(|it| it.profile.kind != Kind::ApiKey).collect();
        if signed_in.is_empty() {
            output::line("- none");
        }
        for credential in signed_in {
            output::line(&health_line(credential));
        }
    }
}

/// Returns what credentials a provider has; `None` without any. Secrets are masked, keys of the store not shown at all.
fn overview(cli: &Cli, agent_dir: &std::path::Path, provider: &str, credentials: &[Health]) -> Option<Value> {
    let own: Vec<&Profile> = credentials.iter().map(|it| &it.profile).filter(|it| it.provider == provider).collect();
    let keys = models::keys(cli.config(), provider);
    let count = |kind: Kind| own.iter().filter(|it| it.kind == kind).count();
    let env = keys.env.as_ref().map(|(name, key)| {
        let value = if name.contains("OAUTH_TOKEN") { "OAuth (env)".to_owned() } else { mask(key.expose()) };
        json!({"value": value, "source": format!("env: {name}")})
    });
    let configured = keys.configured.map(|key| mask(key.expose()));
    let effective = match (&env, &configured) {
        _ if !own.is_empty() => ("profiles", cli.paths.shorten(&auth_profiles::file(agent_dir))),
        (Some(env), _) => ("env", env["value"].as_str().unwrap_or_default().to_owned()),
        (None, Some(key)) => ("models.json", key.clone()),
        (None, None) => return None,
    };
    let mut row = json!({
        "provider": provider,
        "effective": {"kind": effective.0, "detail": effective.1},
        "profiles": {
            "count": own.len(), "oauth": count(Kind::OAuth), "token": count(Kind::Token), "apiKey": count(Kind::ApiKey),
            "labels": own.iter().map(|it| format!("{}={}", it.id, it.kind.as_str())).collect::<Vec<_>>(),
        },
    });
    if let Some(env) = env {
        row["env"] = env;
    }
    if let Some(key) = configured {
        let source = format!("config: models.providers.{provider}.apiKey");
        row["modelsJson"] = json!({"value": key, "source": source});
    }
    Some(row)
}

fn overview_line(row: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut bits = vec![format!("effective={}:{}", text(&row["effective"]["kind"]), text(&row["effective"]["detail"]))];
    let profiles = &row["profiles"];
    if profiles["count"] != 0 {
        let (oauth, token, key) = (&profiles["oauth"], &profiles["token"], &profiles["apiKey"]);
        bits.push(format!("profiles={} (oauth={oauth}, token={token}, api_key={key})", profiles["count"]));
        bits.push(profiles["labels"].as_array().into_iter().flatten().map(&text).collect::<Vec<_>>().join(", "));
    }
    for (name, key) in [("env", "env"), ("config", "modelsJson")] {
        if let Some(found) = row.get(key) {
            bits.push(format!("{name}={} | source={}", text(&found["value"]), text(&found["source"])));
        }
    }
    format!("- {} {}", output::bold(&text(&row["provider"])), bits.join(" | "))
}

fn health_line(credential: &Health) -> String {
    let Profile { id, provider, .. } = &credential.profile;
    let status = if credential.status == "missing" { "unknown" } else { credential.status };
    let expiry = match credential.remaining_ms {
        _ if credential.status == "static" => String::new(),
        Some(left) => format!(" expires in {}", short(left)),
        None => " expires unknown".to_owned(),
    };
    format!("- {}\n  - {id} {status}{expiry}", output::bold(provider))
}

/// Formats what is left of a time: `5m`, `3h`, `12d`.
fn short(left_ms: i64) -> String {
    let minutes = u64::try_from(left_ms).unwrap_or(0).div_ceil(60_000);
    match minutes {
        0..60 => format!("{minutes}m"),
        60..2880 => format!("{}h", (minutes + 30) / 60),
        _ => format!("{}d", (minutes + 720) / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_expire() {
        let check = |kind: Kind, expires_at_ms: Option<u64>, status: &str| {
            let profile = Profile { id: "a:1".into(), provider: "a".into(), kind, expires_at_ms, is_renewable: false };
            assert_eq!(Health::of(profile, 1_000_000_000).status, status, "{kind:?} {expires_at_ms:?}");
        };
        check(Kind::ApiKey, None, "static");
        check(Kind::Token, None, "static");
        check(Kind::OAuth, None, "missing");
        check(Kind::Token, Some(1_000_000_000), "expired");
        check(Kind::OAuth, Some(1_000_000_001), "expiring");
        check(Kind::OAuth, Some(1_000_000_001 + WARN_AFTER_MS), "ok");
        assert_eq!([short(-1), short(90_000), short(2 * 3_600_000), short(86_400_000 * 3)], ["0m", "2m", "2h", "3d"]);
    }
}
