//! `models scan`: which free models of OpenRouter can call tools and see images, tried out, and made fallbacks.
//!
//! Each is asked to call a tool, and those that say they see images are shown one. Here: asking and choosing. Not here: what
//! there is to ask (`candidates`).

mod candidates;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use self::candidates::{Candidate, Probe, listed};
use super::super::exit::{Failure, Outcome};
use super::super::{Cli, Command, output};
use super::auth::ask;
use super::{Slot, edit};
use crate::agent::credentials::{Wallet, Wish};
use crate::agent::message::{Block, Content, Message, UserMessage};
use crate::agent::models::{self, Model};
use crate::agent::providers::{self, ProviderError, ToolSpec, TurnRequest};
use crate::agent::session;
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::secret::Secret;
use crate::base::text::unless_blank;
use crate::base::thread::{self, Joiner};
use crate::config::tree;
use crate::config::types::Config;
use crate::net::fetch::Fetch;

const PROVIDER: &str = "openrouter";
const PROBE_TIMEOUT_MS: u64 = 12_000;
const CONCURRENCY_DEFAULT: usize = 3;
const CONCURRENCY_MAX: usize = 16;
const CANDIDATES_DEFAULT: usize = 6;
const DAY_MS: f64 = 24.0 * 60.0 * 60.0 * 1000.0;
/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// find free models of OpenRouter that call tools, and make them fallbacks
#[derive(argh::FromArgs, argh::ArgsInfo)]
pub(in crate::cli) struct ScanModels {
    /// smallest size, in billions of parameters
    #[argh(option, arg_name = "b")]
    min_params: Option<f64>,
    /// leave out models older than this
    #[argh(option, arg_name = "days")]
    max_age_days: Option<f64>,
    /// only models whose name begins with this
    #[argh(option, arg_name = "name")]
    provider: Option<String>,
    /// most fallbacks (default: 6)
    #[argh(option, arg_name = "n")]
    max_candidates: Option<usize>,
    /// limit of each try in ms (default: 12000)
    #[argh(option, arg_name = "ms")]
    timeout: Option<u64>,
    /// tries at a time (default: 3, at most 16)
    #[argh(option, arg_name = "n")]
    concurrency: Option<usize>,
    /// only list them, without trying
    #[argh(switch)]
    no_probe: bool,
    /// take the best without asking
    #[argh(switch)]
    yes: bool,
    /// ask nothing
    #[argh(switch)]
    no_input: bool,
    /// use the first one by default
    #[argh(switch)]
    set_default: bool,
    /// use the first one that sees for images
    #[argh(switch)]
    set_image: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Command for ScanModels {
    fn run(self, cli: &Cli) -> Outcome {
        for (value, name) in [(self.min_params, "--min-params"), (self.max_age_days, "--max-age-days")] {
            if value.is_some_and(|value| !value.is_finite() || value < 0.0) {
                return Err(Failure::error(format!("{name} must be >= 0")));
            }
        }
        let zero = [
            (self.max_candidates == Some(0), "--max-candidates"),
            (self.timeout == Some(0), "--timeout"),
            (self.concurrency == Some(0), "--concurrency"),
        ];
        if let Some((_, name)) = zero.iter().find(|(is_zero, _)| *is_zero) {
            return Err(Failure::error(format!("{name} must be > 0")));
        }
        let mut found = self.wanted(listed(cli)?);
        if self.no_probe {
            sort(&mut found);
            if self.json {
                output::json(&found.iter().map(Candidate::to_json).collect());
            } else {
                output::line(&format!(
                    "Found {} free models of OpenRouter (not tried; leave out --no-probe for that).",
                    found.len()
                ));
                table(&found);
            }
            return Ok(());
        }
        let key = key(cli)?;
        self.probe(cli, &key, &mut found)?;
        sort(&mut found);
        if !found.iter().any(|it| it.tool.is_ok()) {
            return Err(Failure::error("No tool-capable OpenRouter free models found."));
        }
        if !self.json {
            summary(&found);
            table(&found);
        }
        self.choose(cli, &found)
    }
}

impl ScanModels {
    fn wanted(&self, mut found: Vec<Candidate>) -> Vec<Candidate> {
        let now_ms = SystemClock.now_ms() as f64;
        let prefix = self.provider.as_deref().and_then(unless_blank).map(str::to_lowercase);
        found.retain(|it| {
            let is_of = prefix
                .as_deref()
                .is_none_or(|prefix| it.id.split('/').next().is_some_and(|own| own.to_lowercase() == prefix));
            let is_large = self.min_params.is_none_or(|least| least <= 0.0 || it.billions.unwrap_or(0.0) >= least);
            let most = self.max_age_days.filter(|days| *days > 0.0);
            let is_new = most.zip(it.created_at_ms).is_none_or(|(days, at)| (now_ms - at) / DAY_MS <= days);
            is_of && is_large && is_new
        });
        found
    }

    /// Tries them out, some at a time.
    fn probe(&self, cli: &Cli, key: &Secret, found: &mut Vec<Candidate>) -> Outcome {
        let base = base(cli)?;
        let timeout = Duration::from_millis(self.timeout.unwrap_or(PROBE_TIMEOUT_MS));
        let total = found.len();
        let waiting: Arc<Mutex<VecDeque<Candidate>>> = Arc::new(Mutex::new(found.drain(..).collect()));
        let done: Arc<Mutex<Vec<Candidate>>> = Arc::default();
        let count = self.concurrency.unwrap_or(CONCURRENCY_DEFAULT).min(CONCURRENCY_MAX).min(total.max(1));
        let mut threads: Vec<Joiner> = Vec::new();
        for number in 0..count {
            let (waiting, done, base, key) = (waiting.clone(), done.clone(), base.clone(), key.clone());
            let work = move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(mut candidate) = next else { return };
                    let model = model_of(&base, &candidate);
                    candidate.tool = tried(&model, &key, timeout, false);
                    if candidate.sees() {
                        candidate.image = tried(&model, &key, timeout, true);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(candidate);
                }
            };
            let started = thread::spawn(&format!("scan-{number}"), thread::STACK_WORKER_BYTES, work);
            threads.push(started.map_err(|error| Failure::error(format!("Cannot try models: {error}")))?);
        }
        drop(threads);
        found.append(&mut done.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn choose(&self, cli: &Cli, found: &[Candidate]) -> Outcome {
        let most = self.max_candidates.unwrap_or(CANDIDATES_DEFAULT);
        let labels = |wanted: &dyn Fn(&Candidate) -> bool| -> Vec<String> {
            found.iter().filter(|it| wanted(it)).take(most).map(Candidate::label).collect()
        };
        let both = labels(&|it| it.tool.is_ok() && it.image.is_ok());
        let texts = if both.is_empty() { labels(&|it| it.tool.is_ok()) } else { both };
        let images = labels(&|it| it.image.is_ok());
        if self.set_image && images.is_empty() {
            return Err(Failure::error("No image-capable models selected for image model."));
        }
        if !(self.yes || self.no_input || self.json) {
            if !io::stdin().is_terminal() {
                return Err(Failure::error("Non-interactive scan: pass --yes to apply defaults."));
            }
            let answer = ask(&format!("Use {} as fallbacks? (yes/no)", texts.join(", ")))?;
            if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
                output::line("Nothing was changed.");
                return Ok(());
            }
        }
        let change = |config: &mut Value| {
            for name in texts.iter().chain(&images) {
                let known = tree::get(config, &["agents", "defaults", "models", name]).is_some();
                if !known {
                    tree::set(config, &["agents", "defaults", "models", name], json!({}))?;
                }
            }
            for (slot, names, is_first) in
                [(Slot::Text, &texts, self.set_default), (Slot::Image, &images, self.set_image)]
            {
                if names.is_empty() {
                    continue;
                }
                let (primary, _) = slot.read(config);
                let primary = if is_first { names.first().cloned() } else { primary };
                let mut chain = Map::new();
                chain.extend(primary.map(|primary| ("primary".to_owned(), primary.into())));
                chain.insert("fallbacks".to_owned(), json!(names));
                tree::set(config, &["agents", "defaults", slot.key()], Value::Object(chain))?;
            }
            Ok(())
        };
        if self.json {
            super::super::config::edit(&cli.paths, |config| {
                change(config).map_err(|text: String| format!("Error: {text}"))
            })?;
            output::json(&json!({
                "selected": texts, "selectedImages": images, "setDefault": self.set_default, "setImage": self.set_image,
                "results": found.iter().map(Candidate::to_json).collect::<Vec<_>>(), "warnings": [],
            }));
            return Ok(());
        }
        edit(cli, change)?;
        output::line(&format!("Fallbacks: {}", texts.join(", ")));
        if !images.is_empty() {
            output::line(&format!("Image fallbacks: {}", images.join(", ")));
        }
        if self.set_default {
            output::line(&format!("Default model: {}", texts[0]));
        }
        if self.set_image {
            output::line(&format!("Image model: {}", images[0]));
        }
        Ok(())
    }
}

/// Returns the key that models are tried with.
fn key(cli: &Cli) -> Result<Secret, Failure> {
    let agent = session::default_agent(cli.config());
    let wallet = Wallet::open(cli.config(), &cli.paths, &agent, SystemClock.now_ms());
    let keys = wallet.keys(PROVIDER, &Wish::Next).unwrap_or_default();
    let key = keys.into_iter().find_map(|credential| credential.key);
    key.ok_or_else(|| Failure::error("Missing OpenRouter API key. Set OPENROUTER_API_KEY to run models scan."))
}

/// Returns a model of the provider, for all that is the same for each.
fn base(cli: &Cli) -> Result<Model, Failure> {
    let agent = session::default_agent(cli.config());
    // Whether a session may choose it does not matter here.
    let mut config = Config::clone(cli.config());
    config.agents.defaults.models.clear();
    models::resolve(&config, &agent, None, Some(&format!("{PROVIDER}/auto"))).map_err(Failure::error)
}

fn model_of(base: &Model, candidate: &Candidate) -> Model {
    let input = if candidate.sees() { vec!["text".to_owned(), "image".to_owned()] } else { vec!["text".to_owned()] };
    Model { id: candidate.id.clone(), name: candidate.name.clone(), input, ..base.clone() }
}

/// Asks a model to call a tool, or to look at a picture.
fn tried(model: &Model, key: &Secret, timeout: Duration, sees: bool) -> Probe {
    let ping = ToolSpec {
        name: "ping".into(),
        description: "Return OK.".into(),
        parameters: json!({"type": "object", "properties": {}}),
    };
    let (content, tools) = match sees {
        true => {
            let picture = Block::Image { data: PIXEL.to_owned(), mime_type: "image/png".to_owned() };
            (vec![Block::text("Reply with OK."), picture], Vec::new())
        }
        false => (vec![Block::text("Call the ping tool with {} and nothing else.")], vec![ping]),
    };
    let now_ms = SystemClock.now_ms();
    let messages = [Message::User(UserMessage { content: Content::Blocks(content), timestamp: now_ms })];
    let mut params = Map::new();
    params.insert("temperature".to_owned(), 0.into());
    let request = TurnRequest {
        model,
        key: Some(key),
        account: None,
        session_id: "scan",
        system_prompt: "",
        messages: &messages,
        tools: &tools,
        thinking: "off",
        params: &params,
    };
    let begun = Instant::now();
    let cancel = CancelToken::new();
    cancel.set_deadline(begun + timeout);
    let turn = providers::turn(&request, &Fetch::new(&cancel), &SystemClock, &mut |_: &str| ());
    let took_ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let error = match turn {
        Ok(turn) if !sees && !turn.content.iter().any(|block| matches!(block, Block::ToolCall { .. })) => {
            Some("No tool call returned".to_owned())
        }
        Ok(_) => None,
        Err(ProviderError::Cancelled) => Some(format!("no answer within {} ms", timeout.as_millis())),
        Err(ProviderError::Failed { message, .. }) => Some(message),
    };
    Probe { took_ms, error }
}

/// Those that see first, then the quickest, then the larger.
fn sort(found: &mut [Candidate]) {
    found.sort_by(|a, b| {
        let quick = |it: &Candidate| if it.tool.is_ok() { it.tool.took_ms.unwrap_or(u64::MAX) } else { u64::MAX };
        let order = b.image.is_ok().cmp(&a.image.is_ok()).then(quick(a).cmp(&quick(b)));
        let order = order.then(b.context.cmp(&a.context));
        order.then(b.billions.unwrap_or(0.0).total_cmp(&a.billions.unwrap_or(0.0))).then(a.id.cmp(&b.id))
    });
}

fn summary(found: &[Candidate]) {
    let count = |wanted: &dyn Fn(&Candidate) -> bool| found.iter().filter(|it| wanted(it)).count();
    output::line(&format!(
        "Scan results: tested {}, tool ok {}, image ok {}, tool+image ok {}, image only {}",
        found.len(),
        count(&|it| it.tool.is_ok()),
        count(&|it| it.image.is_ok()),
        count(&|it| it.tool.is_ok() && it.image.is_ok()),
        count(&|it| it.image.is_ok() && !it.tool.is_ok()),
    ));
}

fn table(found: &[Candidate]) {
    let row = |model: &str, tool: &str, image: &str, context: &str, size: &str, notes: &str| {
        format!("{model:<42} {tool:<10} {image:<10} {context:<8} {size:<8} {notes}").trim_end().to_owned()
    };
    output::line(&output::bold(&row("Model", "Tool", "Image", "Ctx", "Params", "Notes")));
    for it in found {
        let context = it.context.map_or("-".to_owned(), |tokens| format!("{}k", tokens / 1024));
        let size = it.billions.map_or("-".to_owned(), |size| format!("{size}b"));
        let notes = it.modality.as_deref().map(|modality| format!("modality:{modality}")).unwrap_or_default();
        let label = crate::base::text::ellipsize(&it.label(), 39);
        output::line(&row(&label, &it.tool.shown(), &it.image.shown(), &context, &size, &notes));
    }
}
