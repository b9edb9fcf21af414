//! `onboard`: the set-up, asked step by step or told by flags (cli.md §12.2–12.4).

mod finish;
mod flags;
mod servers;

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use super::exit::{Failure, Outcome};
use super::{Cli, Command, models, output, prompt};
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::rng::SystemRng;
use crate::config::paths::gateway_port;
use crate::wizard::plan::{Plan, ResetScope};
use crate::wizard::session::{End, Session, State};
use crate::wizard::{Facts, HOSTED, Mode, Pace, Purpose, RISK_REFUSED, Request, SIGNED_IN, is_model_choice};

/// How long something that listens on this machine may take to accept.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// How long a gateway may take to come up, and how often is looked.
const UP_WAIT: Duration = Duration::from_secs(15);
const UP_LOOK: Duration = Duration::from_millis(300);

/// set up the gateway, a workspace and a model, step by step
#[derive(Default, argh::FromArgs, argh::ArgsInfo)]
pub(super) struct Onboard {
    /// directory of the workspace (default: the configured one, or ~/clawd)
    #[argh(option, arg_name = "dir")]
    pub(super) workspace: Option<String>,
    /// start from nothing: config, credentials, sessions and workspace go to the trash
    #[argh(switch)]
    pub(super) reset: bool,
    /// ask nothing; flags say everything
    #[argh(switch)]
    pub(super) non_interactive: bool,
    /// acknowledge that an assistant with tools is powerful and risky
    #[argh(switch)]
    pub(super) accept_risk: bool,
    /// how much is asked: quickstart, advanced or manual
    #[argh(option, arg_name = "flow")]
    pub(super) flow: Option<String>,
    /// where the gateway runs: local or remote
    #[argh(option, arg_name = "mode")]
    pub(super) mode: Option<String>,
    /// model provider, such as openai-api-key, openrouter-api-key, openai-codex, offline or skip
    #[argh(option, arg_name = "choice")]
    pub(super) auth_choice: Option<String>,
    /// for --auth-choice token, which this build does not have
    #[argh(option, arg_name = "id")]
    pub(super) token_provider: Option<String>,
    /// for --auth-choice token, which this build does not have
    #[argh(option, arg_name = "token")]
    pub(super) token: Option<String>,
    /// for --auth-choice token, which this build does not have
    #[argh(option, arg_name = "id")]
    pub(super) token_profile_id: Option<String>,
    /// for --auth-choice token, which this build does not have
    #[argh(option, arg_name = "duration")]
    pub(super) token_expires_in: Option<String>,
    /// key of Anthropic
    #[argh(option, arg_name = "key")]
    pub(super) anthropic_api_key: Option<String>,
    /// key of OpenAI
    #[argh(option, arg_name = "key")]
    pub(super) openai_api_key: Option<String>,
    /// key of OpenRouter
    #[argh(option, arg_name = "key")]
    pub(super) openrouter_api_key: Option<String>,
    /// key of Vercel AI Gateway
    #[argh(option, arg_name = "key")]
    pub(super) ai_gateway_api_key: Option<String>,
    /// key of Moonshot
    #[argh(option, arg_name = "key")]
    pub(super) moonshot_api_key: Option<String>,
    /// key of Kimi Code
    #[argh(option, arg_name = "key")]
    pub(super) kimi_code_api_key: Option<String>,
    /// key of Gemini
    #[argh(option, arg_name = "key")]
    pub(super) gemini_api_key: Option<String>,
    /// key of Z.AI
    #[argh(option, arg_name = "key")]
    pub(super) zai_api_key: Option<String>,
    /// key of MiniMax
    #[argh(option, arg_name = "key")]
    pub(super) minimax_api_key: Option<String>,
    /// key of Synthetic
    #[argh(option, arg_name = "key")]
    pub(super) synthetic_api_key: Option<String>,
    /// key of OpenCode Zen
    #[argh(option, arg_name = "key")]
    pub(super) opencode_zen_api_key: Option<String>,
    /// port of the gateway
    #[argh(option, arg_name = "port")]
    pub(super) gateway_port: Option<String>,
    /// who may reach the gateway: loopback, tailnet, lan, auto or custom
    #[argh(option, arg_name = "mode")]
    pub(super) gateway_bind: Option<String>,
    /// secret of the gateway: token, password or off
    #[argh(option, arg_name = "mode")]
    pub(super) gateway_auth: Option<String>,
    /// token of the gateway (default: the configured one, or a new one)
    #[argh(option, arg_name = "token")]
    pub(super) gateway_token: Option<String>,
    /// password of the gateway
    #[argh(option, arg_name = "password")]
    pub(super) gateway_password: Option<String>,
    /// address of the remote gateway
    #[argh(option, arg_name = "url")]
    pub(super) remote_url: Option<String>,
    /// token of the remote gateway
    #[argh(option, arg_name = "token")]
    pub(super) remote_token: Option<String>,
    /// exposure through Tailscale: off, serve or funnel
    #[argh(option, arg_name = "mode")]
    pub(super) tailscale: Option<String>,
    /// undo the Tailscale exposure when the gateway ends
    #[argh(switch)]
    pub(super) tailscale_reset_on_exit: bool,
    /// install the background service
    #[argh(switch)]
    pub(super) install_daemon: bool,
    /// do not install the background service
    #[argh(switch)]
    pub(super) no_install_daemon: bool,
    /// same as --no-install-daemon
    #[argh(switch)]
    pub(super) skip_daemon: bool,
    /// accepted for scripts of the original; this build needs no runtime
    #[argh(option, arg_name = "runtime")]
    pub(super) daemon_runtime: Option<String>,
    /// pass over chat networks
    #[argh(switch)]
    pub(super) skip_channels: bool,
    /// pass over skills
    #[argh(switch)]
    pub(super) skip_skills: bool,
    /// do not wait for the gateway at the end
    #[argh(switch)]
    pub(super) skip_health: bool,
    /// pass over the Control UI
    #[argh(switch)]
    pub(super) skip_ui: bool,
    /// installer of skills: npm, pnpm or bun
    #[argh(option, arg_name = "name")]
    pub(super) node_manager: Option<String>,
    /// print a summary as JSON at the end (with --non-interactive)
    #[argh(switch)]
    pub(super) json: bool,
}

impl Command for Onboard {
    // The wizard judges the file itself: it is there to repair or replace it.
    const IS_LENIENT: bool = true;

    fn run(self, cli: &Cli) -> Outcome {
        if self.non_interactive { flags::run(self, cli) } else { self.ask(cli) }
    }
}

impl Onboard {
    fn ask(self, cli: &Cli) -> Outcome {
        let mode = self.parsed_mode()?;
        let pace = self.flow.as_deref().map(|flow| {
            Pace::parse(flow.trim())
                .ok_or_else(|| Failure::error("Invalid --flow (use quickstart, manual, or advanced)."))
        });
        require_terminal(cli, "onboard", &["onboard --non-interactive --accept-risk"])?;
        let facts = facts(cli);
        let request = Request {
            purpose: Purpose::Onboard,
            mode,
            pace: pace.transpose()?,
            workspace: self.workspace.clone(),
            model: self.model_choice()?,
            accepts_risk: self.accept_risk,
            reset: self.reset_scope(&facts)?,
            skip_channels: self.skip_channels,
            skip_skills: self.skip_skills,
            skip_ui: self.skip_ui,
        };
        if ask(cli, facts, request)? {
            let service = match () {
                () if self.no_install_daemon || self.skip_daemon => Some(false),
                () if self.install_daemon => Some(true),
                () => None,
            };
            let wanted = finish::Wanted { channels: !self.skip_channels, service, page: !self.skip_ui };
            finish::with_person(&wanted, &cli.paths);
        }
        Ok(())
    }

    /// Returns the first flag that was given for something this build does not have.
    fn unsupported(&self) -> Option<&'static str> {
        let flags = [
            ("--token-provider", &self.token_provider),
            ("--token", &self.token),
            ("--token-profile-id", &self.token_profile_id),
            ("--token-expires-in", &self.token_expires_in),
        ];
        flags.into_iter().find(|(_, value)| value.is_some()).map(|(flag, _)| flag)
    }

    fn parsed_mode(&self) -> Result<Option<Mode>, Failure> {
        let parse = |mode: &String| {
            Mode::parse(mode.trim())
                .ok_or_else(|| Failure::text(format!("Invalid --mode \"{mode}\" (use local|remote).")))
        };
        self.mode.as_ref().map(parse).transpose()
    }

    fn model_choice(&self) -> Result<Option<String>, Failure> {
        let choice = self.auth_choice.as_deref().map(str::trim).filter(|choice| !choice.is_empty());
        match choice.filter(|choice| !is_model_choice(choice)) {
            Some(choice) => Err(unsupported_choice(choice)),
            None => Ok(choice.map(str::to_owned)),
        }
    }

    fn reset_scope(&self, facts: &Facts) -> Result<Option<ResetScope>, Failure> {
        if self.reset && !facts.may_put_state_away {
            let port = gateway_port(None, &facts.snapshot.typed);
            return Err(Failure::error(format!(
                "something answers at ws://127.0.0.1:{port}; stop the gateway before --reset takes its files away"
            )));
        }
        Ok(self.reset.then_some(ResetScope::Full))
    }
}

/// Says which model providers there are instead of this one.
fn unsupported_choice(choice: &str) -> Failure {
    if let Some(known) = SIGNED_IN.iter().find(|known| known.choice == choice) {
        return Failure::text(format!(
            "--auth-choice {choice} asks somebody to sign in: leave --non-interactive out, or set up with --auth-choice skip \
             and then run: clawdbot models auth login --provider {} --set-default",
            known.provider
        ));
    }
    let names: Vec<&str> = HOSTED.iter().map(|hosted| hosted.choice).collect();
    Failure::text(format!(
        "--auth-choice {choice} is not supported by this build. Use one of: {}, offline, skip.\n\
         A server of your own is set up by \"configure --section model\" or under models.providers.",
        names.join(", ")
    ))
}

/// Refuses to ask where nobody can answer; `instead` are commands that need nobody.
pub(super) fn require_terminal(cli: &Cli, command: &str, instead: &[&str]) -> Outcome {
    if super::ask::has_terminal() {
        return Ok(());
    }
    let mut text = format!("{} asks questions and needs a terminal.", cli.paths.hint(command));
    for command in instead {
        text.push_str(&format!("\nWithout one, use: {}", cli.paths.hint(command)));
    }
    Err(Failure::text(text))
}

/// Asks on the terminal and carries out what was answered; returns whether there was something to carry out.
pub(super) fn ask(cli: &Cli, facts: Facts, request: Request) -> Result<bool, Failure> {
    let mut session = Session::start(facts, request, Arc::new(SystemRng));
    prompt::drive(&mut session);
    let mut to_sign_in = None;
    if let Some(plan) = session.take_plan() {
        let done = carry_out(cli, &plan);
        to_sign_in = plan.sign_in().filter(|_| done.is_ok());
        session.finish(done);
    }
    if let Some(provider) = to_sign_in {
        // The set-up is done; a sign-in that fails can be made again.
        let signed_in = models::sign_in(&Cli::new(cli.paths.clone()), provider, None, false);
        if let Err(failure) = signed_in {
            super::exit::report(&failure);
            let again = cli.paths.hint(&format!("models auth login --provider {provider}"));
            output::line(&format!("Not signed in. Try again with: {again}"));
        }
    }
    match session.state() {
        State::Ended(End::Failed(why)) => Err(Failure::text(why.clone())),
        State::Ended(End::Cancelled(why)) => {
            output::line("Setup cancelled.");
            // Going away is no failure; refusing the risk is.
            if why == RISK_REFUSED { Err(Failure::code(1)) } else { Ok(false) }
        }
        _ => Ok(true),
    }
}

/// Applies a plan and says what was done.
fn carry_out(cli: &Cli, plan: &Plan) -> Result<(), String> {
    let applied = plan.apply(&cli.paths, SystemClock.now_ms())?;
    for path in &applied.put_away {
        output::line(&format!("Moved to Trash: {}", cli.paths.shorten(path)));
    }
    output::line(&cli.updated());
    for (name, path) in [("Workspace", &applied.workspace), ("Sessions", &applied.sessions)] {
        if let Some(path) = path {
            output::line(&format!("{name} OK: {}", cli.paths.shorten(path)));
        }
    }
    Ok(())
}

/// Returns what the wizard must know of this machine.
pub(super) fn facts(cli: &Cli) -> Facts {
    let snapshot = cli.snapshot().clone();
    let port = gateway_port(None, &snapshot.typed);
    let is_up = is_listening(&format!("127.0.0.1:{port}"));
    let facts = Facts::new(cli.paths.clone(), Arc::new(snapshot), &SystemRng);
    Facts { is_gateway_up: Some(is_up), may_put_state_away: !is_up, servers: servers::look(), ..facts }
}

/// Waits a while until something listens at a WebSocket address; returns whether it does. Neither a service manager nor
/// another process says when it listens, so there is nothing to wait on but the clock.
fn wait_listening(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let until = SystemClock.now() + UP_WAIT;
    while !is_listening(address) {
        if SystemClock.now() >= until {
            return false;
        }
        CancelToken::new().sleep(UP_LOOK);
    }
    true
}

/// Returns whether something accepts connections at `host:port`.
fn is_listening(address: &str) -> bool {
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT_WAIT).is_ok())
}
