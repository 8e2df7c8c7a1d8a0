//! Messages that are JSON.

use serde::{Deserialize, Serialize};
use wirelet::{Message, MessageRef};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Join<'m> {
    room: &'m str,
    seats: u8,
}

#[test]
fn a_value_is_a_text_and_a_text_a_value() {
    let join = Join { room: "kitchen", seats: 4 };
    let message = Message::from_json(&join).unwrap();
    assert_eq!(message.as_text(), Some(r#"{"room":"kitchen","seats":4}"#));
    assert_eq!(message.json::<Join<'_>>().unwrap(), join);
    // Binary messages too, and those that are lent.
    let binary = Message::binary(message.clone().into_bytes());
    assert_eq!(binary.json::<Join<'_>>().unwrap(), join);
    assert_eq!(MessageRef::from(&binary).json::<Join<'_>>().unwrap(), join);
    for text in ["", "{", "[]", r#"{"room":"kitchen","seats":400}"#, "{} {}"] {
        assert!(Message::from(text).json::<Join<'_>>().is_err(), "{text}");
    }
    let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(Message::from_json(&keys).is_err());
}
