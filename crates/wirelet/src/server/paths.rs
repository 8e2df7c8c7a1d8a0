//! Paths with parameters, and which of them a request's path matches.

use std::sync::Arc;

/// Parameters of a path, by name.
pub(crate) type Params = Vec<(Arc<str>, String)>;

/// Routes of one kind, the most specific first.
pub(crate) struct Table<T> {
    routes: Vec<(Pattern, Arc<str>, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(_, path, _)| path)).finish()
    }
}

impl<T> Table<T> {
    pub(crate) fn add(&mut self, path: &str, route: T) -> Result<(), String> {
        let pattern = Pattern::parse(path)?;
        if self.routes.iter().any(|(known, _, _)| known.collides(&pattern)) {
            return Err(format!("two routes for the same path: {path}"));
        }
        let at = self.routes.partition_point(|(known, _, _)| known.rank() <= pattern.rank());
        self.routes.insert(at, (pattern, path.into(), route));
        Ok(())
    }

    pub(crate) fn each_mut(&mut self, mut act: impl FnMut(&mut T)) {
        self.routes.iter_mut().for_each(|(_, _, route)| act(route));
    }

    pub(crate) fn find(&self, path: &str) -> Option<(&T, &Arc<str>, Params)> {
        self.routes.iter().find_map(|(pattern, text, route)| Some((route, text, pattern.matches(path)?)))
    }
}

/// A path with parameters.
struct Pattern {
    segments: Vec<Segment>,
    /// It ends in `*`.
    open: bool,
}

#[derive(PartialEq, Eq)]
enum Segment {
    Literal(String),
    Param(Arc<str>),
}

impl Pattern {
    fn parse(path: &str) -> Result<Self, String> {
        let rest = path.strip_prefix('/').ok_or_else(|| format!("a path begins with a slash: {path:?}"))?;
        let (rest, open) = match rest.strip_suffix('*') {
            Some("") => return Ok(Self { segments: Vec::new(), open: true }),
            Some(rest) => {
                let rest = rest.strip_suffix('/').ok_or_else(|| format!("`*` follows a slash: {path}"))?;
                (rest, true)
            }
            None => (rest, false),
        };
        let segments =
            rest.split('/').map(|segment| Segment::parse(segment, path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments, open })
    }

    /// Small is specific: exact paths, then parameters, then `*`, the longer one first.
    fn rank(&self) -> (bool, usize, usize) {
        let params = self.segments.iter().filter(|segment| matches!(segment, Segment::Param(_))).count();
        (self.open, if self.open { usize::MAX - self.segments.len() } else { 0 }, params)
    }

    /// Whether both match exactly the same paths.
    fn collides(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Param(_), Segment::Param(_)) => true,
            _ => false,
        };
        self.open == other.open
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }

    fn matches(&self, path: &str) -> Option<Params> {
        let mut rest = Some(path.strip_prefix('/')?);
        let mut params = Vec::new();
        for segment in &self.segments {
            let (here, after) = match rest?.split_once('/') {
                Some((here, after)) => (here, Some(after)),
                None => (rest?, None),
            };
            match segment {
                Segment::Literal(text) if text == here => {}
                Segment::Param(name) if !here.is_empty() => params.push((Arc::clone(name), decode(here))),
                _ => return None,
            }
            rest = after;
        }
        match (self.open, rest) {
            (false, None) => Some(params),
            (true, Some(rest)) => {
                params.push(("*".into(), decode(rest)));
                Some(params)
            }
            _ => None,
        }
    }
}

impl Segment {
    fn parse(segment: &str, path: &str) -> Result<Self, String> {
        if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return match name {
                "" => Err(format!("a parameter has a name: {path}")),
                name => Ok(Self::Param(name.into())),
            };
        }
        if segment.contains(['{', '}', '*', '?', '#']) || !segment.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(format!(
                "a path is visible ASCII, with `{{name}}` as a whole segment and `*` at its end: {path:?}"
            ));
        }
        Ok(Self::Literal(segment.to_owned()))
    }
}

/// `%41` becomes `A`; what is not UTF-8 then stays as it was.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte =
            pair.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, pair) {
            (Some(byte), Some((digits, after))) if digits[0] != b'+' => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> Table<usize> {
        let mut table = Table::default();
        for (n, path) in paths.iter().enumerate() {
            table.add(path, n).unwrap();
        }
        table
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let paths = ["/*", "/a/*", "/a/{x}/c", "/a/{x}", "/a/b", "/", "/a/{x}/{y}"];
        let forward = table(&paths);
        let backward = table(&paths.iter().rev().copied().collect::<Vec<_>>());
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/z", "/a/{x}"),
            ("/a/z/c", "/a/{x}/c"),
            ("/a/z/d", "/a/{x}/{y}"),
            ("/a/z/d/e", "/a/*"),
            ("/a/", "/a/*"),
            ("/a", "/*"),
            ("/other/thing", "/*"),
        ] {
            assert_eq!(&**forward.find(path).unwrap().1, expected, "{path}");
            assert_eq!(&**backward.find(path).unwrap().1, expected, "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let table = table(&["/rooms/{room}/files/*"]);
        let (_, _, params) = table.find("/rooms/caf%C3%A9%20x/files/a/b%2Fc").unwrap();
        assert_eq!(params, [("room".into(), "café x".to_owned()), ("*".into(), "a/b/c".to_owned())]);
        assert!(table.find("/rooms//files/x").is_none());
        for (raw, decoded) in
            [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%ff", "%ff"), ("%+1", "%+1"), ("a%41", "aA")]
        {
            assert_eq!(decode(raw), decoded);
        }
    }

    #[test]
    fn a_path_that_cannot_work_is_refused_with_a_reason() {
        for path in ["", "a", "/a*", "/{", "/{}", "/a{b}", "/a b", "/*/a", "/a?b", "/é"] {
            assert!(Pattern::parse(path).is_err(), "{path}");
        }
        let mut table = table(&["/a/{x}"]);
        assert!(table.add("/a/{y}", 9).unwrap_err().contains("two routes"));
    }
}
