//! A file of the canvas as an answer: whole or a part, at once or as fast as it is read, with what a later request may
//! name it by.
//!
//! Runs on the thread `canvas`, and long files on the lane of the same name. compat: nobody is to keep what they got
//! (`no-store`); parts and names are for players that seek and downloads that go on.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::{UnixMs, http_date};
use crate::gateway::http::Exchange;
use crate::net::http::Response;
use crate::net::partial::{Validators, Wanted, wanted};
use crate::work::jobs::Jobs;

/// What is longer is sent in parts, as fast as it is read.
const WHOLE_BYTES_MAX: u64 = 256 * 1024;
const PART_BYTES: usize = 32 * 1024;
/// Lane of long files: whoever reads them slowly holds nobody up but others who do.
pub const LANE: &str = "canvas";
/// A file that was changed so lately may change again without its time telling so.
const SETTLED: Duration = Duration::from_secs(2);

/// Answers with what the request asks for of a file.
pub(super) fn send(jobs: &Jobs, exchange: Exchange, kind: &'static str, file: File, meta: &Metadata, now_ms: UnixMs) {
    let length = meta.len();
    let of = validators(meta, now_ms);
    let mut response = content(kind, Bytes::new()).with("Accept-Ranges", "bytes");
    let names = [("ETag", of.tag.clone()), ("Last-Modified", of.modified.clone())];
    response.headers.extend(names.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let range = match wanted(exchange.head(), &of, length) {
        Wanted::Whole if exchange.head().method == "HEAD" => {
            return exchange.respond(&response.with("Content-Length", length.to_string()));
        }
        Wanted::Whole => 0..length,
        Wanted::Part(range) => {
            response.status = 206;
            let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            response.headers.push(("Content-Range", place));
            range
        }
        Wanted::Unchanged => {
            response.status = 304;
            return exchange.respond(&response);
        }
        Wanted::Changed => return exchange.respond(&Response::text(412, "the file has changed")),
        Wanted::Outside => {
            let refusal = Response::text(416, format!("the file has {length} bytes"));
            return exchange.respond(&refusal.with("Content-Range", format!("bytes */{length}")));
        }
    };
    if range.end - range.start <= WHOLE_BYTES_MAX {
        match read(file, &range) {
            Ok(body) => exchange.respond(&Response { body, ..response }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                exchange.respond(&Response::text(503, "the file is being changed; try again soon"));
            }
            Err(error) => {
                log::warn!(target: "canvas", "cannot read a file: {error}");
                exchange.respond(&Response::text(500, "error"));
            }
        }
        return;
    }
    // A slow reader must not hold up the others.
    if let Err(error) = jobs.submit(vec![LANE.to_owned()], move || stream(exchange, &response, file, &range)) {
        log::warn!(target: "canvas", "a file was not sent: {error}");
    }
}

/// Answers with something that is there as a whole.
pub(super) fn content(kind: &str, body: Bytes) -> Response {
    let headers = vec![("Cache-Control", "no-store".to_owned()), ("Content-Type", kind.to_owned())];
    Response { status: 200, headers, body, close: false }
}

/// Returns what tells this state of a file from others; nothing while it may be changing.
fn validators(meta: &Metadata, now_ms: UnixMs) -> Validators {
    let Ok(seconds) = u64::try_from(meta.mtime()) else { return Validators::default() };
    let modified_ms = seconds.saturating_mul(1000).saturating_add(meta.mtime_nsec() as u64 / 1_000_000);
    if modified_ms.saturating_add(SETTLED.as_millis() as u64) > now_ms {
        return Validators::default();
    }
    // The inode, too: a file that was moved to this place may be older and as long.
    let tag = format!("\"{:x}-{:x}-{:x}-{:x}\"", meta.ino(), meta.len(), seconds, meta.mtime_nsec());
    Validators { tag: Some(tag), modified: Some(http_date(modified_ms)) }
}

fn read(mut file: File, range: &Range<u64>) -> io::Result<Bytes> {
    let mut body = vec![0; usize::try_from(range.end - range.start).expect("at most WHOLE_BYTES_MAX")];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut body)?;
    Ok(Bytes::from(body))
}

/// Sends much of a file as fast as it is read; one that became shorter ends the connection.
fn stream(exchange: Exchange, response: &Response, mut file: File, range: &Range<u64>) {
    if let Err(error) = file.seek(SeekFrom::Start(range.start)) {
        log::warn!(target: "canvas", "cannot read a file: {error}");
        return exchange.respond(&Response::text(500, "error"));
    }
    let mut left = range.end - range.start;
    let stream = exchange.stream_of(response, Some(left));
    let mut part = vec![0; PART_BYTES];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PART_BYTES).min(PART_BYTES);
        match file.read(&mut part[..wanted]) {
            Ok(count) if count > 0 && stream.send(&part[..count]).is_ok() => left -= count as u64,
            _ => return,
        }
    }
    stream.end();
}
