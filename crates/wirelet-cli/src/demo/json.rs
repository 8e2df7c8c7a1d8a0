//! Looks into JSON that a server sent: for an array, the `id` and `name` of its elements.

use serde_json::Value;

/// The longest text that is looked into, bytes. Longer ones are only counted.
pub(crate) const LONGEST: usize = 64 << 10;

/// What a text was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inspection {
    /// Not JSON, or JSON that is no array.
    Nothing,
    /// An array.
    Array {
        /// Elements in all.
        elements: usize,
        /// Those with a string `id` and a string `name`, in order.
        named: Vec<Named>,
    },
}

/// An element with `id` and `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// Looks into a text. Elements that are no objects, or whose `id` or `name` is missing or no string, are
/// passed over; nothing that a server sends makes this fail.
pub(crate) fn inspect(text: &str) -> Inspection {
    // A quick look first: most texts are not JSON, and numbers or strings are not interesting.
    if !text.trim_start().starts_with('[') {
        return Inspection::Nothing;
    }
    let Ok(Value::Array(elements)) = serde_json::from_str(text) else { return Inspection::Nothing };
    let named = elements.iter().filter_map(named).collect();
    Inspection::Array { elements: elements.len(), named }
}

fn named(element: &Value) -> Option<Named> {
    let field = |name| element.get(name)?.as_str().map(str::to_owned);
    Some(Named { id: field("id")?, name: field("name")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        match inspect(text) {
            Inspection::Array { named, .. } => {
                named.into_iter().map(|named| (named.id, named.name)).collect()
            }
            Inspection::Nothing => panic!("not an array: {text}"),
        }
    }

    #[test]
    fn elements_with_id_and_name_are_found() {
        let text = r#" [{"id":"1","name":"one"},{"id":2,"name":"two"},{"name":"three"},7,null,{"id":"4","name":"","x":[]}]"#;
        assert_eq!(names(text), [("1".into(), "one".into()), ("4".into(), String::new())]);
        assert_eq!(inspect("[]"), Inspection::Array { elements: 0, named: vec![] });
    }

    #[test]
    fn everything_else_is_passed_over() {
        for text in ["", "hello 0000", "[", "[1,", "{\"id\":\"1\",\"name\":\"x\"}", "7", "[\u{0}]", "[] []"] {
            assert_eq!(inspect(text), Inspection::Nothing, "{text}");
        }
        // As deep as it goes: refused, not a stack overflow.
        assert_eq!(inspect(&"[".repeat(LONGEST)), Inspection::Nothing);
    }
}
