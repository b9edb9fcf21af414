//! WebSocket framing over plain buffers: tungstenite's state machine without a socket.
//!
//! The loop reads the socket into a shared scratch buffer and passes it in; frames come out, and whatever tungstenite
//! wants to answer by itself (pong, close) is collected for the outbox. So an idle client costs a small buffer, not a
//! socket wrapper's. Data frames of the server are encoded by [`text_frame`], once for all receivers.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// Piece in which tungstenite takes bytes, and what an idle client's buffer holds.
const READ_PIECE_BYTES: usize = 1024;
/// Longest head of a server's frame.
const FRAME_HEAD_BYTES_MAX: usize = 10;

/// The state machine of one connection.
pub struct WsCodec {
    context: WebSocketContext,
    /// Bytes that had to wait for room in the inbox; they come before new ones.
    kept: Vec<u8>,
    kept_at: usize,
    output: Vec<u8>,
}

/// What came out of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub enum WsRead {
    /// A text or binary message.
    Message(Bytes),
    /// More bytes are needed.
    NeedInput,
    /// The peer closed; the answer is in the output.
    Closed,
    /// The peer broke the rules; close with this code and no reason.
    Violation(u16),
}

impl std::fmt::Debug for WsCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WsCodec").field("kept", &(self.kept.len() - self.kept_at)).finish_non_exhaustive()
    }
}

impl WsCodec {
    /// Returns a server's state machine that refuses messages over `message_bytes_max`; `rest` are bytes that came
    /// behind the upgrade request.
    pub fn new(message_bytes_max: usize, rest: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_PIECE_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        Self { context: WebSocketContext::new(Role::Server, Some(config)), kept: rest, kept_at: 0, output: Vec::new() }
    }

    /// Keeps bytes of the socket for later reads.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.kept.drain(..std::mem::take(&mut self.kept_at));
        self.kept.extend_from_slice(bytes);
    }

    /// Returns the next message, or why there is none; takes what it reads off the front of `input`.
    pub fn read(&mut self, input: &mut &[u8]) -> WsRead {
        loop {
            let kept = &self.kept;
            let mut duplex = Duplex { kept, kept_at: &mut self.kept_at, input, output: &mut self.output };
            return match self.context.read(&mut duplex) {
                Ok(tungstenite::Message::Text(text)) => WsRead::Message(text.into()),
                Ok(tungstenite::Message::Binary(bytes)) => WsRead::Message(bytes),
                Ok(tungstenite::Message::Close(_)) => {
                    self.flush();
                    WsRead::Closed
                }
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    // An idle connection keeps no input buffer.
                    self.kept = Vec::new();
                    self.kept_at = 0;
                    self.flush();
                    WsRead::NeedInput
                }
                Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => WsRead::Violation(1009),
                Err(Error::Utf8(_)) => WsRead::Violation(1007),
                Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_)) => WsRead::Closed,
                Err(_) => WsRead::Violation(1002),
            };
        }
    }

    /// Returns whether kept bytes have not been looked at yet.
    pub fn has_kept(&self) -> bool {
        self.kept_at < self.kept.len()
    }

    /// Takes what is to be sent (pongs, close frames).
    pub fn take_output(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.output))
    }

    fn flush(&mut self) {
        let mut duplex = Duplex { kept: &[], kept_at: &mut 0, input: &mut &[][..], output: &mut self.output };
        // The output is memory: the only error is "already closed", which the next read reports.
        let _ = self.context.flush(&mut duplex);
    }
}

struct Duplex<'a, 'i> {
    kept: &'a [u8],
    kept_at: &'a mut usize,
    input: &'a mut &'i [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Duplex<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut kept = &self.kept[*self.kept_at..];
        let count = if kept.is_empty() {
            self.input.read(buffer)?
        } else {
            let count = kept.read(buffer)?;
            *self.kept_at += count;
            count
        };
        if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}

impl Write for Duplex<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes a text message as one server frame.
pub fn text_frame(text: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES_MAX + text.len());
    append_text_frame(&mut bytes, &[text]);
    bytes.into()
}

/// Appends a text message, given in pieces, as one server frame.
pub fn append_text_frame(bytes: &mut Vec<u8>, pieces: &[&str]) {
    append_frame(bytes, OpCode::Data(Data::Text), pieces);
}

/// Encodes a close frame.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES_MAX + 2 + reason.len());
    let opcode = OpCode::Control(tungstenite::protocol::frame::coding::Control::Close);
    let pieces: [&[u8]; 2] = [&code.to_be_bytes(), reason.as_bytes()];
    append_frame(&mut bytes, opcode, &pieces);
    bytes.into()
}

fn append_frame(bytes: &mut Vec<u8>, opcode: OpCode, pieces: &[impl AsRef<[u8]>]) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
    header.format(length as u64, bytes).expect("writing to a Vec cannot fail");
    for piece in pieces {
        bytes.extend_from_slice(piece.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::Frame;

    fn masked(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Frame::message(Bytes::copy_from_slice(payload), opcode, true);
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).expect("frame");
        bytes
    }

    #[test]
    fn whole_and_split_messages_come_out_in_order() {
        let mut codec = WsCodec::new(1 << 20, Vec::new());
        let big = "x".repeat(5000);
        let mut bytes = masked(OpCode::Data(Data::Text), b"one");
        bytes.extend(masked(OpCode::Data(Data::Text), big.as_bytes()));
        let (mut first, rest) = bytes.split_at(2000);
        assert_eq!(codec.read(&mut first), WsRead::Message(Bytes::from_static(b"one")));
        codec.keep(first);
        assert!(codec.has_kept());
        let (second, mut third) = rest.split_at(500);
        codec.keep(second);
        assert_eq!(codec.read(&mut &third[..0]), WsRead::NeedInput);
        assert!(!codec.has_kept());
        assert_eq!(codec.read(&mut third), WsRead::Message(Bytes::from(big)));
        assert!(third.is_empty());
    }

    #[test]
    fn violations_have_their_codes() {
        let mut codec = WsCodec::new(10, masked(OpCode::Data(Data::Text), &[b'x'; 11]));
        assert_eq!(codec.read(&mut &[][..]), WsRead::Violation(1009));
        let mut codec = WsCodec::new(10, masked(OpCode::Data(Data::Text), &[0xff]));
        assert_eq!(codec.read(&mut &[][..]), WsRead::Violation(1007));
        let mut codec = WsCodec::new(10, text_frame("x").to_vec());
        assert_eq!(codec.read(&mut &[][..]), WsRead::Violation(1002));
    }

    #[test]
    fn pings_are_answered() {
        let mut ping = Frame::ping(Bytes::from_static(b"hi"));
        ping.header_mut().mask = Some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        ping.format(&mut bytes).expect("frame");
        let mut codec = WsCodec::new(10, bytes);
        assert_eq!(codec.read(&mut &[][..]), WsRead::NeedInput);
        assert_eq!(&codec.take_output()[..], b"\x8a\x02hi");
    }
}
