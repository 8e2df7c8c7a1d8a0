//! Lists in header values: tokens, subprotocols, extensions. One pass, no backtracking.

use super::error::HandshakeError;
use super::head::Headers;
use super::text::{cut, is_space, is_tchar, is_token, token_str, trim};

/// How many subprotocols a request may offer: enough for anybody, and few enough that looking for repetitions stays
/// cheap.
pub const MAX_SUBPROTOCOLS: usize = 32;

/// The comma-separated elements of all headers of one name, in their order, without white space around them. Empty
/// elements are passed over (RFC 9110 5.6.1.2). The elements are not checked any further.
#[derive(Debug, Clone)]
pub struct List<'b> {
    headers: Headers<'b>,
    name: &'b str,
    line: Option<&'b [u8]>,
}

impl<'b> List<'b> {
    pub(super) const fn new(headers: Headers<'b>, name: &'b str) -> Self {
        Self { headers, name, line: None }
    }

    /// The elements of one value.
    pub(super) fn of(value: &'b [u8]) -> Self {
        Self { headers: Headers::default(), name: "", line: Some(value) }
    }

    /// Whether an element equals `token`, in any case.
    pub fn contains(&mut self, token: &str) -> bool {
        self.any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn next_in_line(&mut self) -> Option<&'b [u8]> {
        while let Some(line) = self.line {
            let (element, rest) =
                cut(line, b',').map_or((line, None), |(element, rest)| (element, Some(rest)));
            self.line = rest;
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

impl<'b> Iterator for List<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        loop {
            if let Some(element) = self.next_in_line() {
                return Some(element);
            }
            let name = self.name;
            self.line = Some(self.headers.find(|header| header.is(name))?.value());
        }
    }
}

/// The subprotocols that a request offers, in the client's order of preference.
#[derive(Debug, Clone)]
pub struct Subprotocols<'b>(List<'b>);

impl<'b> Subprotocols<'b> {
    pub(super) const NAME: &'static str = "Sec-WebSocket-Protocol";

    pub(super) const fn new(headers: Headers<'b>) -> Self {
        Self(List::new(headers, Self::NAME))
    }

    /// RFC 6455 4.1: tokens, all different, and at least one where the header is there.
    pub(super) fn verify(headers: Headers<'b>) -> Result<(), HandshakeError> {
        if headers.value(Self::NAME).is_none() {
            return Ok(());
        }
        let mut seen = [&b""[..]; MAX_SUBPROTOCOLS];
        let mut count = 0usize;
        for element in List::new(headers, Self::NAME) {
            if !is_token(element) || seen.iter().take(count).any(|earlier| *earlier == element) {
                return Err(HandshakeError::Subprotocols);
            }
            *seen.get_mut(count).ok_or(HandshakeError::Subprotocols)? = element;
            count = count.saturating_add(1);
        }
        if count == 0 { Err(HandshakeError::Subprotocols) } else { Ok(()) }
    }
}

impl<'b> Iterator for Subprotocols<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        self.0.find_map(token_str)
    }
}

/// The extensions that a request offers or a response accepts, in their order (RFC 6455 9.1). Those of a verified
/// request or response are all well-formed; of any other headers, the iterator ends at the first that is not.
#[derive(Debug, Clone)]
pub struct ExtensionOffers<'b> {
    headers: Headers<'b>,
    line: Cursor<'b>,
}

impl<'b> ExtensionOffers<'b> {
    pub(super) const NAME: &'static str = "Sec-WebSocket-Extensions";

    pub(super) const fn new(headers: Headers<'b>) -> Self {
        Self { headers, line: Cursor(&[]) }
    }

    /// The extensions in one value of the header. It is not checked here.
    pub fn of(value: &'b str) -> Self {
        Self { headers: Headers::default(), line: Cursor(value.as_bytes()) }
    }

    /// Checks the whole list, which must not be empty.
    pub(super) fn verify(mut self) -> Result<(), HandshakeError> {
        let mut count = 0usize;
        while self.read()?.is_some() {
            count = count.saturating_add(1);
        }
        if count == 0 { Err(HandshakeError::Extensions) } else { Ok(()) }
    }

    /// Whether an extension of that name is among them.
    pub(super) fn has(mut self, name: &str) -> bool {
        self.any(|offer| offer.name == name)
    }

    fn read(&mut self) -> Result<Option<ExtensionOffer<'b>>, HandshakeError> {
        loop {
            self.line.skip(|byte| is_space(byte) || byte == b',');
            if !self.line.0.is_empty() {
                return self.line.extension().map(Some).ok_or(HandshakeError::Extensions);
            }
            match self.headers.find(|header| header.is(Self::NAME)) {
                None => return Ok(None),
                Some(header) => self.line = Cursor(header.value()),
            }
        }
    }
}

impl<'b> Iterator for ExtensionOffers<'b> {
    type Item = ExtensionOffer<'b>;

    fn next(&mut self) -> Option<ExtensionOffer<'b>> {
        self.read().ok().flatten()
    }
}

/// An extension with its parameters.
#[derive(Debug, Clone, Copy)]
pub struct ExtensionOffer<'b> {
    name: &'b str,
    params: &'b [u8],
}

impl<'b> ExtensionOffer<'b> {
    /// The name, `permessage-deflate` for example.
    pub const fn name(&self) -> &'b str {
        self.name
    }

    /// The parameters in their order, repetitions included.
    pub const fn params(&self) -> Params<'b> {
        Params(Cursor(self.params))
    }
}

/// The parameters of an extension.
#[derive(Debug, Clone)]
pub struct Params<'b>(Cursor<'b>);

impl<'b> Iterator for Params<'b> {
    type Item = ExtensionParam<'b>;

    fn next(&mut self) -> Option<ExtensionParam<'b>> {
        self.0.param().flatten()
    }
}

/// A parameter of an extension.
#[derive(Debug, Clone, Copy)]
pub struct ExtensionParam<'b> {
    /// The name.
    pub name: &'b str,
    /// The value, if there is one.
    pub value: Option<ParamValue<'b>>,
}

/// The value of a parameter: a token, also where it was written in quotes (RFC 6455 9.1), hence never empty.
#[derive(Debug, Clone, Copy)]
pub struct ParamValue<'b>(&'b str);

impl<'b> ParamValue<'b> {
    /// The characters of the value, with quoted pairs (`\x`) resolved.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'b> {
        // A backslash is no token character: whatever stands in a verified value is the first half of a pair.
        self.0.bytes().filter(|byte| *byte != b'\\')
    }
}

impl PartialEq<str> for ParamValue<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl PartialEq<&str> for ParamValue<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

/// What is left of a value.
#[derive(Debug, Clone)]
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn skip(&mut self, pass: impl Fn(u8) -> bool) {
        while let Some((first, rest)) = self.0.split_first()
            && pass(*first)
        {
            self.0 = rest;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip(is_space);
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, len: usize) -> Option<&'b str> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        core::str::from_utf8(taken).ok()
    }

    fn token(&mut self) -> Option<&'b str> {
        self.skip(is_space);
        let len = self.0.iter().position(|byte| !is_tchar(*byte)).unwrap_or(self.0.len());
        self.take(len).filter(|token| !token.is_empty())
    }

    /// The inside of a quoted string, after its first quote: a token once its pairs are resolved.
    fn quoted(&mut self) -> Option<&'b str> {
        let mut escaped = false;
        let end = self.0.iter().position(|byte| {
            let plain = is_tchar(*byte);
            let opens = !escaped && *byte == b'\\';
            escaped = opens;
            !plain && !opens
        })?;
        // Ends at the closing quote (anything else is no token character), which no backslash may precede.
        let inside = self.take(end).filter(|inside| !inside.is_empty() && !inside.ends_with('\\'))?;
        self.eat_exactly(b'"').then_some(inside)
    }

    fn eat_exactly(&mut self, byte: u8) -> bool {
        self.0.first() == Some(&byte) && self.eat(byte)
    }

    /// `Some(None)` where no parameter follows, `None` where one is malformed.
    fn param(&mut self) -> Option<Option<ExtensionParam<'b>>> {
        // RFC 6455 9.1: extension-param = token [ "=" (token | quoted-string) ]
        if !self.eat(b';') {
            return Some(None);
        }
        let name = self.token()?;
        let value = match (self.eat(b'='), self.eat(b'"')) {
            (false, false) => None,
            (true, true) => Some(ParamValue(self.quoted()?)),
            (true, false) => Some(ParamValue(self.token()?)),
            (false, true) => return None,
        };
        Some(Some(ExtensionParam { name, value }))
    }

    /// An extension up to the comma or the end.
    fn extension(&mut self) -> Option<ExtensionOffer<'b>> {
        let name = self.token()?;
        let params = self.0;
        while self.param()?.is_some() {}
        let params = params.get(..params.len().checked_sub(self.0.len())?)?;
        (self.0.is_empty() || self.eat(b',')).then_some(ExtensionOffer { name, params })
    }
}
