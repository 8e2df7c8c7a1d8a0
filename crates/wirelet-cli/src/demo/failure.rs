//! What went wrong, layer by layer: how far it came, which addresses, what the operating system and the server
//! said, and what helps.

use wirelet::client::{ConnectError, Phase, Response};
use wirelet::{Error, Timeout};

use crate::exit::{Exit, Failure};
use crate::shown;

/// Header fields of a refusal that are shown.
const MOST_FIELDS: usize = 16;
/// Lines of a refusal's body that are shown.
const MOST_LINES: usize = 5;

/// No connection.
pub(crate) fn not_connected(url: &str, error: &ConnectError) -> Failure {
    let url = shown::url(url);
    let failure = match error {
        ConnectError::Url(error) => Failure::new(Exit::Usage, format!("{url} is no WebSocket URL: {error}")),
        ConnectError::NoTls { .. }
        | ConnectError::TlsSettings(_)
        | ConnectError::ProxyUrl(_)
        | ConnectError::Request(_) => Failure::new(Exit::Usage, error.to_string()),
        ConnectError::Refused(_) => Failure::new(Exit::Refused, format!("{url} refused to open a WebSocket")),
        ConnectError::Redirect { error, .. } => Failure::new(
            Exit::Refused,
            format!("{url} redirects, and the redirect cannot be followed: {error}"),
        ),
        ConnectError::Handshake { error, .. } => {
            Failure::new(Exit::Protocol, format!("{url} did not open a WebSocket: {error}"))
        }
        ConnectError::Proxy { error, .. } => {
            Failure::new(Exit::NotConnected, format!("no connection to {url} through the proxy: {error}"))
        }
        ConnectError::Tls { .. } => Failure::new(Exit::NotConnected, format!("no TLS with {url}")),
        ConnectError::Timeout { which, .. } => Failure::new(Exit::Timeout, format!("{url}: {which}")),
        _ => Failure::new(Exit::NotConnected, format!("could not connect to {url}")),
    };
    let failure = layers(failure, error);
    match help(error) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn layers(mut failure: Failure, error: &ConnectError) -> Failure {
    if !error.is_callers() {
        failure = failure.layer("phase", phase(error.phase()));
    }
    match (error.tried(), error.address()) {
        (tried @ [_, _, ..], _) => {
            let tried: Vec<_> = tried.iter().map(ToString::to_string).collect();
            failure = failure.layer("tried", tried.join("\n"));
        }
        (_, Some(address)) => failure = failure.layer("address", address.to_string()),
        _ => {}
    }
    if let Some(tls) = error.tls().filter(|tls| tls.rustls().is_some()) {
        failure = failure.layer("TLS error", tls.to_string());
    }
    if let Some(error) = error.io_error() {
        failure = failure
            .layer(if error.raw_os_error().is_some() { "OS error" } else { "error" }, error.to_string());
    }
    match (error.response(), error.status()) {
        (Some(response), _) => answer(failure, response),
        (None, Some(status)) => failure.layer("status", status.to_string()),
        (None, None) => failure,
    }
}

fn answer(failure: Failure, response: &Response) -> Failure {
    let status = http::StatusCode::from_u16(response.status).ok();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or("");
    let mut fields: Vec<_> = response
        .headers
        .iter()
        .take(MOST_FIELDS)
        .map(|(name, value)| format!("{name}: {}", shown::text(&String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    if response.headers.len() > MOST_FIELDS {
        fields.push(format!("… and {} more", response.headers.len() - MOST_FIELDS));
    }
    let failure = failure.layer("status", format!("{} {reason}", response.status).trim_end());
    let failure = if fields.is_empty() { failure } else { failure.layer("headers", fields.join("\n")) };
    let body = response.text();
    let lines: Vec<_> = body.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return failure;
    }
    let mut start: Vec<_> = lines.iter().take(MOST_LINES).map(|line| shown::text(line).to_string()).collect();
    if lines.len() > MOST_LINES || !response.is_complete {
        start.push("…".into());
    }
    failure.layer("body", start.join("\n"))
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "looking up the name",
        Phase::Connect => "TCP connect",
        Phase::Proxy => "proxy",
        Phase::Tls => "TLS handshake",
        Phase::Handshake => "opening handshake",
        _ => "request",
    }
}

fn help(error: &ConnectError) -> Option<String> {
    let text = match error {
        ConnectError::Url(_) => "a URL looks like ws://127.0.0.1:8080/ws",
        ConnectError::Proxy { .. } | ConnectError::ProxyUrl(_) => {
            "--proxy names another one; --proxy none connects without"
        }
        ConnectError::NoTls { .. } => "use a ws:// URL",
        ConnectError::Tls { error, .. } if error.is_certificate() => {
            "--cacert names a file with the certificate to trust; --insecure trusts any"
        }
        ConnectError::Tls { error, .. } if error.alert().is_some() => {
            "does the server want a client certificate? --cert and --key name one"
        }
        ConnectError::Tls { .. } => "does the server speak TLS at this port?",
        ConnectError::Request(_) => "look at --header and --subprotocol",
        ConnectError::Resolve { .. } => "is the name right, and is there a network?",
        ConnectError::Connect { .. } => {
            "is the server running, and are address and port right? `wirelet serve` starts one"
        }
        ConnectError::Timeout { .. } => "is the address right? --timeout sets how long to wait",
        ConnectError::Refused(response) => match response.status {
            301 | 302 | 303 | 307 | 308 => "use the URL that it leads to",
            400 => "is it a WebSocket server? the answer's body may say what it misses",
            401 | 407 => "credentials are sent with --header 'Authorization: …'",
            403 => "does it want another --header, such as 'Origin: …' or 'Authorization: …'?",
            404 | 405 | 426 | 200 => "is the path right? that of `wirelet serve` is /ws",
            429 | 503 => "try again later",
            _ => return None,
        },
        ConnectError::Handshake { .. } => "is it a WebSocket server?",
        _ => return None,
    };
    Some(text.into())
}

/// The connection failed after the opening handshake.
pub(crate) fn broken(error: &Error, done: bool) -> Failure {
    let exit = match error {
        Error::Protocol(_) | Error::Limit(_) => Exit::Protocol,
        Error::Timeout(_) => Exit::Timeout,
        Error::Io(_) | Error::Abnormal | Error::Closed => Exit::Ended,
        _ => Exit::Unexpected,
    };
    let failure = Failure::new(exit, error.to_string());
    let failure = match error {
        Error::Protocol(error) => failure
            .layer("rule", error.rfc_section())
            .layer("sent", format!("close frame {}", error.close_code())),
        Error::Limit(error) => failure.layer("sent", format!("close frame {}", error.close_code())),
        Error::Io(error) if error.raw_os_error().is_some() => failure.layer("OS error", error.to_string()),
        _ => failure,
    };
    let failure =
        failure.layer("phase", if done { "after the sequence" } else { "while the sequence was being sent" });
    match error {
        Error::Timeout(Timeout::Closing) => {
            failure.help("--timeout sets how long to wait for the server's close frame")
        }
        _ => failure,
    }
}
