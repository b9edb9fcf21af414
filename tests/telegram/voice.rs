//! Voice notes: put into words by a service or a program, and answered without when nobody can.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{ENV, config};
use crate::support::bot_api::{BotApi, group};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};

const OGG: &[u8] = b"OggS-what-was-said";

/// A request for words: its path, its head in lower case, its body.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    head: String,
    body: String,
}

/// Services of all interfaces at once; the path tells which is meant.
struct Listener {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        // Ends with the test's process: nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || answer(&stream, &seen));
            }
        });
        Self { port, asked }
    }

    fn url(&self, part: &str) -> String {
        format!("http://127.0.0.1:{}/{part}", self.port)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn answer(stream: &TcpStream, seen: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let path = head.split_whitespace().nth(1)?.to_owned();
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    seen.lock().expect("no panic").push(Asked { path: path.clone(), head, body });
    let (status, said) = match path.split('?').next()? {
        "/openai/audio/transcriptions" => (200, json!({"text": " hello from afar "})),
        "/command/audio/transcriptions" => (200, json!({"text": "/whoami"})),
        "/deepgram/listen" => {
            (200, json!({"results": {"channels": [{"alternatives": [{"transcript": "deep words"}]}]}}))
        }
        "/google/models/gemini-3-flash-preview:generateContent" => {
            (200, json!({"candidates": [{"content": {"parts": [{"text": "gem words"}]}}]}))
        }
        "/empty/audio/transcriptions" => (200, json!({"text": ""})),
        "/hangs/audio/transcriptions" => {
            Gate::default().wait();
            return None;
        }
        _ => (500, json!({"error": {"message": "it broke, sk-top-secret"}})),
    };
    let body = said.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    (&*stream).write_all([head, body].concat().as_bytes()).ok()
}

/// A home whose bot hears everybody and whose agent repeats nothing.
fn home(api: &BotApi, provider: &Provider, audio: &Value, more: &Value) -> Home {
    let mut all = config(api, &json!({"groupPolicy": "open"}));
    all["agents"] = json!({"defaults": {"heartbeat": {"every": "0m"}}});
    all["tools"] = json!({"media": {"audio": audio}});
    all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    let home = Home::with_config(&all);
    Gateway::use_provider(&home, provider);
    home
}

fn speak(api: &BotApi, more: Value) {
    api.put_file("voice/file_1.oga", OGG);
    let mut note = json!({"voice": {"file_id": "voice/file_1.oga", "file_unique_id": "v", "mime_type": "audio/ogg"}});
    note.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    api.message(5, note);
}

/// What the model was told last.
fn told(provider: &Provider) -> String {
    let request = provider.requests().pop().expect("a request");
    let last = request["messages"].as_array().expect("messages").last().cloned().expect("one");
    match &last["content"] {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect(),
    }
}

#[test]
fn services_put_a_voice_note_into_words() {
    let (api, listener) = (BotApi::start(), Listener::start());
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let service = |name: &str, more: Value| {
        let mut entry = json!({"provider": name, "baseUrl": listener.url(name)});
        entry.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        entry
    };
    for (index, (entry, key, words)) in [
        (service("openai", json!({"language": "de"})), "authorization: bearer sk-top-secret", "hello from afar"),
        (
            service("deepgram", json!({"deepgram": {"smartFormat": true}})),
            "authorization: token sk-top-secret",
            "deep words",
        ),
        (service("google", json!({})), "x-goog-api-key: sk-top-secret", "gem words"),
    ]
    .into_iter()
    .enumerate()
    {
        // The first one fails, and the next is asked; what it says never holds the key.
        let audio = json!({"models": [{"provider": "openai", "baseUrl": listener.url("broken")}, entry]});
        let env = [
            ENV[0],
            ENV[1],
            ("OPENAI_API_KEY", "sk-top-secret"),
            ("DEEPGRAM_API_KEY", "sk-top-secret"),
            ("GEMINI_API_KEY", "sk-top-secret"),
        ];
        let gateway = Gateway::start_in(home(&api, &provider, &audio, &json!({})), &[], &env);
        speak(&api, json!({}));
        api.wait_texts("5", index + 1);
        let told = told(&provider);
        assert!(told.contains(&format!("[Audio]\nTranscript:\n{words}\n[message_id: ")), "{told}");
        assert!(!told.contains("[media attached") && !told.contains("<media:"), "words need no file: {told}");
        let asked = listener.asked().pop().unwrap();
        assert!(asked.head.contains(key), "{}", asked.head);
        let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
        assert!(log.contains("it broke, ***") && !log.contains("sk-top-secret"), "{log}");
    }
    let asked: Vec<Asked> = listener.asked().into_iter().filter(|asked| !asked.path.starts_with("/broken")).collect();
    for part in [
        "name=\"model\"\r\n\r\ngpt-4o-mini-transcribe",
        "name=\"language\"\r\n\r\nde",
        ".ogg\"\r\ncontent-type: audio/ogg\r\n\r\nOggS-what-was-said",
    ] {
        assert!(asked[0].body.contains(part), "{part}: {}", asked[0].body);
    }
    assert_eq!(asked[1].path, "/deepgram/listen?model=nova-3&smart_format=true");
    assert_eq!(asked[1].body.as_bytes(), OGG);
    assert!(asked[2].body.contains("\"mime_type\":\"audio/ogg\""), "{}", asked[2].body);
}

#[test]
fn what_is_typed_with_it_stays_and_what_is_said_may_be_a_command() {
    let (api, listener) = (BotApi::start(), Listener::start());
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let audio = json!({"baseUrl": listener.url("openai"), "maxChars": 5, "models": [{"provider": "openai"}]});
    let gateway = Gateway::start_in(home(&api, &provider, &audio, &json!({})), &[], &ENV);
    speak(&api, json!({"caption": "listen to this"}));
    api.wait_texts("5", 1);
    let words = told(&provider);
    assert!(words.contains("[Audio]\nUser text:\nlisten to this\nTranscript:\nhello\n"), "{words}");
    let ran = gateway.cli(&["config", "set", "tools.media.audio.baseUrl", &listener.url("command")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = gateway.cli(&["config", "set", "tools.media.audio.maxChars", "50", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // The edit is noticed in its own time.
    crate::support::eventually("the spoken command is carried out", || {
        let before = api.texts("5").len();
        speak(&api, json!({}));
        api.wait_texts("5", before + 1).pop().unwrap().contains("user5")
    });
}

#[test]
fn a_program_of_this_machine_does_it_too() {
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let audio = json!({"models": [
        {"command": "~/fails", "args": ["{{MediaPath}}"]},
        {"command": "~/listens", "args": ["--in={{MediaPath}}", "{{OutputBase}}.txt", "{{ Prompt }}"]},
    ]});
    let home = home(&api, &provider, &audio, &json!({}));
    for (name, script) in [
        ("fails", "#!/bin/sh\necho no ears >&2\nexit 3\n"),
        (
            "listens",
            "#!/bin/sh\necho \"$3 $(basename ${1#--in=} | tail -c 5) ${CLAWDBOT_GATEWAY_TOKEN:-no} secret\"; echo x > \"$2\"\n",
        ),
    ] {
        let path = home.path().join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let env = [ENV[0], ENV[1], ("CLAWDBOT_GATEWAY_TOKEN", "tok")];
    let gateway = Gateway::start_in(home, &[], &env);
    speak(&api, json!({}));
    api.wait_texts("5", 1);
    let words = told(&provider);
    assert!(words.contains("Transcript:\nTranscribe the audio. .ogg no secret\n"), "{words}");
    let log = std::fs::read_to_string(gateway.home.log_file()).unwrap_or_default();
    assert!(log.contains("~/fails did not put a recording into words: it ended with 3: no ears"), "{log}");
    let left: Vec<_> =
        std::fs::read_dir(gateway.home.state_dir().join("media")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert_eq!(left, ["inbound"], "what the program wrote is gone");
}

#[test]
fn a_message_is_answered_without_its_words_when_nobody_can_tell() {
    let (api, listener) = (BotApi::start(), Listener::start());
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let local = |part: &str| json!({"provider": "openai", "baseUrl": listener.url(part), "timeoutSeconds": 1});
    let audio = json!({"models": [local("empty"), local("hangs"), {"command": "/nope/nothing"}, {"provider": "openai", "maxBytes": 3}]});
    let _gateway = Gateway::start_in(home(&api, &provider, &audio, &json!({})), &[], &ENV);
    speak(&api, json!({}));
    api.wait_texts("5", 1);
    let words = told(&provider);
    assert!(
        words.contains("[media attached: ") && words.contains(".ogg (audio/ogg)") && words.contains("<media:audio>"),
        "{words}"
    );
    assert!(!words.contains("Transcript"), "{words}");
    // A recording that is not meant for us is nobody's business, nor where the scope says so.
    let audio =
        json!({"scope": {"rules": [{"action": "deny", "match": {"chatType": "group"}}]}, "models": [local("openai")]});
    let (api, asked) = (BotApi::start(), listener.asked().len());
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let _gateway = Gateway::start_in(home(&api, &provider, &audio, &json!({})), &[], &ENV);
    api.put_file("v", OGG);
    let voice = json!({"file_id": "v", "file_unique_id": "v", "mime_type": "audio/ogg"});
    api.message_in(group(-100), 5, json!({"voice": voice}));
    api.message_in(group(-100), 5, json!({"voice": voice, "caption": "@test_bot listen"}));
    api.wait_texts("-100", 1);
    assert!(told(&provider).contains("[media attached: "), "{}", told(&provider));
    assert_eq!(listener.asked().len(), asked);
}

#[test]
fn recordings_that_take_long_hold_up_nobody_else() {
    let (api, listener) = (BotApi::start(), Listener::start());
    let provider = Provider::always(Answer::Text(vec!["ok"]));
    let audio = json!({"models": [{"provider": "openai", "baseUrl": listener.url("hangs")}]});
    let _gateway = Gateway::start_in(home(&api, &provider, &audio, &json!({})), &[], &ENV);
    api.put_file("v", OGG);
    let voice = json!({"voice": {"file_id": "v", "file_unique_id": "v", "mime_type": "audio/ogg"}});
    for chat in 11..=16 {
        api.message(chat, voice.clone());
    }
    crate::support::eventually("some are being listened to", || listener.asked().len() >= 2);
    api.say(9, "meanwhile");
    assert_eq!(api.wait_texts("9", 1), ["ok"]);
    assert_eq!(listener.asked().len(), 2, "the others wait for their turn");
}
