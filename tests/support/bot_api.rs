//! A Bot API server on loopback: what Telegram's does, as far as a bot can tell, with every way to fail.
//!
//! It keeps updates until they are confirmed, lets one poll at a time wait for them, judges what is sent as the real one
//! does, and remembers every call. `tests/telegram/grammy.rs` has an independent client judge it in turn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::PATIENCE;
use super::provider::Gate;

/// The token that it knows.
pub const TOKEN: &str = "123456:AAtest-token";
/// The bot's own id.
pub const BOT_ID: i64 = 123_456;
const TEXT_UNITS_MAX: usize = 4096;
const CAPTION_UNITS_MAX: usize = 1024;
const PHOTO_BYTES_MAX: usize = 10 * 1024 * 1024;

/// How a call goes wrong.
#[derive(Clone)]
pub enum Fault {
    /// The connection ends without a byte; nothing was done.
    Close,
    /// The same with a reset.
    Reset,
    /// Not a byte until the gate opens; nothing was done.
    Hang(Gate),
    /// A refusal: status, description, seconds to wait.
    Refuse(u16, &'static str, Option<u64>),
    /// A page of some proxy.
    Html(u16),
    /// It is done, but half of the answer is lost.
    Half,
    /// 200 and JSON that is no answer.
    Garbage,
}

/// A call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub index: usize,
    pub at: Instant,
    pub method: String,
    /// Files are `{name, mime, size}`.
    pub params: Value,
    /// What the bot was told; `null` while it waits and when it was told nothing.
    pub answer: Value,
}

type Faults = Arc<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;

struct State {
    listener_fd: Option<i32>,
    is_up: bool,
    updates: VecDeque<(i64, Value)>,
    next_update: i64,
    next_message: i64,
    poll: u64,
    /// Polls that wait, by number: who asks in each.
    polling: Vec<(u64, TcpStream)>,
    polls_at_once_max: usize,
    calls: Vec<Call>,
    faults: Faults,
    webhook: Value,
    files: HashMap<String, Vec<u8>>,
    unknown_chats: HashSet<String>,
    commands: Value,
    me: Value,
    /// Messages that are there, by chat and id.
    messages: HashMap<(String, i64), Value>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    port: u16,
    token: String,
}

/// Serves until it is dropped.
pub struct BotApi(Arc<Shared>);

impl Drop for BotApi {
    fn drop(&mut self) {
        self.go_down();
    }
}

impl BotApi {
    pub fn start() -> Self {
        Self::of(TOKEN)
    }

    /// The server of another bot: one token has one poll.
    pub fn of(token: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let me = json!({"id": BOT_ID, "is_bot": true, "first_name": "Test Bot", "username": "test_bot", "can_join_groups": true,
            "can_read_all_group_messages": false, "supports_inline_queries": false, "has_topics_enabled": true});
        let state = State {
            listener_fd: None,
            is_up: true,
            updates: VecDeque::new(),
            next_update: 7000,
            next_message: 100,
            poll: 0,
            polling: Vec::new(),
            polls_at_once_max: 0,
            calls: Vec::new(),
            faults: Arc::new(|_| None),
            webhook: json!({"url": "", "has_custom_certificate": false, "pending_update_count": 0}),
            files: HashMap::new(),
            unknown_chats: HashSet::new(),
            commands: json!([]),
            me,
            messages: HashMap::new(),
        };
        let port = listener.local_addr().expect("an address").port();
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), port, token: token.to_owned() });
        listen(&shared, listener);
        Self(shared)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// A configuration of the channel that speaks to this server and lets everybody speak.
    pub fn config(&self) -> Value {
        json!({"botToken": self.0.token, "apiRoot": self.url(), "dmPolicy": "open", "allowFrom": ["*"]})
    }

    /// From now on calls go wrong as `faults` says.
    pub fn fail(&self, faults: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) {
        self.lock().faults = Arc::new(faults);
        self.0.changed.notify_all();
    }

    /// The next calls of a method go wrong, so many of them.
    pub fn fail_next(&self, method: &'static str, count: usize, fault: Fault) {
        let left = std::sync::atomic::AtomicUsize::new(count);
        let take = |left: usize| left.checked_sub(1);
        let order = std::sync::atomic::Ordering::SeqCst;
        self.fail(move |call| {
            (call.method == method && left.fetch_update(order, order, take).is_ok()).then(|| fault.clone())
        });
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.fail(|_| None);
    }

    /// Nobody listens any more: connections are refused.
    pub fn go_down(&self) {
        let mut state = self.lock();
        state.is_up = false;
        if let Some(fd) = state.listener_fd.take() {
            // SAFETY: plain system call; the listener is open until its thread, which waits in accept, has seen this.
            unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
        }
        self.0.changed.notify_all();
        while state.listener_fd.is_some() {
            state = self.0.changed.wait(state).expect("no panic");
        }
    }

    /// Listens again, on the same port.
    pub fn come_up(&self) {
        let until = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.0.port)) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::yield_now();
        };
        self.lock().is_up = true;
        listen(&self.0, listener);
    }

    /// Adds an update; returns its number.
    pub fn push(&self, mut update: Value) -> i64 {
        let mut state = self.lock();
        let id = state.next_update;
        state.next_update += 1;
        update["update_id"] = id.into();
        state.updates.push_back((id, update));
        drop(state);
        self.0.changed.notify_all();
        id
    }

    /// Begins to number updates anew, as the real one does after a week of silence.
    pub fn number_from(&self, id: i64) {
        self.lock().next_update = id;
    }

    /// Somebody writes to the bot in private; returns the message's id.
    pub fn say(&self, user: i64, text: &str) -> i64 {
        self.message(user, json!({"text": text}))
    }

    /// Somebody sends the bot any message in private; returns the message's id.
    pub fn message(&self, user: i64, more: Value) -> i64 {
        let from = person(user);
        let mut chat = from.clone();
        chat["type"] = "private".into();
        self.message_in(chat, user, more)
    }

    /// Somebody sends any message to a chat; returns the message's id.
    pub fn message_in(&self, chat: Value, user: i64, more: Value) -> i64 {
        let message_id = {
            let mut state = self.lock();
            state.next_message += 1;
            state.next_message
        };
        let mut message = json!({"message_id": message_id, "date": 1_700_000_000, "chat": chat, "from": person(user)});
        message.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        self.lock().messages.insert((message["chat"]["id"].to_string(), message_id), message.clone());
        self.push(json!({"message": message}));
        message_id
    }

    /// A file that the bot may fetch.
    pub fn put_file(&self, id: &str, bytes: &[u8]) {
        self.lock().files.insert(id.to_owned(), bytes.to_vec());
    }

    /// A chat that the server does not know.
    pub fn forget_chat(&self, chat: &str) {
        self.lock().unknown_chats.insert(chat.to_owned());
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The calls of a method that were answered with success.
    pub fn done(&self, method: &str) -> Vec<Call> {
        let is_it = |call: &&Call| call.method == method && call.answer["ok"] == true;
        self.lock().calls.iter().filter(is_it).cloned().collect()
    }

    /// The texts that arrived in a chat, in order; of files their captions.
    pub fn texts(&self, chat: &str) -> Vec<String> {
        let calls = self.lock().calls.clone();
        let is_it = |call: &&Call| {
            call.method.starts_with("send") && call.params["chat_id"] == chat && call.answer["result"].is_object()
        };
        let text = |call: &Call| call.params["text"].as_str().or(call.params["caption"].as_str()).map(str::to_owned);
        calls.iter().filter(is_it).filter_map(text).collect()
    }

    /// Updates that are not confirmed.
    pub fn pending(&self) -> usize {
        self.lock().updates.len()
    }

    /// How many polls waited at the same time, at most, of those whose asker had not hung up.
    pub fn polls_at_once_max(&self) -> usize {
        self.lock().polls_at_once_max
    }

    /// Waits until something is true of the server.
    pub fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: not within {PATIENCE:?}; the last calls: {:#?}", self.last_calls());
            let state = self.lock();
            drop(self.0.changed.wait_timeout(state, left.min(Duration::from_millis(50))).expect("no panic"));
        }
    }

    fn last_calls(&self) -> Vec<Call> {
        let state = self.lock();
        state.calls[state.calls.len().saturating_sub(8)..].to_vec()
    }

    /// Waits until a method succeeded so many times.
    pub fn wait_done(&self, method: &str, count: usize) -> Vec<Call> {
        self.wait(&format!("{count} × {method}"), |api| api.done(method).len() >= count);
        self.done(method)
    }

    /// Waits for texts in a chat.
    pub fn wait_texts(&self, chat: &str, count: usize) -> Vec<String> {
        self.wait(&format!("{count} texts in {chat}"), |api| api.texts(chat).len() >= count);
        self.texts(chat)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while it is held")
    }
}

/// A person.
pub fn person(id: i64) -> Value {
    json!({"id": id, "is_bot": false, "first_name": format!("User{id}"), "username": format!("user{id}")})
}

/// A group.
pub fn group(id: i64) -> Value {
    json!({"id": id, "type": "supergroup", "title": "The Group"})
}

fn listen(shared: &Arc<Shared>, listener: TcpListener) {
    shared.state.lock().expect("no panic").listener_fd = Some(listener.as_raw_fd());
    let shared = shared.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { break };
            let shared = shared.clone();
            std::thread::spawn(move || serve(&stream, &shared));
        }
        shared.changed.notify_all();
    });
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, shared: &Shared) {
    let Ok(read) = stream.try_clone() else { return };
    let mut reader = BufReader::new(read);
    while let Some(request) = Request::read(&mut reader) {
        if !answer(stream, shared, &request) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Answers a request; returns whether the connection goes on.
fn answer(stream: &TcpStream, shared: &Shared, request: &Request) -> bool {
    if let Some(path) = request.path.strip_prefix(&format!("/file/bot{}/", shared.token)) {
        let bytes = shared.state.lock().expect("no panic").files.get(path).cloned();
        return match bytes {
            Some(bytes) => write(stream, 200, "application/octet-stream", &bytes),
            None => write(
                stream,
                404,
                "application/json",
                b"{\"ok\":false,\"error_code\":404,\"description\":\"Not Found\"}",
            ),
        };
    }
    let Some((token, method)) = request.path.strip_prefix("/bot").and_then(|rest| rest.split_once('/')) else {
        return write(
            stream,
            404,
            "application/json",
            b"{\"ok\":false,\"error_code\":404,\"description\":\"Not Found\"}",
        );
    };
    let (index, fault) = {
        let mut state = shared.state.lock().expect("no panic");
        let index = state.calls.last().map_or(0, |call| call.index + 1);
        let call = Call {
            index,
            at: Instant::now(),
            method: method.to_owned(),
            params: request.params.clone(),
            answer: Value::Null,
        };
        let fault = (state.faults)(&call);
        state.calls.push(call);
        (index, fault)
    };
    shared.changed.notify_all();
    let respond = |answer: &Value| {
        let status = if answer["ok"] == true { 200 } else { answer["error_code"].as_u64().unwrap_or(400) };
        {
            let mut state = shared.state.lock().expect("no panic");
            if let Some(call) = state.calls.iter_mut().rfind(|call| call.index == index) {
                call.answer = answer.clone();
            }
        }
        shared.changed.notify_all();
        write(stream, status, "application/json", answer.to_string().as_bytes())
    };
    match fault {
        Some(Fault::Close) => return false,
        Some(Fault::Reset) => {
            reset_on_close(stream);
            return false;
        }
        Some(Fault::Hang(gate)) => {
            gate.wait();
            return false;
        }
        Some(Fault::Refuse(code, description, wait)) => {
            let mut answer = json!({"ok": false, "error_code": code, "description": description});
            if let Some(seconds) = wait {
                answer["parameters"] = json!({"retry_after": seconds});
            }
            return respond(&answer);
        }
        Some(Fault::Html(status)) => {
            return write(stream, status.into(), "text/html", b"<html><body><h1>Bad Gateway</h1></body></html>");
        }
        Some(Fault::Garbage) => return write(stream, 200, "application/json", b"[1, 2"),
        Some(Fault::Half) | None => {}
    }
    if token != shared.token {
        let known = token.split_once(':').is_some_and(|(id, _)| id.parse::<u64>().is_ok());
        let (code, text) = if known { (401, "Unauthorized") } else { (404, "Not Found") };
        return respond(&json!({"ok": false, "error_code": code, "description": text}));
    }
    let answer = match call(stream, shared, method, &request.params) {
        Ok(result) => json!({"ok": true, "result": result}),
        Err(Refused::Gone) => return false,
        Err(Refused::With(code, text)) => json!({"ok": false, "error_code": code, "description": text}),
    };
    if matches!(fault, Some(Fault::Half)) {
        let mut state = shared.state.lock().expect("no panic");
        if let Some(call) = state.calls.iter_mut().rfind(|call| call.index == index) {
            call.answer = answer.clone();
        }
        drop(state);
        let body = answer.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = (&*stream).write_all(head.as_bytes());
        let _ = (&*stream).write_all(&body.as_bytes()[..body.len() / 2]);
        shared.changed.notify_all();
        return false;
    }
    respond(&answer)
}

enum Refused {
    /// The asker hung up.
    Gone,
    With(u16, String),
}

fn bad(text: impl Into<String>) -> Refused {
    Refused::With(400, format!("Bad Request: {}", text.into()))
}

fn call(stream: &TcpStream, shared: &Shared, method: &str, params: &Value) -> Result<Value, Refused> {
    let mut state = shared.state.lock().expect("no panic");
    match method {
        "getMe" => Ok(state.me.clone()),
        "getUpdates" => {
            drop(state);
            updates(stream, shared, params)
        }
        "getWebhookInfo" => Ok(state.webhook.clone()),
        "setWebhook" => {
            state.webhook["url"] = params["url"].clone();
            Ok(json!(true))
        }
        "deleteWebhook" => {
            state.webhook["url"] = "".into();
            Ok(json!(true))
        }
        "setMyCommands" => {
            let list = params["commands"].as_array().ok_or_else(|| bad("parameter \"commands\" is required"))?;
            for command in list {
                let name = command["command"].as_str().unwrap_or_default();
                let is_good = (1..=32).contains(&name.len())
                    && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
                if !is_good {
                    return Err(bad("BOT_COMMAND_INVALID"));
                }
                if !(1..=256).contains(&command["description"].as_str().unwrap_or_default().chars().count()) {
                    return Err(bad("BOT_COMMAND_DESCRIPTION_INVALID"));
                }
            }
            state.commands = params["commands"].clone();
            Ok(json!(true))
        }
        "getMyCommands" => Ok(state.commands.clone()),
        "getFile" => {
            let id = params["file_id"].as_str().unwrap_or_default();
            let bytes = state.files.get(id).ok_or_else(|| bad("invalid file_id"))?;
            Ok(json!({"file_id": id, "file_unique_id": id, "file_size": bytes.len(), "file_path": id}))
        }
        "getChatMember" => {
            check_chat(&state, params)?;
            Ok(json!({"status": "member", "user": state.me}))
        }
        "answerCallbackQuery" => Ok(json!(true)),
        "sendChatAction" | "sendMessageDraft" | "setMessageReaction" | "deleteMessage" => {
            check_chat(&state, params)?;
            if method == "sendMessageDraft" && params["draft_id"].as_i64().unwrap_or(0) == 0 {
                return Err(bad("DRAFT_ID_INVALID"));
            }
            let key = (chat_id(params), params["message_id"].as_i64().unwrap_or(0));
            if matches!(method, "setMessageReaction" | "deleteMessage") && !state.messages.contains_key(&key) {
                return Err(bad(if method == "deleteMessage" {
                    "message to delete not found"
                } else {
                    "message to react not found"
                }));
            }
            if method == "deleteMessage" {
                state.messages.remove(&key);
            }
            Ok(json!(true))
        }
        "editMessageText" => {
            check_chat(&state, params)?;
            let key = (chat_id(params), params["message_id"].as_i64().unwrap_or(0));
            let text = plain(params, "text", TEXT_UNITS_MAX)?;
            let message = state.messages.get_mut(&key).ok_or_else(|| bad("message to edit not found"))?;
            if message["text"] == text.as_str() {
                return Err(bad("message is not modified"));
            }
            message["text"] = text.into();
            Ok(message.clone())
        }
        "sendMessage" => {
            check_chat(&state, params)?;
            let text = plain(params, "text", TEXT_UNITS_MAX)?;
            if text.trim().is_empty() {
                return Err(bad("message text is empty"));
            }
            Ok(keep(&mut state, params, json!({"text": text})))
        }
        "sendPhoto" | "sendVideo" | "sendAudio" | "sendVoice" | "sendAnimation" | "sendDocument" => {
            check_chat(&state, params)?;
            let field = method.trim_start_matches("send").to_lowercase();
            let file = file_of(params, &field).ok_or_else(|| bad(format!("there is no {field} in the request")))?;
            let size = file["size"].as_u64().unwrap_or(0) as usize;
            if size == 0 {
                return Err(bad("file must be non-empty"));
            }
            if field == "photo" && size > PHOTO_BYTES_MAX {
                return Err(bad("PHOTO_INVALID_DIMENSIONS"));
            }
            let caption = match params.get("caption") {
                Some(_) => plain(params, "caption", CAPTION_UNITS_MAX)?,
                None => String::new(),
            };
            let kept = json!({"file_id": format!("f{}", state.next_message), "file_unique_id": "u", "file_size": size,
                "file_name": file["name"], "mime_type": file["mime"], "width": 1, "height": 1, "duration": 0});
            let kept = if field == "photo" { json!([kept]) } else { kept };
            let mut body = json!({});
            body[field] = kept;
            if !caption.is_empty() {
                body["caption"] = caption.into();
            }
            Ok(keep(&mut state, params, body))
        }
        _ => Err(Refused::With(404, "Not Found: method not found".to_owned())),
    }
}

/// Returns a file that is named in place, or as `attach://part`.
fn file_of(params: &Value, field: &str) -> Option<Value> {
    let given = params.get(field)?;
    match given.as_str().and_then(|text| text.strip_prefix("attach://")) {
        Some(part) => params.get(part).filter(|file| file.is_object()).cloned(),
        None => Some(given).filter(|file| file.is_object()).cloned(),
    }
}

fn keep(state: &mut State, params: &Value, body: Value) -> Value {
    state.next_message += 1;
    let id = state.next_message;
    let chat = chat_id(params);
    let number: i64 = chat.parse().unwrap_or(-1);
    let kind = if number < 0 { "supergroup" } else { "private" };
    let mut message =
        json!({"message_id": id, "date": 1_700_000_001, "from": state.me, "chat": {"id": number, "type": kind}});
    message.as_object_mut().expect("object").extend(body.as_object().expect("object").clone());
    if let Some(thread) = params.get("message_thread_id") {
        message["message_thread_id"] = thread.clone();
    }
    state.messages.insert((chat, id), message.clone());
    message
}

/// Chats are numbers or texts of numbers.
fn chat_id(params: &Value) -> String {
    params["chat_id"].as_str().map_or_else(|| params["chat_id"].to_string(), str::to_owned)
}

fn check_chat(state: &State, params: &Value) -> Result<(), Refused> {
    let chat = chat_id(params);
    let is_known = chat.starts_with('@') || chat.parse::<i64>().is_ok();
    if !is_known || state.unknown_chats.contains(&chat) {
        return Err(bad("chat not found"));
    }
    if params["message_thread_id"] == 1 && params.get("action").is_none() {
        return Err(bad("message thread not found"));
    }
    Ok(())
}

/// Returns a text without its marks, judged as the real server does.
fn plain(params: &Value, key: &str, units_max: usize) -> Result<String, Refused> {
    let text = params[key].as_str().ok_or_else(|| bad(format!("parameter \"{key}\" is required")))?;
    let plain = if params["parse_mode"] == "HTML" { strip(text)? } else { text.to_owned() };
    if plain.encode_utf16().count() > units_max {
        return Err(bad(if key == "text" { "message is too long" } else { "message caption is too long" }));
    }
    Ok(plain)
}

fn strip(html: &str) -> Result<String, Refused> {
    const TAGS: [&str; 12] = ["b", "strong", "i", "em", "u", "ins", "s", "del", "a", "code", "pre", "blockquote"];
    let wrong = |text: String| bad(format!("can't parse entities: {text}"));
    let (mut out, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(entity) = rest.strip_prefix('&') {
            let known = [("amp;", "&"), ("lt;", "<"), ("gt;", ">"), ("quot;", "\"")];
            match known.iter().find(|(name, _)| entity.starts_with(name)) {
                Some((name, it)) => {
                    out.push_str(it);
                    rest = &entity[name.len()..];
                }
                None => {
                    out.push('&');
                    rest = entity;
                }
            }
            continue;
        }
        let end = rest
            .find('>')
            .ok_or_else(|| wrong(format!("unclosed start tag at byte offset {}", html.len() - rest.len())))?;
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        match tag.strip_prefix('/') {
            Some(name) if open.last() == Some(&name) => drop(open.pop()),
            Some(name) => return Err(wrong(format!("unexpected end tag \"{name}\""))),
            None => {
                let name = tag.split(' ').next().unwrap_or_default();
                if !TAGS.contains(&name) {
                    return Err(wrong(format!("unsupported start tag \"{name}\"")));
                }
                open.push(name);
            }
        }
    }
    out.push_str(rest);
    match open.last() {
        Some(name) => Err(wrong(format!("can't find end tag corresponding to start tag \"{name}\""))),
        None => Ok(out),
    }
}

impl State {
    /// Notes how many polls wait; whoever hung up is one no more, though its thread may not have seen it yet.
    fn count_polls(&mut self) {
        let count = self.polling.iter().filter(|(_, stream)| !has_hung_up(stream)).count();
        self.polls_at_once_max = self.polls_at_once_max.max(count);
    }
}

/// Waits for updates, as long as no other poll comes.
fn updates(stream: &TcpStream, shared: &Shared, params: &Value) -> Result<Value, Refused> {
    let mut state = shared.state.lock().expect("no panic");
    if state.webhook["url"] != "" {
        let text = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first";
        return Err(Refused::With(409, text.to_owned()));
    }
    let offset = params["offset"].as_i64().unwrap_or(0);
    let limit = params["limit"].as_u64().unwrap_or(100).clamp(1, 100) as usize;
    let until = Instant::now() + Duration::from_secs(params["timeout"].as_u64().unwrap_or(0));
    if offset > 0 {
        state.updates.retain(|(id, _)| *id >= offset);
    }
    state.poll += 1;
    let mine = state.poll;
    state.polling.push((mine, stream.try_clone().expect("a descriptor")));
    state.count_polls();
    shared.changed.notify_all();
    let result = loop {
        if state.poll != mine {
            let text =
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
            break Err(Refused::With(409, text.to_owned()));
        }
        let wanted = |update: &Value| match params["allowed_updates"].as_array() {
            Some(kinds) if !kinds.is_empty() => {
                kinds.iter().any(|kind| update.get(kind.as_str().unwrap_or_default()).is_some())
            }
            _ => true,
        };
        let ready: Vec<Value> =
            state.updates.iter().map(|(_, update)| update).filter(|it| wanted(it)).take(limit).cloned().collect();
        let left = until.saturating_duration_since(Instant::now());
        if !ready.is_empty() || left.is_zero() {
            break Ok(Value::from(ready));
        }
        if !state.is_up || has_hung_up(stream) {
            break Err(Refused::Gone);
        }
        // Short, to see when the asker hangs up.
        state = shared.changed.wait_timeout(state, left.min(Duration::from_millis(20))).expect("no panic").0;
    };
    state.polling.retain(|(number, _)| *number != mine);
    result
}

fn has_hung_up(stream: &TcpStream) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the descriptor is open and the buffer has room for the one byte asked for.
    let count =
        unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    count == 0 || (count < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::ConnectionReset)
}

/// Makes the next close a reset instead of an orderly end.
fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("small");
    // SAFETY: the descriptor is open, the option value lives through the call and has the size given.
    let code = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(code, 0);
}

fn write(mut stream: &TcpStream, status: u64, kind: &str, body: &[u8]) -> bool {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
}

struct Request {
    path: String,
    params: Value,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let target = first.split(' ').nth(1)?.to_owned();
        let (mut length, mut is_chunked, mut kind) = (0, false, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "transfer-encoding" => is_chunked = value.contains("chunked"),
                "content-type" => kind = value.to_owned(),
                _ => {}
            }
        }
        let body = if is_chunked { read_chunks(reader)? } else { read_exact(reader, length)? };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut params = match kind.split_once("boundary=") {
            Some((_, boundary)) => form(&body, boundary.trim_matches('"')),
            None => serde_json::from_slice(&body).unwrap_or_else(|_| json!({})),
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            params[name] = value.into();
        }
        Some(Self { path: path.to_owned(), params })
    }
}

fn read_exact(reader: &mut BufReader<TcpStream>, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let chunk = read_exact(reader, size + 2)?;
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Some(body);
        }
    }
}

/// Reads a form: fields as texts or JSON, files as what they are.
fn form(body: &[u8], boundary: &str) -> Value {
    let mark = format!("--{boundary}");
    let mut params = Map::new();
    let mut rest = body;
    while let Some(at) = find(rest, mark.as_bytes()) {
        rest = &rest[at + mark.len()..];
        let Some(end) = find(rest, format!("\r\n{mark}").as_bytes()) else { break };
        let part = &rest[..end];
        let Some(split) = find(part, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&part[..split]).into_owned();
        let content = &part[split + 4..];
        let word = |key: &str| {
            let value = head.split([';', '\n']).find_map(|it| it.trim().strip_prefix(key)?.strip_prefix('='))?;
            Some(value.trim_matches('"').to_owned())
        };
        let Some(name) = word("name") else { continue };
        let value = match word("filename") {
            Some(file) => {
                let mime = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-type:").map(|it| it.trim().to_owned())
                });
                json!({"name": file, "mime": mime, "size": content.len()})
            }
            None => {
                let text = String::from_utf8_lossy(content).into_owned();
                // Objects and numbers come as their JSON; a chat's number stays the text that it is.
                match serde_json::from_str::<Value>(&text) {
                    Ok(value) if !value.is_string() && name != "chat_id" && name != "caption" => value,
                    _ => text.into(),
                }
            }
        };
        params.insert(name, value);
    }
    Value::Object(params)
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}
