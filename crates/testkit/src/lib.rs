//! Test bench of wirelet, not published.
//!
//! | module | what it is |
//! |---|---|
//! | [`wire`] | frames in bytes, legal or not |
//! | [`vectors`] | RFC 6455's examples, every illegal header, texts that are not UTF-8 |
//! | [`random`] | seeded numbers, masking keys that count their draws, random streams |
//! | [`reference`](mod@reference) | a slow, obvious decoder written from the RFC |
//! | [`trace`] | runs a core over any split of the input and writes down what it does |
//! | [`pair`] | a client core against a server core over delaying links on a virtual clock |
//! | [`scenario`] | dialogues that every driver runs, for both roles |
//! | [`operations`] | random operations on a driver over a scripted transport, and what must be true of them |
//! | [`fuzz`] | the bodies of the fuzz targets |
//! | [`offers`] | permessage-deflate's offers and answers, read as plainly as can be |
//! | [`telemetry`] | messages as devices send them |
//! | [`deflate`] | compression in pieces, messages to compress, reference decoders |
//! | [`codec`] | a toy codec for the hook that compression will use |

pub mod codec;
pub mod deflate;
pub mod fuzz;
pub mod offers;
pub mod operations;
pub mod pair;
pub mod random;
pub mod reference;
pub mod scenario;
pub mod telemetry;
pub mod trace;
pub mod vectors;
pub mod wire;
