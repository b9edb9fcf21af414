//! The page of this machine that a browser ends on after a sign-in, and the paste for browsers elsewhere: whichever is first.
//!
//! Owns a listening socket on the loopback for as long as somebody signs in. Runs on the command's thread, which waits for
//! the socket and the terminal at once. Not here: what is done with the code (`login`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};

use super::super::environment;
use super::super::exit::Failure;
use super::login::code_of;

/// Variable of another port than the one an application is registered with: for issuers that take any, and for tests.
const PORT_VARIABLE: &str = "CLAWDBOT_OAUTH_CALLBACK_PORT";
/// How long somebody may take to sign in.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);
/// How long a browser may take to read its answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Longest request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Connections at once: browsers open some that they may use later. The oldest goes when another one comes.
const VISITORS_MAX: usize = 16;
/// Longest text that is pasted.
const PASTE_BYTES_MAX: usize = 64 * 1024;

const BROWSER: Token = Token(0);
const TERMINAL: Token = Token(1);
const VISITOR_FIRST: usize = 2;

/// See the module.
pub(super) struct Callback {
    listener: TcpListener,
    path: String,
}

impl Callback {
    /// Listens where an application's browser is sent to; returns that address too, with the port that is listened on.
    ///
    /// # Errors
    /// When the port is taken.
    pub(super) fn listen(redirect_url: &str) -> io::Result<(Self, String)> {
        let (head, path) = redirect_url.rsplit_once("://").map_or(("http", redirect_url), |(head, rest)| (head, rest));
        let (host, path) = path.split_once('/').unwrap_or((path, ""));
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        let set = environment::var(PORT_VARIABLE).and_then(|port| port.parse().ok());
        let port: u16 = set.or_else(|| port.parse().ok()).unwrap_or(80);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((Self { listener, path: format!("/{path}") }, format!("{head}://{name}:{port}/{path}")))
    }

    /// Waits for the code that belongs to `state`, from the browser or from whoever pastes.
    pub(super) fn wait(&self, state: &str) -> Result<String, Failure> {
        let until = Instant::now() + WAIT_MAX;
        let failed = |error: io::Error| Failure::error(format!("Cannot wait for the browser: {error}"));
        let mut poll = Poll::new().map_err(failed)?;
        let socket = self.listener.as_raw_fd();
        poll.registry().register(&mut SourceFd(&socket), BROWSER, Interest::READABLE).map_err(failed)?;
        let stdin = io::stdin();
        let terminal = stdin.as_fd().as_raw_fd();
        // A file or nothing at all cannot be waited for: then only the browser counts.
        let mut has_terminal = poll.registry().register(&mut SourceFd(&terminal), TERMINAL, Interest::READABLE).is_ok();
        let mut typed = File::from(stdin.as_fd().try_clone_to_owned().map_err(failed)?);
        let mut pasted: Vec<u8> = Vec::new();
        if has_terminal && stdin.is_terminal() {
            let mut stdout = io::stdout().lock();
            // Who cannot read this may still use the browser.
            let _ = write!(stdout, "Waiting. Browser on another machine? Paste the address that it ends on: ")
                .and_then(|()| stdout.flush());
        }
        let mut visitors = Visitors::default();
        let mut events = mio::Events::with_capacity(4);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(failed)?,
            }
            for event in &events {
                if event.token() == BROWSER {
                    visitors.welcome(&self.listener, poll.registry()).map_err(failed)?;
                    continue;
                }
                if event.token() != TERMINAL {
                    let request = visitors.request(event.token());
                    if let Some(code) = request.and_then(|(stream, target)| self.answer(stream, &target, state)) {
                        return code;
                    }
                    continue;
                }
                let mut bytes = [0; 4096];
                let count = if has_terminal { typed.read(&mut bytes).map_err(failed)? } else { 0 };
                if count == 0 || pasted.len() > PASTE_BYTES_MAX {
                    has_terminal = false;
                    let _ = poll.registry().deregister(&mut SourceFd(&terminal));
                }
                pasted.extend_from_slice(&bytes[..count]);
                if let Some(code) = paste(&mut pasted, !has_terminal, state) {
                    return code;
                }
                if has_terminal {
                    // Readiness is told once; registering again tells of what is still there.
                    let _ = poll.registry().reregister(&mut SourceFd(&terminal), TERMINAL, Interest::READABLE);
                }
            }
        }
        Err(Failure::error("Nobody signed in in time. Run the command again."))
    }

    /// Answers one request; returns how the sign-in ended, if it was about that.
    fn answer(&self, mut stream: TcpStream, target: &str, state: &str) -> Option<Result<String, Failure>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (status, said, result) = match code_of(query) {
            _ if path != self.path => ("404 Not Found", "There is nothing here.", None),
            // Somebody else's page, or an older sign-in's: ours may still come.
            (_, given, _) if given.as_deref() != Some(state) => {
                ("400 Bad Request", "This answer belongs to another sign-in.", None)
            }
            (_, _, Some(error)) => {
                let failure =
                    Failure::error(format!("Sign-in failed: the provider says {error}. Run the command again."));
                ("400 Bad Request", "The sign-in was refused. The terminal tells more.", Some(Err(failure)))
            }
            (Some(code), ..) => ("200 OK", "Signed in. You can close this page.", Some(Ok(code))),
            (None, ..) => ("400 Bad Request", "There is no code in this answer.", None),
        };
        let page = format!("<!doctype html><meta charset=\"utf-8\"><title>Clawdbot</title><p>{said}</p>\n");
        // The code is here, whether or not the browser gets to see that.
        let _ = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(ANSWER_WAIT)));
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
            page.len()
        );
        result
    }
}

/// The connections whose requests are not complete yet.
#[derive(Default)]
struct Visitors {
    waiting: VecDeque<Visitor>,
    /// How many there were.
    count: usize,
}

struct Visitor {
    stream: TcpStream,
    head: Vec<u8>,
    token: Token,
}

impl Visitors {
    /// Lets in whoever has come.
    fn welcome(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        while let Ok((stream, _)) = listener.accept() {
            let token = Token(VISITOR_FIRST + self.count);
            self.count += 1;
            stream.set_nonblocking(true)?;
            registry.register(&mut SourceFd(&stream.as_raw_fd()), token, Interest::READABLE)?;
            if self.waiting.len() == VISITORS_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(Visitor { stream, head: Vec::new(), token });
        }
        Ok(())
    }

    /// Returns the connection that this event is of, and path and query of its request, once that is complete.
    fn request(&mut self, token: Token) -> Option<(TcpStream, String)> {
        let at = self.waiting.iter().position(|it| it.token == token)?;
        let target = self.waiting[at].read()?;
        let visitor = self.waiting.remove(at)?;
        Some((visitor.stream, target?))
    }
}

impl Visitor {
    /// Reads what has come. `None`: more is wanted; otherwise it is over, with path and query of the request if it was one.
    fn read(&mut self) -> Option<Option<String>> {
        let mut bytes = [0; 2048];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Some(None),
                Ok(count) => self.head.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Some(None),
            }
            if self.head.windows(4).any(|end| end == b"\r\n\r\n") {
                return Some(target_of(&self.head));
            }
            if self.head.len() > REQUEST_BYTES_MAX {
                return Some(None);
            }
        }
    }
}

/// Returns path and query of a request.
fn target_of(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let mut words = head.lines().next()?.split(' ');
    (words.next()? == "GET").then(|| words.next().map(str::to_owned)).flatten()
}

/// Takes the first line that is not blank; the rest of a paste that has ended counts as a line.
fn paste(pasted: &mut Vec<u8>, has_ended: bool, state: &str) -> Option<Result<String, Failure>> {
    loop {
        let end = pasted.iter().position(|byte| *byte == b'\n').or(Some(pasted.len()).filter(|_| has_ended))?;
        if pasted.is_empty() {
            return None;
        }
        let line: Vec<u8> = pasted.drain(..(end + 1).min(pasted.len())).collect();
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() {
            return Some(judged(line.trim(), state));
        }
    }
}

/// Returns the code of what somebody pasted.
pub(super) fn judged(pasted: &str, state: &str) -> Result<String, Failure> {
    match code_of(pasted) {
        (_, _, Some(error)) => Err(Failure::error(format!("Sign-in failed: the provider says {error}."))),
        (_, Some(given), _) if given != state => {
            Err(Failure::error("That code belongs to another sign-in. Run the command again."))
        }
        (Some(code), ..) => Ok(code),
        (None, ..) => Err(Failure::error("There is no code in what was pasted. Run the command again.")),
    }
}
