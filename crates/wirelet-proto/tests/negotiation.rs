//! permessage-deflate: every form of an offer and of an answer (RFC 7692 5, 7.1).

use testkit::offers::{Plain, check_answer, offers, settings};
use testkit::random::Rng;
use wirelet_proto::Role;
use wirelet_proto::deflate::{Params, Settings, Window};
use wirelet_proto::handshake::{ExtensionOffers, HandshakeError};

/// A server that can do everything.
const ANY: Settings = Settings::both(Window::LARGEST);
/// zlib's compressor, which has no window of 8 bits; no contexts are kept.
const SHARED: Settings = Settings { outgoing_smallest: 9, ..Settings::both(Window::fresh(15)) };
/// A microcontroller with windows of 1 KiB.
const SMALL: Settings = Settings::both(Window::kept(10));

/// The answer to offers, without the extension's name.
fn answer(settings: &Settings, offers: &str) -> Option<String> {
    let agreement = settings.accept(ExtensionOffers::of(offers))?;
    let answer = agreement.answer.as_str();
    let checked = Plain::of(answer).expect("well-formed").params();
    assert_eq!(checked, agreement.params, "what is said is what holds: {offers} -> {answer}");
    Some(answer.strip_prefix("permessage-deflate").expect("the name").trim_start_matches("; ").to_string())
}

fn deflate(params: &str) -> String {
    if params.is_empty() { "permessage-deflate".into() } else { format!("permessage-deflate; {params}") }
}

#[test]
fn a_server_answers_what_it_can_do() {
    for (settings, offer, expected) in [
        (&ANY, "", ""),
        (&ANY, "server_no_context_takeover", "server_no_context_takeover"),
        (&ANY, "client_no_context_takeover", "client_no_context_takeover"),
        (&ANY, "client_max_window_bits", ""),
        (&ANY, "client_max_window_bits=15", ""),
        (&ANY, "client_max_window_bits=8", "client_max_window_bits=8"),
        (&ANY, "server_max_window_bits=15", "server_max_window_bits=15"),
        (&ANY, "server_max_window_bits=8", "server_max_window_bits=8"),
        (&ANY, "server_max_window_bits=\"1\\0\"", "server_max_window_bits=10"),
        (
            &ANY,
            "client_max_window_bits=9; server_max_window_bits=11; client_no_context_takeover; server_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=9",
        ),
        (&SHARED, "", "server_no_context_takeover; client_no_context_takeover"),
        (
            &SHARED,
            "server_max_window_bits=9; client_max_window_bits",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
        ),
        (&SMALL, "client_max_window_bits", "server_max_window_bits=10; client_max_window_bits=10"),
        (&SMALL, "client_max_window_bits=15", "server_max_window_bits=10; client_max_window_bits=10"),
        (
            &SMALL,
            "client_max_window_bits=9; server_max_window_bits=9",
            "server_max_window_bits=9; client_max_window_bits=9",
        ),
    ] {
        assert_eq!(answer(settings, &deflate(offer)).as_deref(), Some(expected), "{offer}");
    }
}

#[test]
fn what_a_server_cannot_do_it_declines() {
    for (settings, offer) in [
        // A window of 8 bits is never widened in silence.
        (&SHARED, "server_max_window_bits=8"),
        // The client cannot be told to use less than 32 KiB.
        (&SMALL, ""),
        (&SMALL, "server_max_window_bits=9"),
    ] {
        assert_eq!(answer(settings, &deflate(offer)), None, "{offer}");
    }
    assert_eq!(answer(&ANY, "x-webkit-deflate-frame, permessage-bzip2"), None);
    assert_eq!(answer(&ANY, "Permessage-Deflate"), None, "tokens are what they are");
}

#[test]
fn offers_with_bad_parameters_are_passed_over() {
    for bad in [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=0",
        "server_max_window_bits=08",
        "server_max_window_bits=015",
        "server_max_window_bits=1",
        "server_max_window_bits=100",
        "server_max_window_bits=+9",
        "server_max_window_bits=-9",
        "server_max_window_bits=0x9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=99999999999999999999999",
        "server_max_window_bits=nine",
        "server_max_window_bits=9; server_max_window_bits=9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=9",
        "client_max_window_bits=\"0\\8\"",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "server_no_context_takeover=15",
        "client_no_context_takeover=\"yes\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; server_no_context_takeover; client_no_context_takeover",
        "unknown",
        "unknown=9",
        "Server_No_Context_Takeover",
        "max_window_bits=9",
    ] {
        assert_eq!(answer(&ANY, &deflate(bad)), None, "{bad}");
        // The next offer counts.
        let both = format!("{}, permessage-deflate; client_no_context_takeover", deflate(bad));
        assert_eq!(answer(&ANY, &both).as_deref(), Some("client_no_context_takeover"), "{both}");
        let answered = ANY.check(ExtensionOffers::of(&deflate(bad)));
        assert_eq!(answered, Err(HandshakeError::ExtensionParameters), "{bad}");
    }
}

#[test]
fn the_first_offer_that_can_be_met_is_taken() {
    let fallback = "permessage-deflate; server_max_window_bits=8, x, permessage-deflate; server_max_window_bits=12, \
        permessage-deflate";
    let expected = "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12";
    assert_eq!(answer(&SHARED, fallback).as_deref(), Some(expected));
    assert_eq!(
        answer(&SMALL, "permessage-deflate, permessage-deflate; client_max_window_bits").as_deref(),
        Some("server_max_window_bits=10; client_max_window_bits=10")
    );
}

#[test]
fn a_client_says_what_it_can_do() {
    for (settings, expected) in [
        (ANY, "client_max_window_bits"),
        (SHARED, "server_no_context_takeover; client_no_context_takeover; client_max_window_bits"),
        (SMALL, "server_max_window_bits=10; client_max_window_bits"),
        (
            Settings { incoming: Window::fresh(9), ..ANY },
            "server_no_context_takeover; server_max_window_bits=9; client_max_window_bits",
        ),
    ] {
        assert_eq!(settings.offer().as_str(), deflate(expected));
    }
}

#[test]
fn a_client_takes_answers_to_what_it_offered() {
    let params = |server, client| Ok(Some(Params { server, client }));
    for (settings, text, expected) in [
        (ANY, "", params(Window::LARGEST, Window::LARGEST)),
        (ANY, "server_no_context_takeover", params(Window::fresh(15), Window::LARGEST)),
        (ANY, "client_no_context_takeover", params(Window::LARGEST, Window::fresh(15))),
        (ANY, "server_max_window_bits=8", params(Window::kept(8), Window::LARGEST)),
        (ANY, "client_max_window_bits=8", params(Window::LARGEST, Window::kept(8))),
        (ANY, "client_max_window_bits=\"9\"", params(Window::LARGEST, Window::kept(9))),
        // Without a limit of the server's, or with a larger one, a client still uses no more than it can.
        (
            SMALL,
            "server_max_window_bits=10; client_max_window_bits=15",
            params(Window::kept(10), Window::kept(10)),
        ),
        (SMALL, "server_max_window_bits=9", params(Window::kept(9), Window::kept(10))),
        (
            SHARED,
            "server_no_context_takeover; client_max_window_bits=8",
            params(Window::fresh(15), Window::fresh(8)),
        ),
    ] {
        assert_eq!(settings.check(ExtensionOffers::of(&deflate(text))), expected, "{text}");
    }
    assert_eq!(ANY.check(ExtensionOffers::of("x")), Ok(None));
}

#[test]
fn a_client_fails_answers_to_what_it_did_not_offer() {
    for (settings, text) in [
        // Demanded, and not granted.
        (SHARED, "client_no_context_takeover"),
        (SMALL, ""),
        (SMALL, "server_max_window_bits=11"),
        // In an answer it has a value.
        (ANY, "client_max_window_bits"),
        (ANY, "server_max_window_bits"),
    ] {
        let answered = settings.check(ExtensionOffers::of(&deflate(text)));
        assert_eq!(answered, Err(HandshakeError::ExtensionParameters), "{text}");
    }
    let twice = ANY.check(ExtensionOffers::of("permessage-deflate, permessage-deflate"));
    assert_eq!(twice, Err(HandshakeError::ExtensionParameters));
}

#[test]
fn whatever_two_endpoints_can_do_they_agree_on_the_same_or_on_nothing() {
    let mut rng = Rng::new(7692);
    let mut agreed = 0;
    for _ in 0..100_000 {
        let (client, server) = (settings(&mut rng), settings(&mut rng));
        let offer = client.offer();
        let Some(agreement) = server.accept(ExtensionOffers::of(offer.as_str())) else {
            let bits = client.incoming.bits;
            assert!(bits < server.outgoing_smallest, "declined without need: {offer}");
            continue;
        };
        agreed += 1;
        let answer = agreement.answer;
        let params = client.check(ExtensionOffers::of(answer.as_str())).unwrap().unwrap();
        // The client knows best what it will do; the server must be prepared for at least that.
        assert_eq!(params.server, agreement.params.server, "{offer} -> {answer}");
        assert!(params.client.bits <= agreement.params.client.bits, "{offer} -> {answer}");
        assert!(!params.client.takeover || agreement.params.client.takeover, "{offer} -> {answer}");
        for (window, by, with) in [
            (params.server, server.outgoing, client.incoming),
            (params.client, client.outgoing, server.incoming),
        ] {
            assert!(window.bits <= by.bits.min(with.bits));
            assert!(!window.takeover || (by.takeover && with.takeover));
        }
        assert!(params.server.bits >= server.outgoing_smallest);
        assert_eq!(params.outgoing(Role::Client), params.incoming(Role::Server));
        assert_eq!(params.outgoing(Role::Server), params.server);
    }
    assert!(agreed > 50_000, "{agreed}");
}

#[test]
fn a_server_keeps_the_rules_for_any_list_of_offers() {
    let mut rng = Rng::new(15);
    let mut accepted = 0;
    for _ in 0..100_000 {
        let server = settings(&mut rng);
        accepted += usize::from(check_answer(&server, &offers(&mut rng)));
    }
    assert!((20_000..80_000).contains(&accepted), "{accepted}");
}
