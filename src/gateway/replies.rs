//! What a run says to the chat that it came from: replies, into the outbox before the run counts as ended.
//!
//! Runs on the run's own thread. Each reply has an id made of the run's and of its place in the answer, so that a run
//! which is carried on after a crash says nothing twice. Not here: sending (`deliveries`), what clients of the gateway see
//! (`fanout`), how an answer is read and cut (`agent::reply`).

#[cfg(feature = "tts")]
pub mod voice;
mod wording;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ctx::Ctx;
use super::{deliveries, feedback};
use crate::agent::events::{RunEvent, RunSink};
use crate::agent::reply::Said;
use crate::agent::reply::blocks::{Block, Cutter, Settings};
use crate::agent::run::{RunError, RunOutcome, RunRequest};
use crate::base::ids::{RunId, SessionKey};
use crate::base::route::Route;
use crate::base::text::tail_chars;
use crate::channels::reply::{Reply, ReplyKind};

/// Least time between two drafts of one answer.
const DRAFT_INTERVAL: Duration = Duration::from_millis(300);
/// Most of a model's reasoning in a draft, in characters.
const THOUGHT_CHARS_MAX: usize = 3000;
/// Pauses between parts of an answer by default, in milliseconds.
const HUMAN_DELAY_MS: (u64, u64) = (800, 2500);

/// The sink of a run that came from a chat: passes everything on, shows the chat that somebody is at work, and says what
/// is to be said before the end.
pub struct Overheard<'a> {
    inner: &'a dyn RunSink,
    cx: &'a Arc<Ctx>,
    request: &'a RunRequest,
    /// Whether answers go out in parts.
    streams: Option<Settings>,
    /// How much of the tools' work is told.
    verbose: wording::Verbose,
    last_draft: Cell<Option<Instant>>,
    /// Up to where messages, by their number, were promised before a crash.
    before: HashMap<usize, usize>,
    said: RefCell<Saying>,
}

/// The message that is being written.
#[derive(Default)]
struct Saying {
    /// How many came before it.
    number: usize,
    cutter: Option<Cutter>,
    /// It, as far as it is.
    text: String,
    /// When the last part may go out.
    last_due_at: u64,
}

impl<'a> Overheard<'a> {
    /// Puts it around another sink.
    pub fn new(cx: &'a Arc<Ctx>, request: &'a RunRequest, inner: &'a dyn RunSink) -> Self {
        let config = cx.config.get();
        let route = request.route.as_ref().filter(|_| !request.is_heartbeat);
        let streams = route.and_then(|route| Settings::of(&config, &route.channel, &route.account));
        let verbose = wording::Verbose::of(cx, request);
        let before = if streams.is_some() { promised_before(cx, &request.run_id) } else { HashMap::new() };
        Self { inner, cx, request, streams, verbose, last_draft: Cell::default(), before, said: RefCell::default() }
    }

    fn hear(&self, route: &Route, event: &RunEvent) {
        match event {
            RunEvent::Start { .. } => feedback::begun(self.cx, route, self.request.speaker.as_ref()),
            RunEvent::ToolStart { name, tool_call_id, args } => {
                feedback::working(self.cx, route);
                if let Some(text) = self.verbose.start(name, args) {
                    self.tell(route, &format!("tool/{tool_call_id}"), text, ReplyKind::Tool);
                }
            }
            RunEvent::ToolResult { name, tool_call_id, result, .. } => {
                if let Some(text) = self.verbose.result(name, result) {
                    self.tell(route, &format!("output/{tool_call_id}"), text, ReplyKind::Tool);
                }
            }
            RunEvent::Assistant { text, delta, .. } => self.growing(route, text, text == delta),
            RunEvent::Thinking { text } => {
                // Drafts have the length of a message; of long thoughts the end is shown.
                self.draft(route, || wording::reasoning(tail_chars(text, THOUGHT_CHARS_MAX)));
            }
            RunEvent::Lull => self.silent(route),
            RunEvent::Said { said } => self.complete(route, said),
            _ => {}
        }
    }

    /// Shows what is being written, as often as is sensible.
    fn draft(&self, route: &Route, text: impl FnOnce() -> String) {
        let now = self.cx.clock.now();
        if self.last_draft.get().is_none_or(|last| now.saturating_duration_since(last) >= DRAFT_INTERVAL) {
            self.last_draft.set(Some(now));
            feedback::working(self.cx, route);
            feedback::draft(self.cx, route, &text());
        }
    }

    fn growing(&self, route: &Route, text: &str, is_new: bool) {
        self.draft(route, || {
            let text = text.to_owned();
            #[cfg(feature = "tts")]
            let text = voice::shown_so_far(self.cx, self.request, text);
            text
        });
        let Some(settings) = self.streams.filter(|settings| !settings.waits_for_end) else { return };
        let mut saying = self.said.borrow_mut();
        if is_new {
            saying.cutter = None;
        }
        text.clone_into(&mut saying.text);
        let blocks = self.cutter(&mut saying, text).grow(text, &settings);
        self.send_blocks(route, &mut saying, blocks);
    }

    /// The model has fallen silent in the middle of a message: what is long enough does not wait for it.
    fn silent(&self, route: &Route) {
        let Some(settings) = self.streams.filter(|settings| !settings.waits_for_end) else { return };
        let mut saying = self.said.borrow_mut();
        let text = std::mem::take(&mut saying.text);
        let blocks = self.cutter(&mut saying, &text).lull(&text, &settings);
        saying.text = text;
        self.send_blocks(route, &mut saying, blocks);
    }

    /// A message is complete: what is left of it goes out.
    fn complete(&self, route: &Route, said: &Said) {
        let Some(settings) = self.streams else { return };
        let mut saying = self.said.borrow_mut();
        let blocks = self.cutter(&mut saying, &said.text).finish(&said.text, &settings);
        self.send_blocks(route, &mut saying, blocks);
        let files = Reply { text: String::new(), ..wording::reply(self.cx, self.request, route, said) };
        if !files.media.is_empty() {
            self.promise(route, &format!("{}", saying.number), vec![files], &[]);
        }
        let (number, last_due_at) = (saying.number + 1, saying.last_due_at);
        *saying = Saying { number, last_due_at, ..Saying::default() };
    }

    /// Returns what cuts the message. One that is there as a whole at once, and was promised in part before a crash, is cut
    /// behind that part; a model that is asked again speaks anew.
    fn cutter<'b>(&self, saying: &'b mut Saying, text: &str) -> &'b mut Cutter {
        let before = self.before.get(&saying.number).filter(|end| text.is_char_boundary(**end));
        saying.cutter.get_or_insert_with(|| before.map_or_else(Cutter::default, |end| Cutter::behind(*end)))
    }

    fn send_blocks(&self, route: &Route, saying: &mut Saying, blocks: Vec<Block>) {
        for Block { at, end, text } in blocks {
            let due_at = self.due_at(saying);
            #[cfg(feature = "tts")]
            let text = voice::shown(self.cx, self.request, text);
            if text.is_empty() {
                continue;
            }
            let text = wording::prefixed(self.cx, self.request, None, text);
            let reply = Reply { text, kind: ReplyKind::Block, ..Reply::default() };
            self.promise(route, &format!("{}/{at}-{end}", saying.number), vec![reply], &[due_at]);
        }
    }

    /// Returns when the next part may go out: people pause between messages, where that is wished for.
    fn due_at(&self, saying: &mut Saying) -> u64 {
        let now_ms = self.cx.clock.now_ms();
        let config = self.cx.config.get();
        let set = &config.tree["agents"]["defaults"]["humanDelay"];
        let (min, max) = match set["mode"].as_str() {
            Some("natural") => HUMAN_DELAY_MS,
            Some("custom") => {
                let number = |name: &str, default| set[name].as_u64().unwrap_or(default);
                (number("minMs", HUMAN_DELAY_MS.0), number("maxMs", HUMAN_DELAY_MS.1))
            }
            _ => return 0,
        };
        let mut bytes = [0; 2];
        self.cx.rng.fill(&mut bytes);
        let pause = min + max.saturating_sub(min) * u64::from(u16::from_le_bytes(bytes)) / u64::from(u16::MAX);
        let is_first = saying.last_due_at == 0;
        saying.last_due_at = if is_first { now_ms } else { now_ms.max(saying.last_due_at.saturating_add(pause)) };
        saying.last_due_at
    }

    fn tell(&self, route: &Route, part: &str, text: String, kind: ReplyKind) {
        self.promise(route, part, vec![Reply { text, kind, ..Reply::default() }], &[]);
    }

    fn promise(&self, route: &Route, part: &str, replies: Vec<Reply>, due_at: &[u64]) {
        put(self.cx, &self.request.run_id, &self.request.session_key, route, part, replies, due_at);
    }

    /// Says how the run ended, if there is somebody to tell.
    pub fn settle(&self, outcome: &Result<RunOutcome, RunError>) {
        let Some(route) = &self.request.route else { return };
        match outcome {
            // Whoever stopped it knows.
            Ok(outcome) if outcome.aborted => {}
            Ok(outcome) => {
                let replies = wording::last_words(self.cx, self.request, route, outcome, self.streams.is_some());
                self.say(route, outcome, replies);
            }
            Err(error) => self.tell(route, "final", failure(error), ReplyKind::Notice),
        }
        feedback::done(self.cx, route);
    }

    #[cfg(feature = "tts")]
    fn say(&self, route: &Route, outcome: &RunOutcome, replies: Vec<Reply>) {
        let streamed = self.streams.map(|_| &*outcome.said);
        let (shown, aloud) = voice::part(self.cx, self.request, replies, streamed);
        self.promise(route, "final", shown, &[]);
        for (index, aloud) in aloud.iter().enumerate() {
            let reply = aloud.reply(self.cx, self.request).into_iter().collect();
            self.promise(route, &format!("voice/{index}"), reply, &[]);
        }
    }

    #[cfg(not(feature = "tts"))]
    fn say(&self, route: &Route, _: &RunOutcome, replies: Vec<Reply>) {
        self.promise(route, "final", replies, &[]);
    }
}

/// Returns up to where each message of a run was promised before: the parts' names tell.
fn promised_before(cx: &Ctx, run: &RunId) -> HashMap<usize, usize> {
    let prefix = format!("{run}/");
    let mut before = HashMap::new();
    for id in cx.outbox.ids_of(&prefix) {
        let mut names = id[prefix.len()..].split('/');
        let number = names.next().and_then(|number| number.parse::<usize>().ok());
        let end = names.next().and_then(|range| range.split_once('-')?.1.parse::<usize>().ok());
        if let Some((number, end)) = number.zip(end) {
            let known = before.entry(number).or_insert(end);
            *known = end.max(*known);
        }
    }
    before
}

impl RunSink for Overheard<'_> {
    fn emit(&self, event: RunEvent) {
        if let Some(route) = &self.request.route {
            self.hear(route, &event);
        }
        self.inner.emit(event);
    }

    fn lull(&self) -> Option<Duration> {
        self.streams.filter(|settings| !settings.waits_for_end)?.idle
    }
}

/// Puts replies into the outbox, in order.
pub fn promise(cx: &Arc<Ctx>, run: &RunId, session: &SessionKey, route: &Route, part: &str, replies: Vec<Reply>) {
    put(cx, run, session, route, part, replies, &[]);
}

fn put(
    cx: &Arc<Ctx>,
    run: &RunId,
    session: &SessionKey,
    route: &Route,
    part: &str,
    replies: Vec<Reply>,
    due_at: &[u64],
) {
    let deliveries = replies.into_iter().enumerate().map(|(number, reply)| {
        let thread = reply.thread.or_else(|| route.thread.clone());
        let reply = Reply { thread, session: Some(session.to_string()), ..reply };
        let mut delivery = deliveries::of(cx, format!("{run}/{part}/{number}"), route, &reply);
        delivery.due_at = due_at.get(number).copied().unwrap_or(delivery.due_at);
        delivery
    });
    if let Err(error) = deliveries::promise(cx, deliveries.collect()) {
        log::error!(target: "gateway", "a reply of run {run} is lost: {error}");
    }
}

fn failure(error: &RunError) -> String {
    format!("⚠️ Agent failed before reply: {}\nclawdbot logs --follow shows more.", error.message)
}
