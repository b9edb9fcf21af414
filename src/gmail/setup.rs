//! Makes what Google needs to push mails here: a Pub/Sub topic, a subscription that knows the way, and the watch of the
//! mailbox; then writes it down.
//!
//! Runs Google's own program `gcloud`, and `gog`, one after the other, on the caller's thread; each step may be repeated.
//! Not here: the words of the command line (`cli::webhooks`).

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Overrides, Place, SUBSCRIPTION_DEFAULT, hook_url, local_origin, start_args};
use crate::base::cancel::CancelToken;
use crate::base::process::{Ended, Keep, capture, find_program};
use crate::base::rng::{Rng, hex_token};
use crate::base::tailscale;
use crate::base::text::{cut_bytes, trimmed, unless_blank};
use crate::config::json5;
use crate::config::paths::Paths;
use crate::config::tree::object_mut;
use crate::config::types::Config;
use crate::config::write::{self, EditError};

const TOPIC_DEFAULT: &str = "gog-gmail-watch";
/// Who publishes mails at Google.
const PUBLISHER: &str = "serviceAccount:gmail-api-push@system.gserviceaccount.com";
/// Bytes of a token that is made here.
const TOKEN_BYTES: usize = 24;
/// How long a question to Google may take, and a change.
const LOOK_WAIT: Duration = Duration::from_secs(30);
const CHANGE_WAIT: Duration = Duration::from_secs(120);
/// Output of a program that is kept.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// How much of it an error shows, in bytes.
const SHOWN_BYTES_MAX: usize = 2000;
/// Largest file of credentials that is read.
const CREDENTIALS_BYTES_MAX: u64 = 64 * 1024;

/// What is asked for.
#[derive(Debug, Default)]
pub struct Request {
    /// The project at Google; the one of `gog`'s credentials when absent.
    pub project: Option<String>,
    /// Where Google pushes to, when not through Tailscale.
    pub push_endpoint: Option<String>,
    /// The rest.
    pub over: Overrides,
}

/// What was made. Not `Debug`: it holds tokens.
pub struct Made {
    /// The project at Google.
    pub project: String,
    /// Topic there.
    pub topic: String,
    /// Subscription there.
    pub subscription: String,
    /// Where Google pushes to, token included.
    pub push_endpoint: String,
    /// Where mails are posted.
    pub hook_url: String,
    /// What is shown there.
    pub hook_token: String,
    /// What Google shows.
    pub push_token: String,
    /// Where `gog` listens.
    pub place: Place,
}

impl Made {
    /// Returns the summary for programs. It holds the tokens.
    pub fn json(&self) -> Value {
        let Place { bind, port, path, .. } = &self.place;
        json!({
            "projectId": self.project, "topic": self.topic, "subscription": self.subscription,
            "pushEndpoint": self.push_endpoint, "hookUrl": self.hook_url, "hookToken": self.hook_token,
            "pushToken": self.push_token, "serve": {"bind": bind, "port": port, "path": path},
        })
    }
}

/// Does all of it; `say` hears of each step before it is done.
///
/// # Errors
/// What is missing, or what a program said, for people. What was made until then stays; a second call goes on.
pub fn run(
    config: &Config,
    paths: &Paths,
    rng: &dyn Rng,
    request: &Request,
    say: &dyn Fn(&str),
) -> Result<Made, String> {
    let (over, gmail) = (&request.over, &config.hooks.gmail);
    let pick = |over: &Option<String>, configured: &Option<String>, default: &str| {
        super::pick(over, configured).unwrap_or_else(|| default.to_owned())
    };
    let account = pick(&over.account, &gmail.account, "");
    if account.is_empty() {
        return Err("--account is required".to_owned());
    }
    let push_endpoint = request.push_endpoint.as_deref().and_then(unless_blank);
    // Nothing is published that nobody asked for: with an address of one's own Tailscale is not needed.
    let mode = pick(&over.tailscale, &gmail.tailscale.mode, if push_endpoint.is_some() { "off" } else { "funnel" });
    let place = Place::resolve(config, over, mode)?;
    if place.published.mode == "off" && push_endpoint.is_none() {
        return Err("push endpoint required (set --push-endpoint <url>, or --tailscale funnel)".to_owned());
    }
    let google = Google::find()?;
    let gog = super::gog()?;
    if push_endpoint.is_none() && tailscale::program().is_none() {
        return Err("tailscale is not installed, or not on the PATH: install it (https://tailscale.com/download) and run `tailscale up`, or pass --push-endpoint <url>".to_owned());
    }
    google.sign_in(say)?;

    let topic = pick(&over.topic, &gmail.topic, TOPIC_DEFAULT);
    let (of_topic, topic) = match parse_topic(&topic) {
        Some((project, name)) => (Some(project), name),
        None => (None, topic),
    };
    let project = request.project.as_ref().and_then(trimmed).or(of_topic).or_else(|| google.project_of_gog());
    // The topic must be in the project that gog's own client belongs to.
    let project = project.ok_or(
        "GCP project id required: pass --project <id>, or let gog have its credentials (`gog auth credentials <file>`)",
    )?;
    let topic_path = format!("projects/{project}/topics/{topic}");
    let subscription = pick(&over.subscription, &gmail.subscription, SUBSCRIPTION_DEFAULT);
    let label = pick(&over.label, &gmail.label, super::LABEL_DEFAULT);
    let token = |over: Option<&str>, configured: &Option<String>| {
        let given = over.and_then(unless_blank).map(str::to_owned).or_else(|| configured.as_ref().and_then(trimmed));
        given.unwrap_or_else(|| hex_token(rng, TOKEN_BYTES))
    };
    let hook_token = token(over.hook_token.as_ref().map(|it| it.expose()), &config.hooks.token);
    let push_token = token(over.push_token.as_ref().map(|it| it.expose()), &gmail.push_token);

    say(&format!("Enabling Gmail and Pub/Sub in project {project}"));
    google.change(&["config", "set", "project", &project, "--quiet"])?;
    let apis = ["services", "enable", "gmail.googleapis.com", "pubsub.googleapis.com"];
    google.change(&[&apis[..], &["--project", &project, "--quiet"]].concat())?;
    say(&format!("Making topic {topic}"));
    google.make_topic(&project, &topic)?;
    let endpoint = match push_endpoint {
        Some(url) => url.to_owned(),
        None => {
            say(&format!("Publishing port {} by tailscale {}", place.port, place.published.mode));
            let url = place.published.publish(place.port, &CancelToken::new())?;
            format!("{url}?token={push_token}")
        }
    };
    say(&format!("Making subscription {subscription}"));
    // What the program says may repeat the address.
    let masked = |error: String| error.replace(&push_token, "***");
    google.subscribe(&project, &subscription, &topic, &endpoint).map_err(masked)?;
    say(&format!("Watching {label} of {account}"));
    let mut command = Command::new(gog);
    command.args(start_args(&account, &label, &topic_path));
    finish(command, "gog gmail watch start", CHANGE_WAIT)?;

    let made = Made {
        hook_url: pick(&over.hook_url, &gmail.hook_url, &hook_url(&config.hooks, &local_origin(config))),
        project,
        topic: topic_path,
        subscription,
        push_endpoint: endpoint,
        hook_token,
        push_token,
        place,
    };
    write::edit(paths, |tree| note(tree, config, request, &account, &label, &made)).map_err(|error| match error {
        EditError::Change(text) => text,
        error => format!("the configuration {} cannot be changed: {error}", paths.shorten(&paths.config_file)),
    })?;
    Ok(made)
}

/// Writes it into the configuration, beside what the owner wrote; a token that was there keeps its spelling.
fn note(
    tree: &mut Value,
    config: &Config,
    request: &Request,
    account: &str,
    label: &str,
    made: &Made,
) -> Result<(), String> {
    let over = &request.over;
    let hooks = object_mut(tree, &["hooks"]);
    hooks.insert("enabled".to_owned(), true.into());
    if over.hook_token.is_some() || config.hooks.token.as_deref().and_then(unless_blank).is_none() {
        hooks.insert("token".to_owned(), made.hook_token.as_str().into());
    }
    let mut presets: Vec<String> = config.hooks.presets.iter().filter_map(trimmed).collect();
    if !presets.iter().any(|preset| preset == "gmail") {
        presets.push("gmail".to_owned());
        hooks.insert("presets".to_owned(), json!(presets));
    }
    let configured = &config.hooks.gmail;
    let gmail = object_mut(tree, &["hooks", "gmail"]);
    let Place { bind, port, path, published } = &made.place;
    gmail.insert("account".to_owned(), account.into());
    gmail.insert("label".to_owned(), label.into());
    gmail.insert("topic".to_owned(), made.topic.as_str().into());
    gmail.insert("subscription".to_owned(), made.subscription.as_str().into());
    if over.push_token.is_some() || configured.push_token.as_deref().and_then(unless_blank).is_none() {
        gmail.insert("pushToken".to_owned(), made.push_token.as_str().into());
    }
    // Unless somebody wants another, it follows the gateway's port and path.
    if over.hook_url.is_some() {
        gmail.insert("hookUrl".to_owned(), made.hook_url.as_str().into());
    }
    let include_body = over.include_body.or(configured.include_body).unwrap_or(true);
    gmail.insert("includeBody".to_owned(), include_body.into());
    let max_bytes = over.max_bytes.or(configured.max_bytes).unwrap_or(super::MAX_BYTES_DEFAULT);
    gmail.insert("maxBytes".to_owned(), max_bytes.into());
    let minutes = over.renew_minutes.or(configured.renew_every_minutes).unwrap_or(super::RENEW_MINUTES_DEFAULT);
    gmail.insert("renewEveryMinutes".to_owned(), minutes.into());
    let serve = object_mut(tree, &["hooks", "gmail", "serve"]);
    serve.insert("bind".to_owned(), bind.as_str().into());
    serve.insert("port".to_owned(), (*port).into());
    serve.insert("path".to_owned(), path.as_str().into());
    let tailscale = object_mut(tree, &["hooks", "gmail", "tailscale"]);
    tailscale.insert("mode".to_owned(), published.mode.as_str().into());
    tailscale.insert("path".to_owned(), published.path.as_str().into());
    if let Some(target) = &published.target {
        tailscale.insert("target".to_owned(), target.as_str().into());
    }
    Ok(())
}

/// Google's own program.
struct Google {
    gcloud: PathBuf,
}

impl Google {
    fn find() -> Result<Self, String> {
        // Where Homebrew puts it without linking it.
        let brew = ["/opt/homebrew", "/usr/local"].into_iter().flat_map(|root| {
            ["share/google-cloud-sdk", "Caskroom/google-cloud-sdk/latest/google-cloud-sdk"]
                .map(|directory| PathBuf::from(root).join(directory).join("bin/gcloud"))
        });
        let found = find_program("gcloud").or_else(|| brew.into_iter().find(|file| file.is_file()));
        let gcloud = found.ok_or(
            "gcloud is not installed, or not on the PATH: install the Google Cloud CLI \
             (https://cloud.google.com/sdk/docs/install), run `gcloud auth login`, and try again",
        )?;
        Ok(Self { gcloud })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.gcloud);
        command.args(args);
        command
    }

    /// Asks something; what it printed.
    fn look(&self, args: &[&str]) -> Result<String, String> {
        finish(self.command(args), &format!("gcloud {}", args.join(" ")), LOOK_WAIT)
    }

    fn change(&self, args: &[&str]) -> Result<(), String> {
        finish(self.command(args), &format!("gcloud {}", shown(args)), CHANGE_WAIT).map(drop)
    }

    /// Sees to it that somebody is signed in.
    fn sign_in(&self, say: &dyn Fn(&str)) -> Result<(), String> {
        let active = self.look(&["auth", "list", "--filter", "status:ACTIVE", "--format", "value(account)"]);
        if active.is_ok_and(|accounts| !accounts.trim().is_empty()) {
            return Ok(());
        }
        let by_hand = "run `gcloud auth login` and try again";
        if !io::stdin().is_terminal() {
            return Err(format!("gcloud is not signed in: {by_hand}"));
        }
        say("Signing in to Google (gcloud auth login)");
        match self.command(&["auth", "login"]).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("gcloud auth login failed ({status}): {by_hand}")),
            Err(error) => Err(format!("gcloud auth login: {error}")),
        }
    }

    fn make_topic(&self, project: &str, topic: &str) -> Result<(), String> {
        if self.look(&["pubsub", "topics", "describe", topic, "--project", project]).is_err() {
            self.change(&["pubsub", "topics", "create", topic, "--project", project])?;
        }
        let binding = ["pubsub", "topics", "add-iam-policy-binding", topic, "--project", project];
        let role = ["--member", PUBLISHER, "--role", "roles/pubsub.publisher", "--quiet"];
        self.change(&[&binding[..], &role[..]].concat())
    }

    fn subscribe(&self, project: &str, subscription: &str, topic: &str, endpoint: &str) -> Result<(), String> {
        let is_there = self.look(&["pubsub", "subscriptions", "describe", subscription, "--project", project]).is_ok();
        let verb = if is_there { "update" } else { "create" };
        let mut args = vec!["pubsub", "subscriptions", verb, subscription, "--project", project];
        if !is_there {
            args.extend(["--topic", topic]);
        }
        args.extend(["--push-endpoint", endpoint]);
        self.change(&args)
    }

    /// Returns the project that the client of `gog` belongs to.
    fn project_of_gog(&self) -> Option<String> {
        credentials_files().into_iter().find_map(|file| {
            let text = crate::base::fs::read_text_capped(&file, CREDENTIALS_BYTES_MAX).ok()??;
            let number = project_number(&json5::parse(&text).ok()?)?;
            let filter = format!("projectNumber={number}");
            let listed = self.look(&["projects", "list", "--filter", &filter, "--format", "value(projectId)"]).ok()?;
            listed.split_whitespace().next().map(str::to_owned)
        })
    }
}

/// Returns arguments for people: an address may hold a token.
fn shown(args: &[&str]) -> String {
    let shown = args
        .iter()
        .map(|arg| arg.split_once("?token=").map_or((*arg).to_owned(), |(url, _)| format!("{url}?token=***")));
    shown.collect::<Vec<_>>().join(" ")
}

/// Runs a program to its end; what it printed.
fn finish(command: Command, name: &str, wait: Duration) -> Result<String, String> {
    let captured = capture(command, Some(wait), Keep::Last(OUTPUT_BYTES_MAX), &CancelToken::new())
        .map_err(|error| format!("{name}: {error}"))?;
    match captured.ended {
        Ended::Exited(0) => Ok(captured.stdout),
        Ended::TimedOut => Err(format!("{name}: no answer within {}s", wait.as_secs())),
        _ => {
            let said = captured.said().unwrap_or("it said nothing");
            Err(format!("{name} failed: {}", cut_bytes(said, SHOWN_BYTES_MAX)))
        }
    }
}

fn credentials_files() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut files: Vec<PathBuf> = variable("XDG_CONFIG_HOME").into_iter().collect();
    if let Some(home) = variable("HOME") {
        files.push(home.join(".config"));
        files.push(home.join("Library/Application Support"));
    }
    files.iter().map(|directory| directory.join("gogcli/credentials.json")).collect()
}

/// Returns the number that a client's id begins with.
fn project_number(credentials: &Value) -> Option<String> {
    let ids = [&credentials["installed"]["client_id"], &credentials["web"]["client_id"], &credentials["client_id"]];
    let id = ids.into_iter().find_map(|id| id.as_str().filter(|id| !id.is_empty()))?;
    let (number, _) = id.split_once('-')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

/// Takes `projects/…/topics/…` apart.
fn parse_topic(text: &str) -> Option<(String, String)> {
    match text.trim().split('/').collect::<Vec<_>>()[..] {
        [projects, project, topics, topic]
            if projects.eq_ignore_ascii_case("projects")
                && topics.eq_ignore_ascii_case("topics")
                && !project.is_empty()
                && !topic.is_empty() =>
        {
            Some((project.to_owned(), topic.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_credentials() {
        for (text, expected) in [
            ("projects/p/topics/t", Some(("p", "t"))),
            (" Projects/p/Topics/t ", Some(("p", "t"))),
            ("t", None),
            ("projects/p/topics/", None),
            ("projects/p/topics/t/u", None),
        ] {
            let expected = expected.map(|(project, topic)| (project.to_owned(), topic.to_owned()));
            assert_eq!(parse_topic(text), expected, "{text}");
        }
        for (credentials, expected) in [
            (json!({"installed": {"client_id": "123-abc.apps"}}), Some("123")),
            (json!({"web": {"client_id": "7-x"}}), Some("7")),
            (json!({"client_id": "9-x"}), Some("9")),
            (json!({"client_id": "abc-x"}), None),
            (json!({}), None),
        ] {
            assert_eq!(project_number(&credentials).as_deref(), expected, "{credentials}");
        }
        assert_eq!(shown(&["--push-endpoint", "https://a/b?token=secret"]), "--push-endpoint https://a/b?token=***");
    }
}
