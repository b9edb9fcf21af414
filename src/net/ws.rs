//! WebSocket framing over plain buffers: tungstenite's state machine without a socket.
//!
//! The loop reads the socket into a shared scratch buffer and feeds the bytes in; frames come out, and whatever
//! tungstenite wants to answer by itself (pong, close) is collected for the outbox. So an idle client costs a small
//! buffer, not a socket wrapper's. Data frames of the server are encoded by [`text_frame`], once for all receivers.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// Piece in which tungstenite takes bytes, and what an idle client's buffer holds.
const READ_PIECE_BYTES: usize = 1024;

/// The state machine of one connection.
pub struct WsCodec {
    context: WebSocketContext,
    input: Vec<u8>,
    input_at: usize,
    output: Vec<u8>,
}

/// What came out of the bytes fed so far.
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
        f.debug_struct("WsCodec").field("input", &(self.input.len() - self.input_at)).finish_non_exhaustive()
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
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            input: rest,
            input_at: 0,
            output: Vec::new(),
        }
    }

    /// Feeds bytes of the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.input_at == self.input.len() {
            self.input.clear();
            self.input_at = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Returns the next message, or why there is none.
    pub fn read(&mut self) -> WsRead {
        loop {
            let mut duplex = Duplex { input: &self.input, at: &mut self.input_at, output: &mut self.output };
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
                    self.input = Vec::new();
                    self.input_at = 0;
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

    /// Returns whether fed bytes have not been looked at yet.
    pub fn has_input(&self) -> bool {
        self.input_at < self.input.len()
    }

    /// Takes what is to be sent (pongs, close frames).
    pub fn take_output(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.output))
    }

    fn flush(&mut self) {
        let mut duplex = Duplex { input: &[], at: &mut 0, output: &mut self.output };
        // The output is memory: the only error is "already closed", which the next read reports.
        let _ = self.context.flush(&mut duplex);
    }
}

struct Duplex<'a> {
    input: &'a [u8],
    at: &'a mut usize,
    output: &'a mut Vec<u8>,
}

impl Read for Duplex<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[*self.at..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        *self.at += count;
        Ok(count)
    }
}

impl Write for Duplex<'_> {
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
    frame(OpCode::Data(Data::Text), text.as_bytes())
}

/// Encodes a close frame.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let close = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    let mut payload = Vec::with_capacity(2 + close.reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(close.reason.as_bytes());
    frame(OpCode::Control(tungstenite::protocol::frame::coding::Control::Close), &payload)
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut bytes = Vec::with_capacity(header.len(length) + payload.len());
    header.format(length, &mut bytes).expect("writing to a Vec cannot fail");
    bytes.extend_from_slice(payload);
    Bytes::from(bytes)
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
        let (first, second) = bytes.split_at(2000);
        codec.feed(first);
        assert_eq!(codec.read(), WsRead::Message(Bytes::from_static(b"one")));
        assert_eq!(codec.read(), WsRead::NeedInput);
        codec.feed(second);
        assert_eq!(codec.read(), WsRead::Message(Bytes::from(big)));
    }

    #[test]
    fn violations_have_their_codes() {
        let mut codec = WsCodec::new(10, masked(OpCode::Data(Data::Text), &[b'x'; 11]));
        assert_eq!(codec.read(), WsRead::Violation(1009));
        let mut codec = WsCodec::new(10, masked(OpCode::Data(Data::Text), &[0xff]));
        assert_eq!(codec.read(), WsRead::Violation(1007));
        let mut codec = WsCodec::new(10, text_frame("x").to_vec());
        assert_eq!(codec.read(), WsRead::Violation(1002));
    }

    #[test]
    fn pings_are_answered() {
        let mut ping = Frame::ping(Bytes::from_static(b"hi"));
        ping.header_mut().mask = Some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        ping.format(&mut bytes).expect("frame");
        let mut codec = WsCodec::new(10, bytes);
        assert_eq!(codec.read(), WsRead::NeedInput);
        assert_eq!(&codec.take_output()[..], b"\x8a\x02hi");
    }
}
