//! Paths with parameters, and which of them a request's path matches.

use std::sync::Arc;

/// Parameters of a path, by name.
pub(crate) type Params = Vec<(Arc<str>, String)>;

/// Routes of one kind, by path.
///
/// Why two tables of `matchit`: a path without `*` comes before any with it, and what is searched segment by segment would not
/// always find it.
pub(crate) struct Table<T> {
    routes: Vec<Route<T>>,
    /// Paths without `*`.
    closed: matchit::Router<usize>,
    /// Paths with `*`, each of them twice: `matchit` does not let a `*` stand for nothing.
    open: matchit::Router<usize>,
}

struct Route<T> {
    /// As it was written.
    path: Arc<str>,
    /// The names of its parameters, in their order.
    names: Vec<Arc<str>>,
    route: T,
}

/// What the rest of a path is called in `matchit`'s tables.
const REST: &str = "{*rest}";

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { routes: Vec::new(), closed: matchit::Router::new(), open: matchit::Router::new() }
    }
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.path)).finish()
    }
}

impl<T> Table<T> {
    /// # Errors
    /// What is wrong with the path.
    pub(crate) fn add(&mut self, path: &str, route: T) -> Result<(), String> {
        let pattern = Pattern::parse(path)?;
        let number = self.routes.len();
        let added = if pattern.open {
            let stem = pattern.stem;
            self.open.insert(stem, number).and_then(|()| self.open.insert(format!("{stem}{REST}"), number))
        } else {
            self.closed.insert(pattern.stem, number)
        };
        added.map_err(|error| match error {
            matchit::InsertError::Conflict { .. } => format!("two routes for the same path: {path}"),
            error => format!("{path}: {error}"),
        })?;
        let names = pattern.names.into_iter().map(Arc::from).collect();
        self.routes.push(Route { path: path.into(), names, route });
        Ok(())
    }

    pub(crate) fn each_mut(&mut self, act: impl FnMut(&mut T)) {
        self.routes.iter_mut().map(|route| &mut route.route).for_each(act);
    }

    /// The route for a request's path, which is as it was sent, the route's path, and the parameters.
    pub(crate) fn find(&self, path: &str) -> Option<(&T, &Arc<str>, Params)> {
        let found = self.closed.at(path).or_else(|_| self.open.at(path)).ok()?;
        let Route { path, names, route } = &self.routes[*found.value];
        // Why not only those that were found: a `*` that stands for nothing was not.
        let values = found.params.iter().map(|(_, value)| value).chain(std::iter::repeat(""));
        let params = names.iter().zip(values).map(|(name, value)| (Arc::clone(name), decode(value)));
        Some((route, path, params.collect()))
    }
}

/// A path as a route is written: checked, since `matchit` allows more than is promised.
struct Pattern<'p> {
    /// Without the `*`.
    stem: &'p str,
    /// It ends in `*`.
    open: bool,
    names: Vec<&'p str>,
}

impl<'p> Pattern<'p> {
    fn parse(path: &'p str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!("a path begins with a slash: {path:?}"));
        }
        let (stem, open) = path.strip_suffix('*').map_or((path, false), |stem| (stem, true));
        if open && !stem.ends_with('/') {
            return Err(format!("`*` follows a slash: {path}"));
        }
        let mut names = Vec::new();
        for segment in stem.split('/') {
            match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some("") => return Err(format!("a parameter has a name: {path}")),
                Some(name) if is_plain(name) => names.push(name),
                None if is_plain(segment) => {}
                _ => {
                    return Err(format!(
                        "a path is visible ASCII, with `{{name}}` as a whole segment and `*` at its end: {path:?}"
                    ));
                }
            }
        }
        names.extend(open.then_some("*"));
        Ok(Self { stem, open, names })
    }
}

/// Whether it has none of the characters that mean something in a path.
fn is_plain(text: &str) -> bool {
    !text.contains(['{', '}', '*', '?', '#']) && text.bytes().all(|byte| byte.is_ascii_graphic())
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
        let paths =
            ["/*", "/a/*", "/a/{x}/c", "/a/{x}", "/a/b", "/", "/a/{x}/{y}", "/b/{x}/d", "/{y}/c/e", "/b/c/*"];
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
            ("//", "/*"),
            // A parameter stands for something.
            ("/a//c", "/a/*"),
            ("/other/thing", "/*"),
            // What begins as another route does.
            ("/b/c/e", "/{y}/c/e"),
            ("/b/c/d", "/b/{x}/d"),
            ("/b/c/f", "/b/c/*"),
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
