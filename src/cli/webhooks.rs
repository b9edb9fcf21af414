//! `webhooks gmail`: have a mailbox wake the agent, through `gog` (cli.md, http.md §5.6).
//!
//! Not here: what is made at Google (`gmail::setup`), and how `gog` is kept running (`gmail::watch`).

use std::sync::Arc;

use log::Level;

use super::exit::{Failure, Outcome};
use super::{Cli, Command, output};
use crate::base::rng::SystemRng;
use crate::base::secret::Secret;
use crate::base::text::unless_blank;
use crate::gmail::setup::{self, Request};
use crate::gmail::watch::{self, Watch};
use crate::gmail::{self, Overrides, Settings};

/// Declares a command with the options that both share; what is not given is as configured.
macro_rules! gmail_command {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        pub(super) struct $name {
            /// account to watch
            #[argh(option, arg_name = "email")]
            account: Option<String>,
            /// topic of Pub/Sub: a name, or projects/<id>/topics/<name>
            #[argh(option, arg_name = "name")]
            topic: Option<String>,
            /// subscription of Pub/Sub (default gog-gmail-watch-push)
            #[argh(option, arg_name = "name")]
            subscription: Option<String>,
            /// label to watch (default INBOX)
            #[argh(option, arg_name = "label")]
            label: Option<String>,
            /// where mails are posted (default: this machine's gateway)
            #[argh(option, arg_name = "url")]
            hook_url: Option<String>,
            /// token of the gateway's hooks
            #[argh(option, arg_name = "token")]
            hook_token: Option<String>,
            /// token that Google shows to gog
            #[argh(option, arg_name = "token")]
            push_token: Option<String>,
            /// address that gog listens on (default 127.0.0.1)
            #[argh(option, arg_name = "host")]
            bind: Option<String>,
            /// port that gog listens on (default 8788)
            #[argh(option, arg_name = "port")]
            port: Option<String>,
            /// path that gog listens on (default /gmail-pubsub; / behind Tailscale)
            #[argh(option, arg_name = "path")]
            path: Option<String>,
            /// post the beginning of bodies, too (default)
            #[argh(switch)]
            include_body: bool,
            /// bytes of a body that are posted (default 20000)
            #[argh(option, arg_name = "n")]
            max_bytes: Option<String>,
            /// minutes between renewals of the watch (default 720)
            #[argh(option, arg_name = "n")]
            renew_minutes: Option<String>,
            /// publish gog's port by Tailscale: funnel, serve or off
            #[argh(option, arg_name = "mode")]
            tailscale: Option<String>,
            /// public path there (default: gog's)
            #[argh(option, arg_name = "path")]
            tailscale_path: Option<String>,
            /// where Tailscale passes requests on to: port, host:port or URL
            #[argh(option, arg_name = "target")]
            tailscale_target: Option<String>,
            $($fields)*
        }

        impl $name {
            fn overrides(&self) -> Result<Overrides, Failure> {
                let secret = |text: &Option<String>| text.as_deref().and_then(unless_blank).map(Secret::new);
                let port = number("--port", self.port.as_deref(), u16::MAX.into())?;
                Ok(Overrides {
                    account: self.account.clone(),
                    topic: self.topic.clone(),
                    subscription: self.subscription.clone(),
                    label: self.label.clone(),
                    hook_url: self.hook_url.clone(),
                    hook_token: secret(&self.hook_token),
                    push_token: secret(&self.push_token),
                    bind: self.bind.clone(),
                    port: port.and_then(|port| u16::try_from(port).ok()),
                    path: self.path.clone(),
                    include_body: self.include_body.then_some(true),
                    max_bytes: number("--max-bytes", self.max_bytes.as_deref(), u32::MAX.into())?,
                    renew_minutes: number("--renew-minutes", self.renew_minutes.as_deref(), u32::MAX.into())?,
                    tailscale: mode(self.tailscale.as_deref())?,
                    tailscale_path: self.tailscale_path.clone(),
                    tailscale_target: self.tailscale_target.clone(),
                })
            }
        }
    };
}

gmail_command! {
    /// have Google push new mail here: topic, subscription, watch, and the configuration
    pub(super) struct GmailSetup {
        /// project at Google (default: the one of gog's credentials)
        #[argh(option, arg_name = "id")]
        project: Option<String>,
        /// where Google pushes to, when not through Tailscale
        #[argh(option, arg_name = "url")]
        push_endpoint: Option<String>,
        /// print JSON, tokens included
        #[argh(switch)]
        json: bool,
    }
}

impl Command for GmailSetup {
    fn run(self, cli: &Cli) -> Outcome {
        let over = self.overrides()?;
        let request = Request { project: self.project, push_endpoint: self.push_endpoint, over };
        let is_json = self.json;
        let say = |text: &str| {
            if !is_json {
                output::error_line(&output::dim(&format!("{text} …")));
            }
        };
        let made = setup::run(cli.config(), &cli.paths, &SystemRng, &request, &say).map_err(Failure::error)?;
        if self.json {
            output::json(&made.json());
            return Ok(());
        }
        let (file, run) = (cli.paths.shorten(&cli.paths.config_file), cli.paths.hint("webhooks gmail run"));
        for line in [
            "Gmail hooks configured:".to_owned(),
            format!("- project: {}", made.project),
            format!("- topic: {}", made.topic),
            format!("- subscription: {}", made.subscription),
            format!("- push endpoint: {}", made.push_endpoint.replace(&made.push_token, "***")),
            format!("- hook url: {}", made.hook_url),
            format!("- config: {file}"),
            format!("Next: nothing, where the gateway runs: it watches from now on. Elsewhere: {run}"),
        ] {
            output::line(&line);
        }
        Ok(())
    }
}

gmail_command! {
    /// run gog in the foreground and renew the watch, where no gateway does
    pub(super) struct GmailRun {}
}

impl Command for GmailRun {
    const IS_LASTING: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        let over = self.overrides()?;
        let gog = gmail::gog().map_err(Failure::error)?;
        let config = cli.config();
        let settings = Settings::resolve(config, &gmail::local_origin(config), &over).map_err(Failure::error)?;
        let tell = Arc::new(|level, text: &str| match level {
            Level::Error | Level::Warn => output::error_line(text),
            _ => output::line(text),
        });
        watch::run_in_foreground(Watch { settings, gog, tell }).map_err(Failure::from)
    }
}

fn number(option: &str, text: Option<&str>, max: u64) -> Result<Option<u64>, Failure> {
    let Some(text) = text.and_then(unless_blank) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.map(Some).ok_or_else(|| Failure::error(format!("Invalid {option} {text:?} (use a number from 1 to {max})")))
}

fn mode(text: Option<&str>) -> Result<Option<String>, Failure> {
    match text.and_then(unless_blank) {
        Some(word) if !matches!(word, "funnel" | "serve" | "off") => {
            Err(Failure::error(format!("Invalid --tailscale {word:?} (use funnel, serve or off)")))
        }
        word => Ok(word.map(str::to_owned)),
    }
}
