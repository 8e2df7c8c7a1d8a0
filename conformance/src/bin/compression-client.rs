//! A client that has a corpus echoed: `compression-client URL CORPUS MODE`.
//!
//! CORPUS is a file with a JSON list of messages, each an object with `text` or `binary` (hexadecimal) and `fragments`, in
//! how many it is to be sent. MODE is `off`, `shared`, `windowed:BYTES` or `dedicated:BITS`. Every message must come back as
//! it was; prints what was agreed and what was saved.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conformance::compression;
use serde_json::Value;
use tokio::time::timeout;
use wirelet::{Client, Limits, Message, WebSocket};

/// A hang guard, not an expectation.
const HANG: Duration = Duration::from_secs(300);

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = timeout(HANG, run()).await.unwrap_or_else(|_| Err("hangs".into()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compression-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, corpus, mode] = &arguments[..] else {
        return Err("usage: compression-client URL CORPUS MODE".into());
    };
    let corpus: Value = serde_json::from_str(&std::fs::read_to_string(corpus)?)?;
    let limits = Limits { message: 64 << 20, ..Limits::new() };
    let (mut socket, _) =
        Client::builder(url).limits(limits).compression(compression(mode)?).connect_once().await?;
    for entry in corpus.as_array().ok_or("the corpus is no list")? {
        let message = message(entry)?;
        send(&mut socket, &message, entry["fragments"].as_u64().unwrap_or(1) as usize).await?;
        if socket.recv().await?.as_ref() != Some(&message) {
            return Err("an echo is not what was sent".into());
        }
    }
    match socket.compression() {
        None => println!("nothing was agreed"),
        Some(info) => println!("{}: sent {:?}, received {:?}", info.params, info.sent, info.received),
    }
    socket.close(wirelet::CloseCode::NORMAL, "").await?;
    Ok(())
}

fn message(entry: &Value) -> Result<Message, Failure> {
    if let Some(text) = entry["text"].as_str() {
        return Ok(Message::text(text));
    }
    let digits = entry["binary"].as_str().ok_or("a message has neither text nor binary")?;
    let bytes: Result<Vec<u8>, _> =
        (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16)).collect();
    Ok(Message::binary(bytes?))
}

async fn send(socket: &mut WebSocket, message: &Message, fragments: usize) -> Result<(), wirelet::Error> {
    if fragments < 2 {
        return socket.send(message.clone()).await;
    }
    let size = message.len().div_ceil(fragments);
    match message {
        Message::Text(text) => {
            let mut writer = socket.text_fragments();
            // Between characters: the writer takes text, and a peer's fragments are cut anywhere.
            let mut rest: &str = text;
            while rest.len() > size {
                let cut = (size..rest.len()).find(|&at| rest.is_char_boundary(at)).unwrap_or(rest.len());
                let (part, more) = rest.split_at(cut);
                writer.write(part).await?;
                rest = more;
            }
            writer.finish(rest).await
        }
        Message::Binary(data) => {
            let mut writer = socket.binary_fragments();
            let mut rest = &data[..];
            while let Some((part, more)) = rest.split_at_checked(size).filter(|(_, more)| !more.is_empty()) {
                writer.write(part).await?;
                rest = more;
            }
            writer.finish(rest).await
        }
    }
}
