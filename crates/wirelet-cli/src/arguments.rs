//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, Parser, Subcommand};
use wirelet::Compression;
use wirelet::proto::handshake::{HostPattern, OriginPattern};
use wirelet::server::{Network, NetworkError};

use crate::compression::parse_compression;
use crate::sizes::{Interval, parse_bytes, parse_duration, parse_interval, parse_some_duration};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(Style::new().dimmed());

/// The whole command line. Without a subcommand the arguments are those of `serve`.
#[derive(Debug, Parser)]
#[command(
    name = "wirelet",
    version,
    styles = STYLES,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    about = "A WebSocket echo server with a browser console, and a client that shows what a WebSocket can do",
    after_help = HELP,
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the echo application and the browser console (also without a subcommand)
    #[command(after_help = SERVE_HELP, args_override_self = true)]
    Serve(Serve),
    /// Connect, send five texts and a fragmented one, show every event, close when it is quiet
    #[command(after_help = DEMO_HELP, args_override_self = true)]
    Demo(Demo),
}

/// `wirelet serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Serve {
    /// Where to listen: ADDRESS:PORT, or a port on 127.0.0.1; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub(crate) addr: SocketAddr,
    /// Listen on a Unix socket at this path instead; one that nobody listens on any more is replaced
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with = "addr")]
    pub(crate) unix: Option<PathBuf>,
    /// Listen on the sockets that systemd passes (LISTEN_FDS) instead
    #[cfg(unix)]
    #[arg(long, conflicts_with_all = ["addr", "unix"])]
    pub(crate) systemd: bool,
    /// The path of the WebSocket endpoint
    #[arg(long, value_name = "PATH", default_value = "/ws", value_parser = parse_path)]
    pub(crate) path: String,
    /// Also accept pages from this origin, such as https://example.org, https://*.example.org or http://localhost:*; `*` for any
    /// [default: the same origin]
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<String>,
    /// Answer only requests for this host, such as example.org, *.example.org or example.org:8080, which defeats DNS rebinding;
    /// repeatable [default: any]
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    pub(crate) allow_host: Vec<String>,
    /// A subprotocol that clients may ask for; repeatable, the first one that both know is chosen
    #[arg(long, value_name = "NAME", value_parser = parse_token)]
    pub(crate) subprotocol: Vec<String>,
    /// Do not serve the browser console
    #[arg(long)]
    pub(crate) no_console: bool,
    /// The largest message that is accepted: 64KiB, 16MiB or plain bytes; larger ones are closed with 1009
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = parse_bytes)]
    pub(crate) max_message: u64,
    /// The largest head of a request: request line and header fields; larger ones are answered with 431 or 414
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = parse_head_bytes)]
    pub(crate) max_head: usize,
    #[command(flatten)]
    pub(crate) capacity: Capacity,
    /// Serve each connection on one of N threads, with a listener for each; per-core: as many as this process may run at a time
    /// [default: threads that share all connections]
    #[arg(long, value_name = "N|per-core", value_parser = parse_threads)]
    pub(crate) threads: Option<usize>,
    /// Ping a connection that has been silent for so long; a missing answer ends it
    #[arg(long, value_name = "INTERVAL|off", default_value = "20s", value_parser = parse_interval)]
    pub(crate) ping: Interval,
    /// Compress messages for clients that offer it: off, shared, windowed[:BYTES] or dedicated[:BITS];
    /// without a mode: shared
    #[arg(
        long,
        value_name = "MODE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "off",
        default_missing_value = "shared",
        value_parser = parse_compression
    )]
    pub(crate) compress: Compression,
    #[command(flatten)]
    pub(crate) log: LogFlags,
}

/// How many connections are taken at a time.
#[derive(Args, Clone, Debug)]
pub(crate) struct Capacity {
    /// The most connections at a time; one more is answered with 503, as with the next three
    #[arg(long, value_name = "N", default_value = "65536", value_parser = parse_count)]
    pub(crate) max_connections: usize,
    /// The most connections from one IPv4 address, or one IPv6 network of 64 bits
    #[arg(long, value_name = "N", default_value = "1024", value_parser = parse_count)]
    pub(crate) max_per_address: usize,
    /// The most connections that have not ended their opening handshake
    #[arg(long, value_name = "N", default_value = "1024", value_parser = parse_count)]
    pub(crate) max_handshakes: usize,
    /// Of these the most from one address
    #[arg(long, value_name = "N", default_value = "64", value_parser = parse_count)]
    pub(crate) max_handshakes_per_address: usize,
    /// An address or network that many peers share, such as a reverse proxy's: 192.0.2.1, 10.0.0.0/8 or none; it has no limits
    /// of its own; repeatable
    #[arg(
        long,
        value_name = "NET",
        default_values = ["127.0.0.0/8", "::1"],
        value_parser = parse_proxy
    )]
    pub(crate) proxy: Vec<Proxy>,
}

/// What `--proxy` names: a network, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proxy(pub(crate) Option<Network>);

/// `wirelet demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// The server: ws://HOST[:PORT][/PATH][?QUERY], or wss:// for TLS
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// How many texts to send, `hello 0000` and so on
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) count: u32,
    /// The time between two texts
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) interval: Duration,
    /// Close after so long without data, counted from the last text or the last data received
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_some_duration)]
    pub(crate) watchdog: Duration,
    /// A subprotocol to ask for; repeatable, the preferred one first
    #[arg(long, value_name = "NAME", value_parser = parse_token)]
    pub(crate) subprotocol: Vec<String>,
    /// A header field for the opening handshake; repeatable
    #[arg(long, value_name = "NAME: VALUE", value_parser = parse_header)]
    pub(crate) header: Vec<(String, String)>,
    /// Offer to compress messages: off, shared, windowed[:BYTES] or dedicated[:BITS]; without a mode: shared
    #[arg(
        long,
        value_name = "MODE",
        num_args = 0..=1,
        require_equals = true,
        default_value = "off",
        default_missing_value = "shared",
        value_parser = parse_compression
    )]
    pub(crate) compress: Compression,
    #[command(flatten)]
    pub(crate) tls: TlsFlags,
    /// Connect through this proxy: [http|https|socks5|socks5h://][USER:PASSWORD@]HOST[:PORT], none, or env for what
    /// https_proxy, all_proxy and so on say, with no_proxy
    #[arg(long, value_name = "URL", default_value = "env", value_parser = parse_proxy_choice)]
    pub(crate) proxy: ProxyChoice,
    /// The longest time for connecting, for a send and for closing, each
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_some_duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) log: LogFlags,
}

/// Through which proxy the demonstration connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProxyChoice {
    None,
    Environment,
    Named(wirelet::client::Proxy),
}

/// How TLS is spoken with `wss://`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsFlags {
    /// Trust the certificates in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Show this client certificate, a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert, a PEM file [default: it is in the file of --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Trust any certificate: whoever is in between can read and change everything
    #[arg(long, conflicts_with = "cacert")]
    pub(crate) insecure: bool,
}

/// How much is logged.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LogFlags {
    /// Show pings, pongs and HTTP requests too; twice: whole texts
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Show only warnings and errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl From<&Capacity> for wirelet::server::Capacity {
    fn from(flags: &Capacity) -> Self {
        Self {
            connections: flags.max_connections,
            per_address: flags.max_per_address,
            handshakes: flags.max_handshakes,
            handshakes_per_address: flags.max_handshakes_per_address,
            proxies: flags.proxy.iter().filter_map(|proxy| proxy.0).collect(),
        }
    }
}

const HELP: &str = "\
Examples:
  wirelet                               serve on 127.0.0.1:8080; then open
                                        http://127.0.0.1:8080/ in a browser
  wirelet demo ws://127.0.0.1:8080/ws   in a second terminal: the client
  wirelet serve --addr 0.0.0.0:9000     serve to the whole network
  wirelet help serve                    the server's options, with examples
  wirelet help demo                     the client's options, with examples

Exit codes: 0 done, 1 unexpected (such as an address in use), 2 wrong arguments.
`demo` has more: see `wirelet help demo`.
Colours are shown on terminals only, and never when NO_COLOR is set.";

const SERVE_HELP: &str = "\
Examples:
  wirelet serve                       the console on http://127.0.0.1:8080/,
                                      the echo on ws://127.0.0.1:8080/ws
  wirelet serve --addr 9000           another port; 0 takes a free one
  wirelet serve --addr 0.0.0.0:8080   every address of this machine, so that
                                      a board or a phone can connect
  wirelet serve --allow-origin https://example.org
                                      pages from there may connect too
  wirelet serve --max-message 64KiB --ping 5s
                                      small messages; dead peers soon noticed
  wirelet serve --compress            permessage-deflate for those who offer it
  wirelet serve --compress=dedicated:12
                                      contexts of 4 KiB that are kept: smaller
                                      messages for more memory
  wirelet serve --proxy 192.0.2.1 --max-connections 10000
                                      behind a proxy on another machine
  wirelet serve --unix /run/ws.sock   on a Unix socket, for a proxy beside it
  wirelet serve --systemd             on the sockets of a systemd unit
  wirelet serve --threads per-core    a listener and a runtime for each core
  wirelet serve -v                    show pings, pongs, HTTP requests too

Capacity: what is refused is logged, once an hour for each address, with the
setting's name: `per_address` is --max-per-address, and so on. --proxy takes the
place of 127.0.0.0/8 and ::1; with `none` programs of this machine have limits
as others have.
Compression: `shared` takes no memory for a connection, `windowed` keeps what
was sent last (up to 4096 bytes), `dedicated` keeps compressors with windows of
2^BITS bytes, 9 to 15. The log and /status say what was agreed and saved.
Paths: / is the console, --path is the echo, /status tells counters as JSON.
Text and binary messages come back as they are. The text `Trigger async` is
answered with `Async data`, which another task sends.
Ctrl-C or SIGTERM closes all connections with 1001 and ends with exit code 0;
a second Ctrl-C ends at once with 130.
Exit codes: 0 stopped, 1 cannot listen or cannot go on, 2 wrong arguments.";

const DEMO_HELP: &str = "\
Examples:
  wirelet demo ws://127.0.0.1:8080/ws
      against `wirelet serve`: takes about ten seconds
  wirelet demo ws://127.0.0.1:8080/ws --interval 100ms --watchdog 1s
      the same, quicker
  wirelet demo ws://192.168.1.20/ws -v
      against a board; shows pings and pongs too
  wirelet demo 'ws://127.0.0.1:5000/?room=1' --header 'X-Token: abc'
      with a query and a header field
  wirelet demo wss://192.168.1.20/ws --cacert ca.pem
      by TLS, with a certificate that the system does not know
  wirelet demo ws://example.org/ --proxy socks5h://127.0.0.1:9050
      through a proxy; without --proxy the one that the environment names
  wirelet demo ws://127.0.0.1:8080/ws --compress=dedicated:15
      compressed, if the server agrees; says at the end what it saved
  wirelet demo ws://127.0.0.1:8080/ws --subprotocol chat --timeout 3s
      asks for a subprotocol; gives up after three seconds

Exit codes:
    0  the sequence was sent, and the connection was closed cleanly,
       after the watchdog or by the server
    1  something unexpected
    2  wrong arguments
    3  no connection: unknown host, nobody listens, network unreachable,
       a certificate that is not trusted
    4  refused: the server answered with another HTTP status than 101
    5  the server broke the WebSocket protocol
    6  a deadline passed: --timeout, or the server no longer answers
    7  the connection ended before the sequence was sent,
       or without a closing handshake
  130  stopped by Ctrl-C or SIGTERM";

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| {
        "expected ADDRESS:PORT such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080, or a port alone".to_owned()
    })
}

fn parse_path(text: &str) -> Result<String, String> {
    // RFC 3986 3.3: what a path consists of; a query or fragment is none of it.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()+,;=:@%".contains(&byte);
    match text {
        "/status" => Err("/status is the server's own; choose another path".into()),
        _ if !text.starts_with('/') => Err(format!("a path begins with a slash: /{text}")),
        _ if text.bytes().all(allowed) => Ok(text.to_owned()),
        _ => Err("a path holds only letters, digits and - . _ ~ ! $ & ' ( ) + , ; = : @ % /".into()),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nobody could connect; at least 1".into()),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a number such as 1024".into()),
    }
}

/// 0 for `per-core`, as in the library.
fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=MOST_THREADS) => Ok(threads),
        Err(_) if text == "per-core" => Ok(0),
        _ => Err(format!("expected a number from 1 to {MOST_THREADS}, or per-core")),
    }
}

/// More would be a mistake, and take the memory of as many stacks.
const MOST_THREADS: usize = 1024;

fn parse_proxy(text: &str) -> Result<Proxy, String> {
    if text == "none" {
        return Ok(Proxy(None));
    }
    text.parse().map(|network| Proxy(Some(network))).map_err(|error: NetworkError| {
        format!("{error}; expected an address such as 192.0.2.1, a network such as 10.0.0.0/8, or none")
    })
}

fn parse_proxy_choice(text: &str) -> Result<ProxyChoice, String> {
    match text {
        "none" => Ok(ProxyChoice::None),
        "env" => Ok(ProxyChoice::Environment),
        url => wirelet::client::Proxy::parse(url).map(ProxyChoice::Named).map_err(|error| {
            format!("{error}; expected a URL such as http://user:password@proxy:3128, none or env")
        }),
    }
}

/// RFC 9112 3: a request line may have 8,000 bytes; less than a handshake needs is a mistake.
fn parse_head_bytes(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text).map_err(|error| error.to_string())?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| (512..=1 << 20).contains(bytes))
        .ok_or_else(|| "a head has from 512 bytes to 1MiB".to_owned())
}

fn parse_origin(text: &str) -> Result<String, String> {
    match OriginPattern::parse(text) {
        Err(error) if text != "*" => Err(format!(
            "{error}; expected an origin without a path, such as https://example.org or http://localhost:*, or '*'"
        )),
        _ => Ok(text.to_owned()),
    }
}

fn parse_host(text: &str) -> Result<String, String> {
    match HostPattern::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(format!("{error}; expected a host, such as example.org, *.example.org or [::1]:8080"))
        }
    }
}

fn parse_token(text: &str) -> Result<String, String> {
    // RFC 6455 4.1: a subprotocol is a token (RFC 9110 5.6.2).
    if !text.is_empty() && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err("a subprotocol is one word of letters, digits and ! # $ % & ' * + - . ^ _ ` | ~".into())
    }
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value'")?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a header's name is one word, without white space before the colon".into());
    }
    let value = value.trim();
    // RFC 9110 5.5: no line breaks, no NUL, and no other control characters here.
    if value.chars().any(char::is_control) {
        return Err("a header's value has no control characters".into());
    }
    Ok((name.to_owned(), value.to_owned()))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("wirelet").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_arguments_at_all_serve_with_the_defaults() {
        let arguments = parse(&[]).unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.serve.addr.to_string(), "127.0.0.1:8080");
        assert_eq!(arguments.serve.path, "/ws");
        assert_eq!(arguments.serve.max_message, 16 << 20);
        assert_eq!(arguments.serve.ping, Interval(Some(Duration::from_secs(20))));
        assert_eq!(arguments.serve.compress, Compression::off());
    }

    /// The flags say the same as the library, so that `--help` is true for both.
    #[test]
    fn the_defaults_of_capacity_are_the_librarys() {
        use wirelet::server::Capacity as Library;
        let capacity = |words: &[&str]| Library::from(&parse(words).unwrap().serve.capacity);
        assert_eq!(capacity(&[]), Library::default());
        let words = [
            ["--max-connections", "1"],
            ["--max-per-address", "2"],
            ["--max-handshakes", "3"],
            ["--max-handshakes-per-address", "4"],
            ["--proxy", "10.0.0.0/8"],
            ["--proxy", "::1"],
        ];
        let proxies = ["10.0.0.0/8", "::1"].map(|network| network.parse().unwrap()).into();
        assert_eq!(
            capacity(words.as_flattened()),
            Library { connections: 1, per_address: 2, handshakes: 3, handshakes_per_address: 4, proxies }
        );
        assert_eq!(capacity(&["--proxy", "none"]).proxies, []);
    }

    #[test]
    fn threads_are_a_number_or_one_for_each_core() {
        let threads = |words: &[&str]| parse(words).map(|arguments| arguments.serve.threads).ok();
        assert_eq!(threads(&[]), Some(None));
        assert_eq!(threads(&["--threads", "3"]), Some(Some(3)));
        assert_eq!(threads(&["--threads", "per-core"]), Some(Some(0)));
    }

    #[test]
    fn the_servers_options_work_with_and_without_the_word() {
        for words in [&["--addr", "9000", "-v"][..], &["serve", "--addr", "localhost:9000", "-v"]] {
            let arguments = parse(words).unwrap();
            let serve = match arguments.command {
                Some(Command::Serve(serve)) => serve,
                _ => arguments.serve,
            };
            assert_eq!(serve.addr.to_string(), "127.0.0.1:9000");
            assert_eq!(serve.log.verbose, 1);
        }
    }

    #[test]
    fn compression_needs_no_mode_and_takes_no_word_that_is_meant_otherwise() {
        for (word, compression) in
            [("--compress", Compression::shared()), ("--compress=dedicated:12", Compression::dedicated(12))]
        {
            assert_eq!(parse(&[word]).unwrap().serve.compress, compression);
            let Some(Command::Demo(demo)) = parse(&["demo", word, "ws://127.0.0.1:1/"]).unwrap().command
            else {
                panic!("not the demo")
            };
            assert_eq!((demo.compress, demo.url.as_str()), (compression, "ws://127.0.0.1:1/"));
        }
    }

    #[test]
    fn the_demo_has_the_tutorials_numbers() {
        let Some(Command::Demo(demo)) =
            parse(&["demo", "ws://127.0.0.1:1/ws", "--header", "A-b:  c: d "]).unwrap().command
        else {
            panic!("not the demo")
        };
        assert_eq!(
            (demo.count, demo.interval, demo.watchdog),
            (5, Duration::from_secs(1), Duration::from_secs(5))
        );
        assert_eq!(demo.header, [("A-b".to_owned(), "c: d".to_owned())]);
    }

    #[test]
    fn wrong_values_are_refused_with_a_hint() {
        for (words, hint) in [
            (&["--addr", "localhost"][..], "127.0.0.1:8080"),
            (&["--addr", "1.2.3.4:99999"], "127.0.0.1:8080"),
            (&["--path", "ws"], "/ws"),
            (&["--path", "/a b"], "a path holds only"),
            (&["--path", "/status"], "another path"),
            (&["--allow-origin", "example.org"], "https://example.org"),
            (&["--allow-origin", "https://example.org/path"], "without a path"),
            (&["--allow-origin", "https://a.*.org"], "whole labels"),
            (&["--allow-origin", "https://example.org:0"], "1 to 65535"),
            (&["--allow-origin", "https://"], "missing or malformed"),
            (&["--allow-host", "http://example.org"], "a host has none"),
            (&["--allow-host", "example.org/a"], "without a path"),
            (&["--allow-host", "*"], "whole labels"),
            (&["--allow-host", "example.org:http"], "1 to 65535"),
            (&["--allow-host", ""], "missing or malformed"),
            (&["--max-message", "big"], "16MiB"),
            (&["--max-head", "100"], "512 bytes"),
            (&["--max-head", "1GiB"], "1MiB"),
            (&["--ping", "5"], "or off"),
            (&["--threads", "0"], "or per-core"),
            (&["--threads", "1025"], "from 1 to 1024"),
            (&["--compress=lots"], "dedicated:BITS"),
            (&["demo", "ws://x", "--compress=dedicated:8"], "9 to 15 bits"),
            (&["-v", "-q"], "--quiet"),
            (&["demo"], "<URL>"),
            (&["demo", "ws://x", "--header", "A"], "Name: value"),
            (&["demo", "ws://x", "--header", "A: b\r\nC: d"], "control characters"),
            (&["demo", "ws://x", "--subprotocol", "a b"], "one word"),
            (&["demo", "ws://x", "--watchdog", "0s"], "zero"),
            (&["demo", "wss://x", "--key", "a.pem"], "--cert"),
            (&["demo", "ws://x", "--proxy", "ftp://x"], "none or env"),
            (&["demo", "wss://x", "--insecure", "--cacert", "a.pem"], "--cacert"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(hint), "{words:?}: {error}");
        }
    }
}
