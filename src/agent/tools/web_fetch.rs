//! `web_fetch`: a page of the public web, made readable.
//!
//! Every hop is judged anew (see [`crate::net::public`]); what a page says is material for the model and bounded. Where a page
//! gives nothing by itself, Firecrawl is asked if there is a key for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::html::readable;
use super::policy::Subject;
use super::{Tool, ToolContext, ToolResult};
use crate::base::cancel::CancelToken;
use crate::base::clock::iso_utc;
use crate::net::fetch::Fetch;
use crate::net::public::{Judge, PublicAnswer, PublicError, get, is_public};

/// Characters of a result, unless the configuration or the model says otherwise, and at least.
const CHARS_DEFAULT: usize = 50_000;
const CHARS_MIN: usize = 100;
/// Largest document that is read.
const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Characters of a failed answer that are shown.
const FAILURE_CHARS_MAX: usize = 4000;
/// Redirections that are followed.
const REDIRECTS_DEFAULT: usize = 3;
const REDIRECTS_MAX: usize = 20;
const FIRECRAWL_URL: &str = "https://api.firecrawl.dev";
/// Variable of another address that speaks Firecrawl's interface, such as an own server's.
const FIRECRAWL_URL_VARIABLE: &str = "CLAWDBOT_FIRECRAWL_BASE_URL";
/// How old a page may be that Firecrawl has seen before.
const FIRECRAWL_AGE_MS_MAX: u64 = 172_800_000;
const TIMEOUT_SECONDS_DEFAULT: u64 = 30;
const CACHE_MINUTES_DEFAULT: f64 = 15.0;
/// compat: many servers answer nothing else.
const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7_2) AppleWebKit/537.36 (KHTML, like Gecko) \
                          Chrome/122.0.0.0 Safari/537.36";

pub(super) const TOOL: Tool = Tool {
    name: "web_fetch",
    description: "Fetch a page of the public web and return its readable content as markdown or text.",
    parameters: &[
        ("url", "string*", "http or https URL"),
        ("extractMode", "markdown|text", "Form of the content, default markdown"),
        ("maxChars", "number", "Most characters, default 50000"),
    ],
    is_local: false,
    is_wanted: |subject: &Subject<'_>| subject.config.tree.pointer("/tools/web/fetch/enabled") != Some(&false.into()),
    run,
};

fn run(cx: &ToolContext<'_>, args: &Arguments<'_>) -> Result<ToolResult, String> {
    let url = args.required("url")?;
    let is_markdown = args.text("extractMode") != Some("text");
    let number = |name: &str| cx.setting(&format!("web/fetch/{name}")).and_then(Value::as_f64).filter(|it| *it >= 0.0);
    let chars_max =
        args.count("maxChars").or_else(|| number("maxChars").map(|it| it as usize)).unwrap_or(CHARS_DEFAULT);
    let chars_max = chars_max.clamp(CHARS_MIN, CHARS_DEFAULT.max(number("maxChars").unwrap_or(0.0) as usize));
    let ttl_ms = (number("cacheTtlMinutes").unwrap_or(CACHE_MINUTES_DEFAULT) * 60_000.0) as u64;
    let now_ms = cx.clock.now_ms();
    let key = format!("{url} {is_markdown} {chars_max}");
    if let Some(answer) = cx.toolbox.pages.get(&key, now_ms, ttl_ms) {
        return Ok(ToolResult::json(answer));
    }
    let begun = cx.clock.now();
    let seconds = number("timeoutSeconds").map_or(TIMEOUT_SECONDS_DEFAULT, |it| it as u64).max(1);
    let redirects = number("maxRedirects").map_or(REDIRECTS_DEFAULT, |it| it as usize).min(REDIRECTS_MAX);
    let agent = cx.setting("web/fetch/userAgent").and_then(Value::as_str).unwrap_or(USER_AGENT);
    let way = Way { within: Duration::from_secs(seconds), redirects, agent, judge: is_public };
    let readable = cx.setting("web/fetch/readability") != Some(&false.into());
    let mut answer = match fetched(url, &way, cx.cancel)
        .and_then(|found| extract(&found, is_markdown, chars_max, readable).map_err(Failure::Empty))
    {
        Ok(answer) => answer,
        Err(Failure::Final(error)) => return Err(error),
        Err(Failure::Empty(error)) => match firecrawl(cx, url, is_markdown, chars_max) {
            None => return Err(error),
            Some(found) => found?,
        },
    };
    let took = cx.clock.now().saturating_duration_since(begun);
    answer["fetchedAt"] = iso_utc(now_ms).into();
    answer["tookMs"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
    let mut ordered = json!({"url": url});
    ordered.as_object_mut().into_iter().for_each(|all| all.extend(answer.as_object().cloned().unwrap_or_default()));
    cx.toolbox.pages.put(key, now_ms, ordered.clone());
    Ok(ToolResult::json(ordered))
}

/// How pages are fetched.
struct Way<'a> {
    within: Duration,
    redirects: usize,
    agent: &'a str,
    judge: Judge,
}

/// Why there is no page.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// Nobody else may try either.
    Final(String),
    /// Somebody else may do better.
    Empty(String),
}

/// A document and where it was found.
struct Found {
    url: String,
    answer: PublicAnswer,
}

fn fetched(url: &str, way: &Way<'_>, cancel: &CancelToken) -> Result<Found, Failure> {
    let mut seen = vec![url.to_owned()];
    loop {
        let here = seen.last().cloned().unwrap_or_default();
        let headers = [
            ("user-agent", way.agent),
            ("accept", "text/markdown, text/html;q=0.9, */*;q=0.1"),
            ("accept-language", "en-US,en;q=0.9"),
        ];
        let answer = get(&here, &headers, way.within, DOCUMENT_BYTES_MAX, cancel, way.judge);
        let answer = answer.map_err(|error| match error {
            PublicError::Invalid => Failure::Final("Invalid URL: must be http or https".to_owned()),
            PublicError::Blocked(what) => Failure::Final(format!("Blocked: {what}")),
            PublicError::Cancelled => Failure::Final("the run was stopped".to_owned()),
            PublicError::Failed(error) => Failure::Empty(format!("Web fetch failed: {error}")),
        })?;
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return if (200..300).contains(&answer.status) {
                Ok(Found { url: here, answer })
            } else {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                let text = if answer.content_type.contains("html") {
                    readable(&text, false, &str::to_owned).text
                } else {
                    text
                };
                let text: String = text.chars().take(FAILURE_CHARS_MAX).collect();
                Err(Failure::Empty(format!("Web fetch failed ({}): {}", answer.status, text.trim())))
            };
        }
        let Some(location) = answer.location else {
            return Err(Failure::Final(format!("Redirect missing location header ({})", answer.status)));
        };
        let next = join(&here, &location);
        if seen.len() > way.redirects {
            return Err(Failure::Final(format!("Too many redirects (limit: {})", way.redirects)));
        }
        if seen.contains(&next) {
            return Err(Failure::Final("Redirect loop detected".to_owned()));
        }
        seen.push(next);
    }
}

fn extract(found: &Found, is_markdown: bool, chars_max: usize, is_readable: bool) -> Result<Value, String> {
    let PublicAnswer { status, content_type, body, is_cut, .. } = &found.answer;
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = decoded(body, content_type);
    let mut title = None;
    let (text, extractor) = if kind == "text/html" || kind == "application/xhtml+xml" {
        if is_readable {
            let page = readable(&text, is_markdown, &|href| join(&found.url, href));
            if page.text.is_empty() {
                return Err(format!(
                    "Web fetch extraction failed: {} has no readable text (it may need a browser to run its scripts)",
                    found.url
                ));
            }
            title = page.title;
            (page.text, "readability")
        } else {
            (text, "raw")
        }
    } else if kind.ends_with("json") {
        let value: Option<Value> = serde_json::from_str(&text).ok();
        value.map_or((text, "raw"), |value| (format!("{value:#}"), "json"))
    } else if text.contains('\0') {
        return Err(format!(
            "Web fetch extraction failed: {} is no text ({kind}); download it with exec instead",
            found.url
        ));
    } else {
        (text, "raw")
    };
    Ok(answer(&found.url, Some(*status), &kind, title, is_markdown, extractor, &text, chars_max, *is_cut))
}

#[allow(clippy::too_many_arguments)]
fn answer(
    url: &str,
    status: Option<u16>,
    kind: &str,
    title: Option<String>,
    is_markdown: bool,
    extractor: &str,
    text: &str,
    chars_max: usize,
    is_cut: bool,
) -> Value {
    let end = text.char_indices().nth(chars_max).map(|(at, _)| at);
    let shown = &text[..end.unwrap_or(text.len())];
    let mut answer = json!({"finalUrl": url, "status": status, "contentType": kind});
    if let Some(title) = title {
        answer["title"] = title.into();
    }
    answer["extractMode"] = if is_markdown { "markdown" } else { "text" }.into();
    answer["extractor"] = extractor.into();
    answer["truncated"] = (end.is_some() || is_cut).into();
    answer["length"] = shown.chars().count().into();
    answer["text"] = shown.into();
    answer
}

/// Returns a document's text; what is not marked as Latin is taken as UTF-8.
fn decoded(body: &[u8], content_type: &str) -> String {
    let start = String::from_utf8_lossy(&body[..body.len().min(1024)]).to_ascii_lowercase();
    let marks = ["iso-8859-1", "windows-1252", "latin1"];
    let content_type = content_type.to_ascii_lowercase();
    let is_latin = marks.iter().any(|mark| content_type.contains(&format!("charset={mark}")))
        || (!content_type.contains("charset=")
            && marks.iter().any(|mark| {
                start.contains(&format!("charset={mark}")) || start.contains(&format!("charset=\"{mark}"))
            }));
    if is_latin && std::str::from_utf8(body).is_err() {
        return body.iter().map(|&byte| char::from(byte)).collect();
    }
    String::from_utf8_lossy(body).into_owned()
}

/// Completes a reference that stands in the document at `base`.
pub fn join(base: &str, reference: &str) -> String {
    let reference = reference.trim();
    let has_scheme = reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    if has_scheme || reference.is_empty() {
        return if reference.is_empty() { base.to_owned() } else { reference.to_owned() };
    }
    let base = base.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = base.split_once("://") else { return reference.to_owned() };
    let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_len);
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let path = path.split('?').next().unwrap_or_default();
    let joined = match reference.as_bytes()[0] {
        b'/' => reference.to_owned(),
        b'?' => format!("{path}{reference}"),
        b'#' => return format!("{base}{reference}"),
        _ => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(directory, _)| directory)),
    };
    let (path, query) = joined.find(['?', '#']).map_or((joined.as_str(), ""), |at| joined.split_at(at));
    let mut parts: Vec<&str> = Vec::new();
    let ends_open = path.ends_with(['/']) || path.ends_with("/.") || path.ends_with("/..");
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let end = if ends_open && !parts.is_empty() { "/" } else { "" };
    format!("{scheme}://{authority}/{}{end}{query}", parts.join("/"))
}

/// Asks Firecrawl for a page; `None` when there is no key for it.
fn firecrawl(cx: &ToolContext<'_>, url: &str, is_markdown: bool, chars_max: usize) -> Option<Result<Value, String>> {
    // compat: the original's schema refuses the keys that its code would read, so the environment alone sets it up.
    let key = cx.env("FIRECRAWL_API_KEY")?;
    let base = cx.env(FIRECRAWL_URL_VARIABLE).unwrap_or_else(|| FIRECRAWL_URL.to_owned());
    let body = json!({"url": url, "formats": ["markdown"], "onlyMainContent": true, "maxAge": FIRECRAWL_AGE_MS_MAX});
    let endpoint = format!("{}/v2/scrape", base.trim_end_matches('/'));
    let headers = [("authorization".to_owned(), format!("Bearer {key}"))];
    let reply = post(cx, &endpoint, &headers, &body, Duration::from_secs(TIMEOUT_SECONDS_DEFAULT));
    let reply = reply.map_err(|error| format!("Web fetch failed: Firecrawl: {}", error.replace(&key, "***")));
    Some(reply.and_then(|reply| {
        let data = &reply["data"];
        let text = data["markdown"].as_str().filter(|text| !text.trim().is_empty());
        let text = text.ok_or("Web fetch failed: Firecrawl found no text either")?;
        let source = data["metadata"]["sourceURL"].as_str().unwrap_or(url);
        let status = data["metadata"]["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        let title = data["metadata"]["title"].as_str().map(str::to_owned);
        Ok(answer(source, status, "text/markdown", title, is_markdown, "firecrawl", text, chars_max, false))
    }))
}

/// Posts JSON to a service that the configuration names, and reads its JSON.
pub(super) fn post(
    cx: &ToolContext<'_>,
    url: &str,
    headers: &[(String, String)],
    body: &Value,
    within: Duration,
) -> Result<Value, String> {
    service(cx, within, |fetch| fetch.post_json(url, headers, body.to_string().as_bytes()))
}

/// Makes a request to a service that the configuration names; its answer is bounded, and its failure a short text.
pub(super) fn service(
    cx: &ToolContext<'_>,
    within: Duration,
    request: impl FnOnce(&Fetch) -> Result<crate::net::fetch::Answer, crate::net::fetch::FetchError>,
) -> Result<Value, String> {
    use crate::net::fetch::FetchError;
    // A token of its own: a slow service must not count as the run's own deadline.
    let cancel = cx.cancel.within(within);
    let fetch = Fetch::new(&cancel);
    let failed = |error: FetchError| match error {
        FetchError::Cancelled if cx.cancel.is_cancelled() => "the run was stopped".to_owned(),
        FetchError::Cancelled => format!("no answer within {} seconds", within.as_secs()),
        FetchError::Failed(error) => error,
    };
    let answer = request(&fetch).map_err(failed)?;
    let mut text = Vec::new();
    let mut body = std::io::Read::take(answer.body, DOCUMENT_BYTES_MAX as u64);
    std::io::Read::read_to_end(&mut body, &mut text).map_err(|error| failed(fetch.read_failure(&error)))?;
    let text = String::from_utf8_lossy(&text);
    if !(200..300).contains(&answer.status) {
        let text: String = text.chars().take(FAILURE_CHARS_MAX).collect();
        return Err(format!("({}): {}", answer.status, text.trim()));
    }
    serde_json::from_str(&text).map_err(|_| "the answer is no JSON".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn references_are_completed() {
        for (base, reference, expected) in [
            ("https://a.b/c/d?e#f", "g", "https://a.b/c/g"),
            ("https://a.b/c/d", "/g?x=/..#y", "https://a.b/g?x=/..#y"),
            ("https://a.b/c/d", "../g/", "https://a.b/g/"),
            ("https://a.b/c/d", "../../../g", "https://a.b/g"),
            ("https://a.b", "g", "https://a.b/g"),
            ("https://a.b/c?d", "?e", "https://a.b/c?e"),
            ("https://a.b/c", "#e", "https://a.b/c#e"),
            ("https://a.b/c", "//x.y/z", "https://x.y/z"),
            ("https://a.b/c", "http://x.y", "http://x.y"),
            ("https://a.b/c", "mailto:x@y", "mailto:x@y"),
            ("https://a.b/c", " ", "https://a.b/c"),
        ] {
            assert_eq!(join(base, reference), expected, "{base} {reference}");
        }
    }

    /// Serves these answers, one per connection, by path.
    fn serve(answer: fn(&str) -> String) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("port");
        let port = listener.local_addr().expect("address").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 4096];
                let count = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..count]).into_owned();
                let path = head.split_whitespace().nth(1).unwrap_or_default();
                let _ = stream.write_all(answer(path).as_bytes());
            }
        });
        format!("http://127.0.0.1:{port}")
    }

    fn page(kind: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn moved(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    #[test]
    fn every_hop_is_judged() {
        let base = serve(|path| match path {
            "/page" => page("text/html; charset=utf-8", "<title>T</title><p>Hello <a href='x'>there</a></p>"),
            "/json" => page("application/json", r#"{"a":1}"#),
            "/hop" => moved("/page"),
            "/inside" => moved("http://169.254.169.254/latest"),
            "/file" => moved("file:///etc/passwd"),
            "/loop" => moved("/loop"),
            "/empty" => page("text/html", "<script>x</script>"),
            path if path.starts_with("/far") => moved(&format!("{path}r")),
            "/lost" => "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
            _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope".to_owned(),
        });
        // This machine stands for the public internet here.
        let judge: Judge = |ip| ip.is_loopback();
        let way = Way { within: Duration::from_secs(10), redirects: 3, agent: "test", judge };
        let cancel = CancelToken::new();
        let get = |path: &str| {
            let found = fetched(&format!("{base}{path}"), &way, &cancel)?;
            extract(&found, true, 1000, true).map_err(Failure::Empty)
        };
        let hop = get("/hop").expect("page");
        assert_eq!((&hop["title"], &hop["finalUrl"]), (&json!("T"), &json!(format!("{base}/page"))));
        assert_eq!(hop["text"], format!("Hello [there]({base}/x)"));
        assert_eq!(
            (&hop["extractor"], &hop["truncated"], &hop["status"]),
            (&json!("readability"), &json!(false), &json!(200))
        );
        assert_eq!(get("/json").expect("json")["text"], "{\n  \"a\": 1\n}");
        let failed = |path: &str| match get(path) {
            Err(Failure::Final(error)) => error,
            Err(Failure::Empty(error)) => format!("? {error}"),
            Ok(page) => panic!("{path}: {page}"),
        };
        assert_eq!(failed("/inside"), "Blocked: private/internal IP address");
        assert_eq!(failed("/file"), "Invalid URL: must be http or https");
        assert_eq!(failed("/loop"), "Redirect loop detected");
        assert_eq!(failed("/far"), "Too many redirects (limit: 3)");
        assert_eq!(failed("/lost"), "Redirect missing location header (302)");
        assert_eq!(failed("/none"), "? Web fetch failed (404): nope");
        assert!(failed("/empty").starts_with("? Web fetch extraction failed: "));
    }
}
