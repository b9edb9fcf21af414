//! The canvas on its ports: a listener of its own, and the same tree on the gateway's (http.md §6).
//!
//! Owns the thread `canvas`, which reads files for both ports and lets writers settle before pages reload, and the loop
//! `canvas-loop` of the second port. A port that is taken is a warning: nodes follow the URL of their hello, which names the
//! gateway's. Not here: which file a path means (`canvas`), and how it is sent (`send`).

mod send;

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use rustls::ServerConfig;
use serde_json::Value;

pub use self::send::LANE;
use self::send::content;
use super::auth::{host_name, is_origin_allowed};
use super::client::Client;
use super::ctx::Ctx;
use super::host;
use super::http::{Exchange, Request};
use super::metrics::Metrics;
use crate::base::clock::Clock;
use crate::base::thread::{self, Joiner};
use crate::canvas::{self, Canvas, Found};
use crate::config::types::Config;
use crate::net::http::{RequestHead, Response};
use crate::net::{EventLoop, Greeting, Limits, LoopHandle, LoopMsg, NetEvent, Peer, Surface, mailbox};
use crate::work::jobs::Jobs;

/// Requests that may wait for the thread; more are told to come back.
const WAITING_MAX: usize = 256;
/// Connections of the second port.
const CONNECTIONS_MAX: usize = 512;
/// How long files must be left alone before pages reload.
const SETTLE: Duration = Duration::from_millis(150);
/// How long the second port may take to say goodbye.
const FLUSH_GRACE: Duration = Duration::from_millis(500);

/// What the gateway knows of its canvas.
pub struct CanvasHandle {
    canvas: Arc<Canvas>,
    inbox: Sender<Work>,
    requests: Receiver<Work>,
}

/// What the thread is given.
pub enum Work {
    /// Something happened on the second port.
    Net(Box<NetEvent<Client>>),
    /// A request of the gateway's port.
    Ask(Box<(String, Exchange)>),
}

impl From<NetEvent<Client>> for Work {
    fn from(event: NetEvent<Client>) -> Self {
        Self::Net(Box::new(event))
    }
}

impl CanvasHandle {
    /// Prepares the canvas; `None` when there is none, or when it cannot be, which is no reason not to start.
    pub fn open(config: &Config, paths: &crate::config::paths::Paths) -> Option<Self> {
        let canvas = match Canvas::open(config, paths, |name| std::env::var(name).ok()) {
            Ok(canvas) => Arc::new(canvas?),
            Err(error) => {
                log::warn!(target: "canvas", "canvas host failed to start: {error}");
                return None;
            }
        };
        // Senders: frame workers and the second loop. Receiver: the thread. Full: workers answer 503, the loop waits.
        let (inbox, requests) = bounded(WAITING_MAX);
        Some(Self { canvas, inbox, requests })
    }

    /// Has a request answered.
    pub fn ask(&self, request: &Request, exchange: Exchange) {
        // One that does not fit is dropped, which answers.
        let _ = self.inbox.try_send(Work::Ask(Box::new((request.path.clone(), exchange))));
    }
}

/// Returns whether an upgrade is one of a page that wants to hear of changes.
pub fn is_live(cx: &Ctx, head: &RequestHead) -> bool {
    head.path() == canvas::LIVE && cx.canvas.as_ref().is_some_and(|it| it.canvas.is_live())
}

/// Returns `canvasHostUrl` of a hello.
pub fn url(cx: &Ctx, peer: &Peer) -> Option<Value> {
    cx.canvas.as_ref()?;
    let head = &peer.head;
    let forwarded = head.header("x-forwarded-proto").map(|list| list.split(',').next().unwrap_or_default().trim());
    let is_tls = forwarded == Some("https") || cx.config.get().gateway.tls.enabled == Some(true);
    let scheme = if is_tls { "https" } else { "http" };
    let local = peer.local.ip().to_canonical().to_string();
    let name = match host_name(head.header("host").unwrap_or_default().trim()) {
        "" => local.as_str(),
        name => name,
    };
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    Some(format!("{scheme}://{name}:{}", peer.local.port()).into())
}

/// A running canvas.
pub struct Running {
    /// The port of its own, if it has one.
    pub port: Option<u16>,
    stop: Option<Sender<()>>,
    second: Option<(LoopHandle<Client>, Joiner)>,
    thread: Option<Joiner>,
}

/// Starts the thread, the watch and the second port, which speaks TLS where the gateway's does.
pub fn start(cx: &Arc<Ctx>, ip: IpAddr, gateway_port: u16, tls: Option<Arc<ServerConfig>>) -> Option<Running> {
    let handle = cx.canvas.as_ref()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (port, second) = match second_port(cx, handle, ip, gateway_port, tls) {
        Ok((port, second)) => (Some(port), Some(second)),
        Err(error) => {
            log::warn!(target: "canvas", "the canvas has no port of its own: {error}");
            (None, None)
        }
    };
    let (stop, stopped) = bounded(0);
    let actor = Actor {
        canvas: handle.canvas.clone(),
        gateway: cx.net.clone(),
        second: second.as_ref().map(|(net, _)| net.clone()),
        clock: cx.clock.clone(),
        metrics: cx.metrics.clone(),
        jobs: cx.jobs.clone(),
    };
    let requests = handle.requests.clone();
    let thread = thread::spawn("canvas", thread::STACK_WORKER_BYTES, move || {
        let (mark, marks) = bounded(1);
        // Here, because a large root takes a while: the gateway is open meanwhile.
        let watch = actor.canvas.is_live().then(|| watch(&actor.canvas, mark)).flatten();
        let marks = if watch.is_some() {
            // A page that was faster than the watch may have missed a change.
            actor.reload();
            marks
        } else {
            never()
        };
        let root = actor.canvas.root().display();
        log::info!(target: "canvas", "canvas host mounted at {scheme}://{ip}:{gateway_port}{}/ (root {root})", canvas::CANVAS);
        actor.run(&requests, &marks, &stopped);
        drop(watch);
    });
    match thread {
        Ok(thread) => Some(Running { port, stop: Some(stop), second, thread: Some(thread) }),
        Err(error) => {
            log::warn!(target: "canvas", "canvas host failed to start: {error}");
            None
        }
    }
}

fn watch(canvas: &Canvas, mark: Sender<()>) -> Option<canvas::watch::Watch> {
    let report = |error: &io::Error| {
        log::warn!(
            target: "canvas",
            "canvasHost watcher error: {error} (live reload disabled; consider canvasHost.liveReload=false or a smaller canvasHost.root)",
        );
    };
    canvas::watch::start(canvas.root(), mark).inspect_err(report).ok()
}

impl Running {
    /// Ends it all.
    pub fn stop(mut self) {
        if let Some((net, joiner)) = self.second.take() {
            net.send(LoopMsg::Shutdown { code: 1012, reason: "service restart".to_owned(), within: FLUSH_GRACE });
            drop(joiner);
        }
        drop(self.stop.take());
        drop(self.thread.take());
    }
}

/// The port of its own: the configured one, else the gateway's and four.
fn second_port(
    cx: &Arc<Ctx>,
    handle: &CanvasHandle,
    ip: IpAddr,
    gateway_port: u16,
    tls: Option<Arc<ServerConfig>>,
) -> io::Result<(u16, (LoopHandle<Client>, Joiner))> {
    let of_env = std::env::var("CLAWDBOT_CANVAS_HOST_PORT").ok().and_then(|port| port.trim().parse().ok());
    let port = cx.config.get().canvas_host.port.or(of_env).unwrap_or_else(|| gateway_port.saturating_add(4));
    let bound =
        host::listen(ip, port).map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))?;
    let address = bound.first().map(|(address, _)| *address);
    let port = address.map_or(port, |address| address.port());
    let listeners = bound.into_iter().map(|(_, listener)| listener).collect();
    let (net, mailbox) = mailbox::<Client>()?;
    let limits = Limits { connections_max: CONNECTIONS_MAX, unadmitted_max: CONNECTIONS_MAX, ..Limits::default() };
    let surface = Box::new(SecondPort { is_live: handle.canvas.is_live() });
    let event_loop = EventLoop::<Client, Work>::new(mailbox, listeners, surface, limits, handle.inbox.clone())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let event_loop = event_loop.with_tls(tls);
    let joiner = thread::spawn("canvas-loop", thread::STACK_SMALL_BYTES, move || event_loop.run())?;
    if let Some(address) = address {
        log::info!(target: "canvas", "canvas host listening on {scheme}://{address} (root {})", handle.canvas.root().display());
    }
    Ok((port, (net, joiner)))
}

/// The second port's own rules: files, and pages that hear of changes.
struct SecondPort {
    is_live: bool,
}

impl Surface<Client> for SecondPort {
    fn answer(&self, _client: &Client, _frame: &[u8], _answers: &mut Vec<u8>) -> bool {
        false
    }

    fn respond(&self, _head: &RequestHead) -> Option<Response> {
        None
    }

    fn greet(&self, _head: &RequestHead) -> Greeting {
        Greeting::Hearer
    }

    fn refuse_upgrade(&self, head: &RequestHead) -> Option<Response> {
        let is_welcome = self.is_live && head.path() == canvas::LIVE && is_origin_allowed(head);
        if is_welcome { None } else { Some(Response { close: true, ..Response::text(404, "Not Found") }) }
    }

    fn body_bytes_max(&self, _head: &RequestHead) -> usize {
        64 * 1024
    }

    fn body_too_large(&self, _head: &RequestHead) -> Response {
        Response::text(413, "Payload Too Large")
    }
}

struct Actor {
    canvas: Arc<Canvas>,
    gateway: LoopHandle<Client>,
    second: Option<LoopHandle<Client>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    jobs: Jobs,
}

impl Actor {
    fn run(&self, requests: &Receiver<Work>, marks: &Receiver<()>, stopped: &Receiver<()>) {
        let mut settled = never();
        loop {
            select! {
                recv(requests) -> work => match work {
                    Ok(work) => {
                        // What a panic drops is answered by that.
                        if catch_unwind(AssertUnwindSafe(|| self.handle(work))).is_err() {
                            log::error!(target: "canvas", "a request failed; it was answered as unavailable");
                        }
                    }
                    Err(_) => return,
                },
                recv(marks) -> mark => {
                    if mark.is_err() {
                        return;
                    }
                    settled = crossbeam_channel::after(SETTLE);
                }
                recv(settled) -> _ => {
                    settled = never();
                    self.reload();
                }
                recv(stopped) -> _ => return,
            }
        }
    }

    fn reload(&self) {
        log::debug!(target: "canvas", "pages reload");
        for net in std::iter::once(&self.gateway).chain(&self.second) {
            net.send(LoopMsg::Notify(canvas::RELOAD));
        }
    }

    fn handle(&self, work: Work) {
        if let Some(net) = &self.second {
            net.work_taken();
        }
        match work {
            Work::Ask(asked) => {
                let (path, exchange) = *asked;
                self.answer(&path, exchange);
            }
            Work::Net(event) => self.happened(*event),
        }
    }

    fn happened(&self, event: NetEvent<Client>) {
        match event {
            NetEvent::Http { conn, peer, flow, .. } => {
                let Some(net) = self.second.clone() else { return };
                let path = peer.head.routed_path();
                let exchange = Exchange::on(net, self.clock.clone(), self.metrics.clone(), conn, flow, peer.head);
                match path {
                    Some(path) if canvas::claims(&path) => self.answer(&path, exchange),
                    Some(_) => exchange.respond(&Response::text(404, "Not Found")),
                    None => exchange.respond(&Response::text(400, "Bad Request: this is no path")),
                }
            }
            NetEvent::HttpGone { flow } => flow.hang_up(),
            // Nobody becomes a client here.
            NetEvent::Frames { .. } | NetEvent::Closed { .. } => {}
        }
    }

    fn answer(&self, path: &str, exchange: Exchange) {
        if !exchange.head().is_asking() {
            return exchange.respond(&Response::text(405, "Method Not Allowed"));
        }
        let html = "text/html; charset=utf-8";
        match self.canvas.find(path) {
            Found::Html(body) => exchange.respond(&content(html, Bytes::from(body))),
            Found::Static(kind, body) => exchange.respond(&content(kind, Bytes::from_static(body))),
            Found::File(kind, file, meta) => {
                send::send(&self.jobs, exchange, kind, file, &meta, self.clock.now_ms());
            }
            Found::Missing => exchange.respond(&Response::text(404, "not found")),
            Found::MissingPage(body) => {
                let mut response = Response::text(404, body);
                response.headers = vec![("Content-Type", html.to_owned())];
                exchange.respond(&response);
            }
            Found::Malformed => exchange.respond(&Response::text(400, "malformed path")),
            Found::Upgrade => exchange.respond(&Response::text(426, "upgrade required")),
        }
    }
}
