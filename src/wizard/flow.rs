//! The questions, in order. Pure: reads facts and answers, returns the plan or where it stopped.

use super::ask::{Asked, Asker, cancelled, failed};
use super::plan::{Plan, ResetScope};
use super::{Choice, Facts, Mode, Pace, Purpose, RISK_REFUSED, Request, Section, model, place};
use crate::agent::{models, session};
use crate::base::text::unless_blank;
use crate::config::types::Config;

/// Sections that may be chosen one after the other in one `configure`.
const SECTION_ROUNDS_MAX: usize = 32;

/// Asks everything that `request` leaves open.
pub(super) fn run(facts: &Facts, request: &Request, asker: &mut Asker<'_>) -> Asked<Plan> {
    match &request.purpose {
        Purpose::Onboard => onboard(facts, request, asker),
        Purpose::Configure(sections) => configure(facts, sections, asker),
    }
}

fn onboard(facts: &Facts, request: &Request, asker: &mut Asker<'_>) -> Asked<Plan> {
    // compat: the heading is a note of its own, with an empty text.
    asker.note("Clawdbot onboarding", "")?;
    acknowledge_risk(request, asker)?;
    refuse_invalid(facts, request, asker)?;
    let mut pace = match request.pace {
        Some(pace) => pace,
        None => ask_pace(facts, asker)?,
    };
    if request.mode == Some(Mode::Remote) && pace == Pace::QuickStart {
        asker.note(
            "QuickStart",
            "QuickStart sets up a gateway on this machine; for one elsewhere every question is asked.",
        )?;
        pace = Pace::Manual;
    }
    let mut plan = Plan::new("onboard");
    plan.reset = request.reset;
    let mut keeps = false;
    if facts.snapshot.exists && request.reset.is_none() {
        keeps = ask_existing(facts, asker, &mut plan)?;
    }
    let empty = Config::default();
    let config = if plan.reset.is_some() { &empty } else { &*facts.snapshot.typed };
    if pace == Pace::QuickStart {
        asker.note("QuickStart", &describe_gateway(facts, config))?;
    }
    let mode = match request.mode {
        Some(mode) => mode,
        None if pace == Pace::QuickStart => Mode::Local,
        None => ask_mode(facts, config, asker, "What do you want to set up?")?,
    };
    plan.mode(mode);
    if mode == Mode::Remote {
        place::ask_remote(asker, config, &mut plan)?;
    } else {
        onboard_local(facts, request, asker, config, (pace, keeps), &mut plan)?;
    }
    finish(facts, asker, &plan)?;
    Ok(plan)
}

fn onboard_local(
    facts: &Facts,
    request: &Request,
    asker: &mut Asker<'_>,
    config: &Config,
    (pace, keeps): (Pace, bool),
    plan: &mut Plan,
) -> Asked<()> {
    let asks_all = pace == Pace::Manual && !keeps;
    match &request.workspace {
        Some(workspace) if !workspace.trim().is_empty() => plan.workspace(&facts.paths, workspace),
        _ if asks_all || (pace == Pace::Manual && config.agents.defaults.workspace.is_none()) => {
            place::ask_workspace(asker, facts, config, plan)?;
        }
        _ => plan.workspace(&facts.paths, &place::default_workspace(facts, config)),
    }
    let has_model = models::configured_name(config, &session::default_agent(config)).is_some();
    if request.model.is_some() || !(keeps && has_model) {
        model::ask(asker, facts, config, request.model.as_deref(), plan)?;
    }
    if asks_all || (pace == Pace::Manual && !place::has_gateway(config)) {
        place::ask_gateway(asker, facts, config, plan)?;
    } else {
        plan.gateway(&place::current_gateway(facts, config));
    }
    if !request.skip_channels {
        asker.note("Channels", CHANNELS)?;
    }
    if !request.skip_skills {
        asker.note("Skills", SKILLS)?;
    }
    if !request.skip_ui {
        asker.note("Control UI", &describe_control_ui(facts, config, plan))?;
    }
    Ok(())
}

/// What is said of chat networks.
const CHANNELS: &str = "Chat networks are connected with \"clawdbot channels add\", now or later.\n\
                        Until then you talk to the assistant in the Control UI and with \"clawdbot agent\".";
/// What is said of skills.
const SKILLS: &str =
    "Skills can be added later: a skill is a directory with a SKILL.md below \"skills\" in the workspace.";

fn acknowledge_risk(request: &Request, asker: &mut Asker<'_>) -> Asked<()> {
    if request.accepts_risk {
        return Ok(());
    }
    asker.note(
        "Security",
        "An assistant with tools can run commands, read and write files, and do whatever else you allow it on this machine.\n\
         It can be wrong, and what it reads (web pages, mails, messages of others) can try to trick it.\n\
         \n\
         Start with few permissions, keep secrets out of its workspace, and let only people you trust talk to it.\n\
         Read more: https://docs.clawd.bot/security",
    )?;
    if asker.confirm("I understand that this is powerful and risky. Continue?", false)? {
        Ok(())
    } else {
        cancelled(RISK_REFUSED)
    }
}

/// Ends where the file cannot be built upon; a reset may go on, since it starts with an empty one.
fn refuse_invalid(facts: &Facts, request: &Request, asker: &mut Asker<'_>) -> Asked<()> {
    let snapshot = &facts.snapshot;
    if snapshot.valid || request.reset.is_some() {
        return Ok(());
    }
    let issues: Vec<String> = snapshot.issues.iter().map(|issue| format!("- {}", issue.describe())).collect();
    asker.note("Invalid config", &format!("{}\n{}", facts.paths.shorten(&snapshot.path), issues.join("\n")))?;
    failed(format!("Config invalid. Run `{}` to repair it, then re-run onboarding.", facts.paths.hint("doctor")))
}

fn ask_pace(facts: &Facts, asker: &mut Asker<'_>) -> Asked<Pace> {
    let later = format!("Asks only what is needed; change the rest later with {}", facts.paths.hint("configure"));
    let options = [
        Choice::new("quickstart", "QuickStart").hint(later),
        Choice::new("advanced", "Manual").hint("Asks for workspace, port, network and secret too"),
    ];
    let chosen = asker.select("Onboarding mode", &options, Some("quickstart"))?;
    Ok(Pace::parse(&chosen).unwrap_or(Pace::QuickStart))
}

/// Asks what becomes of the existing configuration; returns whether its values are kept unasked.
fn ask_existing(facts: &Facts, asker: &mut Asker<'_>, plan: &mut Plan) -> Asked<bool> {
    asker.note("Existing config detected", &summary(facts))?;
    let options = [
        Choice::new("keep", "Use existing values").hint("Asks only what is missing"),
        Choice::new("modify", "Update values").hint("Asks everything, with the existing values as suggestions"),
        Choice::new("reset", "Reset").hint("Starts from nothing; old files are put away, not deleted"),
    ];
    match asker.select("Config handling", &options, Some("keep"))?.as_str() {
        "reset" => {
            let mut scopes = vec![Choice::new("config", "Config only")];
            if facts.may_put_state_away {
                scopes.push(Choice::new("config+creds+sessions", "Config + creds + sessions"));
                scopes.push(Choice::new("full", "Full reset (config + creds + sessions + workspace)"));
            }
            plan.reset = ResetScope::parse(&asker.select("Reset scope", &scopes, Some("config"))?);
            Ok(false)
        }
        chosen => Ok(chosen == "keep"),
    }
}

fn ask_mode(facts: &Facts, config: &Config, asker: &mut Asker<'_>, message: &str) -> Asked<Mode> {
    let port = crate::config::paths::gateway_port(None, config);
    let local = Choice::new("local", "Local gateway (this machine)");
    let local = match facts.is_gateway_up {
        Some(true) => local.hint(format!("Something answers at ws://127.0.0.1:{port}")),
        Some(false) => local.hint(format!("Nothing answers at ws://127.0.0.1:{port} yet")),
        None => local,
    };
    let remote = config.gateway.remote.url.as_deref().and_then(unless_blank);
    let remote = Choice::new("remote", "Remote gateway (info-only)")
        .hint(remote.map_or_else(|| "No remote URL configured yet".to_owned(), str::to_owned));
    let current = config.gateway.mode.as_deref().unwrap_or("local");
    let chosen = asker.select(message, &[local, remote], Some(current))?;
    Ok(Mode::parse(&chosen).unwrap_or(Mode::Local))
}

fn configure(facts: &Facts, sections: &[Section], asker: &mut Asker<'_>) -> Asked<Plan> {
    asker.note("Clawdbot configure", "")?;
    refuse_invalid(facts, &Request::default(), asker)?;
    let config = &facts.snapshot.typed;
    if facts.snapshot.exists {
        asker.note("Existing config detected", &summary(facts))?;
    }
    let mut plan = Plan::new("configure");
    let mode = ask_mode(facts, config, asker, "Where will the Gateway run?")?;
    plan.mode(mode);
    if mode == Mode::Remote {
        place::ask_remote(asker, config, &mut plan)?;
    } else if sections.is_empty() {
        for round in 0..SECTION_ROUNDS_MAX {
            let Some(section) = ask_section(asker, round > 0)? else { break };
            configure_section(facts, section, asker, &mut plan)?;
        }
    } else {
        for section in Section::ALL.into_iter().filter(|section| sections.contains(section)) {
            configure_section(facts, section, asker, &mut plan)?;
        }
    }
    finish(facts, asker, &plan)?;
    Ok(plan)
}

/// The answer that ends the choice of sections, as the original spells it.
const DONE: &str = "__continue";

fn ask_section(asker: &mut Asker<'_>, is_later: bool) -> Asked<Option<Section>> {
    let hint = |section: Section| match section {
        Section::Workspace => "Where the assistant works",
        Section::Model => "Provider, key, default model",
        Section::Web => "Search and fetch",
        Section::Gateway => "Port, bind, secret",
        Section::Daemon => "The background service",
        Section::Channels => "Telegram, WhatsApp",
        Section::Skills => "What the assistant has learnt",
        Section::Health => "A look at the running gateway",
    };
    let mut options: Vec<Choice> = Section::ALL
        .iter()
        .map(|&section| Choice::new(section.as_str(), section.as_str()).hint(hint(section)))
        .collect();
    let done = if is_later { "Done: write what was chosen" } else { "Skip for now" };
    options.push(Choice::new(DONE, "Continue").hint(done));
    let chosen =
        asker.select("Select sections to configure", &options, Some(if is_later { DONE } else { "workspace" }))?;
    Ok(Section::parse(&chosen))
}

fn configure_section(facts: &Facts, section: Section, asker: &mut Asker<'_>, plan: &mut Plan) -> Asked<()> {
    let config = &facts.snapshot.typed;
    match section {
        Section::Workspace => place::ask_workspace(asker, facts, config, plan),
        Section::Model => model::ask(asker, facts, config, None, plan),
        Section::Web => model::ask_web(asker, config, plan),
        Section::Gateway => place::ask_gateway(asker, facts, config, plan),
        Section::Daemon => {
            asker.note("Service", "The service is not set up here; run the gateway under a supervisor of your choice.")
        }
        Section::Channels => asker.note("Channels", CHANNELS),
        Section::Skills => asker.note("Skills", SKILLS),
        Section::Health => {
            asker.note("Health", &format!("Look at the running gateway with: {}", facts.paths.hint("health")))
        }
    }
}

/// The last step: after it the plan is carried out.
fn finish(facts: &Facts, asker: &mut Asker<'_>, plan: &Plan) -> Asked<()> {
    let mut lines =
        vec![format!("Everything is answered. Next: {} is written", facts.paths.shorten(&facts.paths.config_file))];
    if let Some(workspace) = plan.workspace_dir() {
        lines[0].push_str(&format!(" and {} is made ready", facts.paths.shorten(workspace)));
    }
    lines[0].push('.');
    if plan.reset.is_some() {
        lines.push("What was there before is put away first.".to_owned());
    }
    asker.note("Done", &lines.join("\n"))
}

/// Returns what the existing configuration says, in a few lines.
fn summary(facts: &Facts) -> String {
    let config = &facts.snapshot.typed;
    let gateway = &config.gateway;
    let model = models::configured_name(config, &session::default_agent(config)).map(|name| name.to_string());
    let rows = [
        ("workspace", config.agents.defaults.workspace.as_ref().map(|path| facts.paths.shorten(path.as_ref()))),
        ("model", model),
        ("gateway.mode", gateway.mode.clone()),
        ("gateway.port", gateway.port.map(|port| port.to_string())),
        ("gateway.bind", gateway.bind.clone()),
        ("gateway.remote.url", gateway.remote.url.clone()),
    ];
    let rows: Vec<String> = rows.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))).collect();
    if rows.is_empty() { "No key settings detected.".to_owned() } else { rows.join("\n") }
}

fn describe_gateway(facts: &Facts, config: &Config) -> String {
    let gateway = place::current_gateway(facts, config);
    let title = if place::has_gateway(config) { "Your gateway settings are kept:" } else { "The gateway will be:" };
    format!(
        "{title}\nGateway port: {}\nGateway bind: {}\nGateway auth: {}\nTailscale exposure: {}",
        gateway.port,
        gateway.bind,
        gateway.auth.as_str(),
        gateway.tailscale
    )
}

fn describe_control_ui(facts: &Facts, config: &Config, plan: &Plan) -> String {
    let base_path = config.gateway.control_ui.base_path.as_deref().unwrap_or_default().trim().trim_matches('/');
    let base_path = if base_path.is_empty() { String::new() } else { format!("/{base_path}") };
    let Some(gateway) = plan.gateway_choice() else { return String::new() };
    let host = gateway.custom_host.as_deref().filter(|_| gateway.bind == "custom").unwrap_or("127.0.0.1");
    let port = gateway.port;
    format!(
        "Web UI: http://{host}:{port}{base_path}/\nGateway WS: ws://{host}:{port}{base_path}\n\
         With the token in the address: {}",
        facts.paths.hint("dashboard --no-open")
    )
}
