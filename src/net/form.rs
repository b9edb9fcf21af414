//! A form with a file in it (`multipart/form-data`), as services take uploads. Pure but for the boundary's randomness.

use std::io::{Cursor, Read};

use crate::base::rng::{Rng, hex_token};

/// A file to be sent along.
pub struct Upload<'a> {
    /// The parameter that it is.
    pub field: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub mime: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Parameters and a file: everything but the file's own bytes, which are not copied.
pub struct Form<'a> {
    boundary: String,
    head: Vec<u8>,
    bytes: &'a [u8],
    tail: Vec<u8>,
}

impl<'a> Form<'a> {
    /// Puts one together.
    pub fn new<'p>(params: impl IntoIterator<Item = (&'p str, String)>, file: &Upload<'a>, rng: &dyn Rng) -> Self {
        let boundary = format!("clawdbot-{}", hex_token(rng, 16));
        let mut head = String::new();
        for (name, text) in params {
            head.push_str(&format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            ));
        }
        // What would end the quotes or the line is no part of a name or a type, which may be the sender's.
        let [name, mime] = [file.name, file.mime].map(|text| text.replace(['"', '\r', '\n'], "_"));
        head.push_str(&format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"; filename=\"{name}\"\r\ncontent-type: {mime}\r\n\r\n",
            file.field
        ));
        let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
        Self { boundary, head: head.into_bytes(), bytes: file.bytes, tail }
    }

    /// Returns what the header `content-type` says of it.
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Returns its length in bytes, and it.
    pub fn into_reader(self) -> (usize, impl Read + use<'a>) {
        let length = self.head.len() + self.bytes.len() + self.tail.len();
        let reader = Cursor::new(self.head).chain(self.bytes).chain(Cursor::new(self.tail));
        (length, reader)
    }

    /// Returns it whole.
    pub fn into_bytes(self) -> Vec<u8> {
        [&self.head, self.bytes, &self.tail].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;

    #[test]
    fn a_file_is_a_part_of_a_form() {
        let file = Upload { field: "photo", name: "a\".jpg", mime: "image/jpeg\r\nx: y", bytes: b"\xff\xd8" };
        let params = || [("chat_id", "1".to_owned()), ("message_thread_id", "7".to_owned())];
        let form = Form::new(params(), &file, &SeededRng::new(1));
        let (boundary, kind) = (form.boundary.clone(), form.content_type());
        let (length, mut reader) = form.into_reader();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("memory");
        assert_eq!(bytes.len(), length);
        assert_eq!(kind, format!("multipart/form-data; boundary={boundary}"));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("name=\"message_thread_id\"\r\n\r\n7\r\n"), "{text}");
        assert!(
            text.contains("name=\"photo\"; filename=\"a_.jpg\"\r\ncontent-type: image/jpeg__x: y\r\n\r\n"),
            "{text}"
        );
        assert!(text.ends_with(&format!("\r\n--{boundary}--\r\n")), "{text}");
        assert_eq!(Form::new(params(), &file, &SeededRng::new(1)).into_bytes(), bytes);
    }
}
