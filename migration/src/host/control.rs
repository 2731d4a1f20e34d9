//! One control connection to a host: a text line out, one JSON object line back.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::HostError;

/// Longest answer accepted.
const MAX_ANSWER: usize = 16 << 20;

/// A connection to a host's control port. Answers come in the order of the commands.
#[derive(Debug)]
pub struct Control {
    id: String,
    stream: TcpStream,
    /// Received, not yet returned.
    buffer: Vec<u8>,
    /// The command whose answer comes next, for error texts.
    asked: String,
}

impl Control {
    /// Connects to the control port on 127.0.0.1.
    pub fn connect(id: &str, port: u16, timeout: Duration) -> Result<Self, HostError> {
        let failed = |source| HostError::Control { id: id.to_owned(), source };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, timeout).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { id: id.to_owned(), stream, buffer: Vec::new(), asked: String::new() })
    }

    /// Sends one command and waits for its answer. An answer `{"error": ...}` is a [`HostError::Answer`].
    pub fn ask(&mut self, command: &str, timeout: Duration) -> Result<Value, HostError> {
        let answer = self.ask_raw(command, timeout)?;
        match answer.get("error") {
            Some(error) => Err(self.wrong_answer(error.to_string())),
            None => Ok(answer),
        }
    }

    /// As [`ask`](Self::ask), but an error answer is returned like any other.
    pub fn ask_raw(&mut self, command: &str, timeout: Duration) -> Result<Value, HostError> {
        self.send(command, timeout)?;
        self.receive(timeout)
    }

    /// Sends a command without waiting.
    pub fn send(&mut self, command: &str, timeout: Duration) -> Result<(), HostError> {
        self.asked = command.chars().take(40).collect();
        let mut line = Vec::with_capacity(command.len() + 1);
        line.extend_from_slice(command.as_bytes());
        line.push(b'\n');
        self.stream.set_write_timeout(Some(timeout)).map_err(|source| self.failed(source))?;
        self.stream.write_all(&line).map_err(|source| self.failed(source))
    }

    /// Waits for the next answer.
    pub fn receive(&mut self, timeout: Duration) -> Result<Value, HostError> {
        let line = self.receive_line(Instant::now() + timeout).map_err(|source| self.failed(source))?;
        let value = serde_json::from_slice::<Value>(&line)
            .map_err(|error| self.wrong_answer(format!("{error} in {}", String::from_utf8_lossy(&line))))?;
        if !value.is_object() {
            return Err(self.wrong_answer(format!("not a JSON object: {value}")));
        }
        Ok(value)
    }

    fn receive_line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.buffer.len();
            if searched > MAX_ANSWER {
                return Err(io::Error::other("the answer has no end"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Unix reports a read timeout this way.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn failed(&self, source: io::Error) -> HostError {
        HostError::Control { id: self.id.clone(), source }
    }

    fn wrong_answer(&self, why: String) -> HostError {
        HostError::Answer { id: self.id.clone(), command: self.asked.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A host that reads nothing and says `answers`.
    fn connected(answers: &'static [u8]) -> Control {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answers).unwrap();
            // Until the client goes away.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        Control::connect("a", port, Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn answers_come_one_per_line_in_order() {
        let mut control =
            connected(b"{\"n\":1}\n{\"error\":\"no\"}\n{\"error\":\"no\"}\nwords\n[1]\n{\"n\":2");
        let mut ask = |raw: bool| {
            let timeout = Duration::from_millis(500);
            if raw { control.ask_raw("cmd", timeout) } else { control.ask("cmd", timeout) }
        };
        assert_eq!(ask(false).unwrap()["n"], 1);
        let refused = ask(false).unwrap_err();
        assert!(matches!(&refused, HostError::Answer { why, .. } if why.contains("no")), "{refused}");
        assert_eq!(ask(true).unwrap()["error"], "no");
        assert!(matches!(ask(false).unwrap_err(), HostError::Answer { .. }), "not JSON");
        assert!(matches!(ask(false).unwrap_err(), HostError::Answer { .. }), "not an object");
        let late = ask(false).unwrap_err();
        assert!(
            matches!(&late, HostError::Control { source, .. } if source.kind() == io::ErrorKind::TimedOut),
            "{late}"
        );
    }
}
