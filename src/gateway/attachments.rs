//! Attachments of `agent` and `chat.send`: base64 in, image blocks out (protocol.md §5.3, step 3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::agent::message::Block;
use crate::media;
use crate::protocol::error::ErrorShape;

/// Largest decoded attachment.
const BYTES_MAX: usize = 5_000_000;

/// Returns the images among `attachments`; entries without text content and other kinds of file are skipped.
///
/// # Errors
/// `invalid base64 content` and `exceeds size limit`, naming the attachment.
pub fn images(attachments: &[Value]) -> Result<Vec<Block>, ErrorShape> {
    let mut images = Vec::new();
    for (index, attachment) in attachments.iter().enumerate() {
        let Some(content) = attachment.get("content").and_then(Value::as_str) else { continue };
        let text = |key: &str| attachment.get(key).and_then(Value::as_str).map(str::to_owned);
        let label = text("fileName").or_else(|| text("type")).unwrap_or_else(|| format!("attachment-{}", index + 1));
        let content = strip_data_uri(content.trim());
        let bytes = STANDARD
            .decode(content)
            .map_err(|_| ErrorShape::invalid(format!("Error: attachment {label}: invalid base64 content")))?;
        if bytes.is_empty() || bytes.len() > BYTES_MAX {
            let message =
                format!("Error: attachment {label}: exceeds size limit ({} > {BYTES_MAX} bytes)", bytes.len());
            return Err(ErrorShape::invalid(message));
        }
        if let Some(mime_type) = media::sniff(&bytes).filter(|mime| is_shown(mime)) {
            images.push(Block::Image { data: content.to_owned(), mime_type: mime_type.to_owned() });
        }
    }
    Ok(images)
}

/// Returns whether models look at such files.
pub fn is_shown(mime: &str) -> bool {
    matches!(mime, "image/png" | "image/jpeg" | "image/gif" | "image/webp")
}

fn strip_data_uri(content: &str) -> &str {
    match content.split_once(";base64,") {
        Some((head, data)) if head.starts_with("data:") => data,
        _ => content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_are_sniffed_and_faults_named() {
        let png = STANDARD.encode([0x89, b'P', b'N', b'G', 1, 2]);
        let given =
            [json!({"content": format!("data:image/png;base64,{png}")}), json!({"content": "aGk="}), json!({"x": 1})];
        assert_eq!(images(&given).expect("fine").len(), 1);
        let error = images(&[json!({"content": "!!", "fileName": "a.png"})]).expect_err("bad");
        assert_eq!(error.message, "Error: attachment a.png: invalid base64 content");
    }
}
