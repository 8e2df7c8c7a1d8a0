//! `--help` teaches, and wrong arguments are told what helps.

mod harness;

use harness::run;

#[test]
fn help_shows_examples_and_where_to_go_on() {
    for words in [&["--help"][..], &["help"]] {
        let help = run(words);
        assert_eq!(help.code, Some(0));
        for phrase in [
            "Usage: wirelet",
            "Examples:",
            "wirelet demo ws://127.0.0.1:8080/ws",
            "http://127.0.0.1:8080/ in a browser",
            "wirelet help serve",
            "Exit codes:",
            "NO_COLOR",
        ] {
            assert!(help.stdout.contains(phrase), "{phrase:?} is missing:\n{}", help.stdout);
        }
    }
}

#[test]
fn each_command_has_examples_and_all_its_options() {
    let serve: &[&str] = &[
        "--addr",
        "--unix",
        "--systemd",
        "--path",
        "--allow-origin",
        "--allow-host",
        "--no-console",
        "--max-message",
        "--max-head",
        "--max-connections",
        "--max-per-address",
        "--max-handshakes",
        "--max-handshakes-per-address",
        "--proxy",
        "503",
        "--threads",
        "per-core",
        "--ping",
        "--subprotocol",
        "--compress",
        "dedicated:12",
        "--verbose",
        "--quiet",
        "Trigger async",
        "/status",
        "1001",
        "Examples:",
    ];
    let demo: &[&str] = &[
        "<URL>",
        "--count",
        "--interval",
        "--watchdog",
        "--subprotocol",
        "--header",
        "--compress",
        "--timeout",
        "Examples:",
        "Exit codes:",
        "no connection",
        "another HTTP status",
        "130",
    ];
    for (command, phrases) in [("serve", serve), ("demo", demo)] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, Some(0));
        let examples = help.stdout.matches(&format!("  wirelet {command}")).count();
        assert!(examples >= 3, "{command}: {examples} examples");
        for phrase in phrases {
            assert!(help.stdout.contains(phrase), "{command}: {phrase:?} is missing:\n{}", help.stdout);
        }
    }
}

#[test]
fn the_version_is_the_crates() {
    let version = run(&["--version"]);
    assert_eq!(
        (version.code, version.stdout.trim()),
        (Some(0), concat!("wirelet ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn nothing_is_coloured_where_no_terminal_is() {
    assert!(!run(&["--help"]).stdout.contains('\u{1b}'));
    assert!(!run(&["--nonsense"]).stderr.contains('\u{1b}'));
}

#[test]
fn wrong_arguments_end_with_2_and_a_hint() {
    for (words, hint) in [
        (&["--nonsense"][..], "--help"),
        (&["serv"], "serve"),
        (&["--adr", "9000"], "--addr"),
        (&["--addr", "nowhere"], "127.0.0.1:8080"),
        (&["--max-message", "lots"], "16MiB"),
        (&["--max-connections", "0"], "at least 1"),
        (&["--max-handshakes", "many"], "1024"),
        (&["--proxy", "10.0.0.1/8"], "10.0.0.0/8"),
        (&["demo"], "<URL>"),
        (&["demo", "ws://127.0.0.1/", "--interval", "5"], "300ms"),
    ] {
        let outcome = run(words);
        assert_eq!(outcome.code, Some(2), "{words:?}: {outcome:?}");
        assert!(outcome.stderr.contains(hint), "{words:?}: {}", outcome.stderr);
    }
}
