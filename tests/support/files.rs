//! A directory served over HTTP on a port of its own, as a static file server would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// Listens until the test process ends.
pub struct Files {
    pub port: u16,
}

impl Files {
    /// Serves a directory; what is not in it is its `index.html`, because pages have addresses of their own.
    pub fn serve(directory: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Browsers open connections that they may never use: each gets a thread.
                let directory = directory.clone();
                std::thread::spawn(move || answer(stream, &directory));
            }
        });
        Self { port }
    }
}

/// A browser that goes away is no failure here.
fn answer(mut stream: TcpStream, directory: &Path) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let target = lines.next()?.split_whitespace().nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    let path = target.split('?').next()?;
    let name = path.find("assets/").map_or(path, |at| &path[at..]).trim_start_matches('/');
    let file = directory.join(name);
    let file = if file.is_file() { file } else { directory.join("index.html") };
    let kind = match file.extension()?.to_str()? {
        "html" => "text/html; charset=utf-8",
        "js" => "application/javascript",
        "css" => "text/css",
        _ => "application/octet-stream",
    };
    let body = std::fs::read(&file).ok()?;
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()
}
