//! The control port: text lines in, one JSON object per line out.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

use super::commands::{Commands, Done};

/// Longest command line, in bytes: a request of 16 MiB in hexadecimal.
const MAX_LINE: u64 = 32 << 20;

/// Binds the control port.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Serves each connection on a thread of its own; answers come in order within a connection.
pub(super) fn serve(listener: TcpListener, commands: Arc<Commands>) -> io::Result<()> {
    std::thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming() {
            let commands = Arc::clone(&commands);
            let served = stream.and_then(|stream| {
                let serve = move || {
                    if let Err(error) = serve_connection(&stream, &commands) {
                        tracing::debug!(%error, "control connection ended");
                    }
                };
                std::thread::Builder::new().name("control connection".into()).spawn(serve)
            });
            if let Err(error) = served {
                tracing::warn!(%error, "control connection refused");
            }
        }
    })?;
    Ok(())
}

fn serve_connection(stream: &TcpStream, commands: &Commands) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && read as u64 == MAX_LINE {
            // The rest of the line belongs to it.
            reader.skip_until(b'\n')?;
            answer(stream, &json!({"error": "the line is too long"}))?;
            continue;
        }
        let done = match std::str::from_utf8(&line) {
            Ok(text) => commands.run(text.trim()),
            Err(_) => Done::Answer(json!({"error": "the line is not UTF-8"})),
        };
        match done {
            Done::Answer(value) => answer(stream, &value)?,
            Done::Exit(value, code) => {
                answer(stream, &value)?;
                std::process::exit(code);
            }
            Done::Crash(code) => std::process::exit(code),
        }
    }
}

fn answer(mut stream: &TcpStream, value: &Value) -> io::Result<()> {
    let mut line = value.to_string();
    line.push('\n');
    stream.write_all(line.as_bytes())
}
